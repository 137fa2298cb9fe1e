"""Prompt models behind one seam. Importing this loads no torch: a factory imports what it needs when it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.prompt import PromptModel


@dataclass(frozen=True)
class Entry:
    """A prompt model that can be chosen."""

    title: str
    good_at: str
    factory: Callable[[Path | None], PromptModel]
    weights: str | None = None  # its name in models.weights.CATALOGUE; None: needs no file
    packages: tuple[str, ...] = ()  # packages beyond requirements.txt
    instant: bool = False  # encoding costs nothing, so nothing is cached


def graphcut(weights: Path | None) -> PromptModel:
    from models.graphcut import GraphCut

    return GraphCut()


PROMPT_MODELS: dict[str, Entry] = {
    "graphcut": Entry(
        title="Graph cut (nothing to download)",
        good_at="blobs, cells, organs and phases that differ from what surrounds them",
        factory=graphcut,
        instant=True,
    ),
}
