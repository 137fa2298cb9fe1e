"""Labels of other programs that are no masks: outlines, run lengths, segments. One file and one line in LABEL_FILES
add a kind; importing this loads no library."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.lazy import LazyFunction

if TYPE_CHECKING:
    from annotator.exchange.label_files.contract import LabelFile


@dataclass(frozen=True)
class LabelFileEntry:
    """A kind of label file. `open` answers None for a file that only ends like one."""

    title: str
    endings: tuple[str, ...]  # of names, in small letters
    open: "Callable[[Path], LabelFile | None]"  # raises FileRefused
    lonely: bool = False  # by its ending it is nothing else, so that it counts beside its image too


LABEL_FILES: dict[str, LabelFileEntry] = {
    "seg.nrrd": LabelFileEntry(
        "a segmentation of 3D Slicer",
        (".seg.nrrd",),
        LazyFunction("annotator.exchange.label_files.slicer:open_segments"),
        lonely=True,
    ),
}


def kinds_of(path: Path) -> list[str]:
    """What a file could be by its name, the surest first."""
    name = path.name.lower()
    return [kind for kind, entry in LABEL_FILES.items() if name.endswith(entry.endings)]


def is_lonely(path: Path) -> bool:
    return any(LABEL_FILES[kind].lonely for kind in kinds_of(path))
