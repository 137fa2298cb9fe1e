"""Which prompt models can answer on this machine now, and what the others need. Loads no model and no torch."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models import PROMPT_MODELS
from models.weights import CATALOGUE, find, weights_folder

State = Literal["ready", "downloadable", "needs file", "needs packages"]


@dataclass(frozen=True)
class Availability:
    """The state of one model, a sentence for the page, and the weights to give to its factory."""

    state: State
    detail: str
    path: Path | None = None


def availability(name: str, given: Path | None = None, folder: Path | None = None) -> Availability:
    """State of a registered model; `given` is a checkpoint that the user chose. Raises LookupError."""
    if name not in PROMPT_MODELS:
        raise LookupError(f"there is no prompt model {name!r}; there are: {', '.join(PROMPT_MODELS)}")
    entry = PROMPT_MODELS[name]
    missing = [package for package in entry.packages if importlib.util.find_spec(package) is None]
    if missing:
        return Availability("needs packages", f"install {' and '.join(missing)} to use it")
    if entry.weights is None:
        return Availability("ready", entry.good_at)
    weights = CATALOGUE[entry.weights]
    path = given or find(weights, folder)
    if path is not None:
        return Availability("ready", entry.good_at, path)
    if weights.url:
        size = f" ({round(weights.size / 1e6)} MB)" if weights.size else ""
        return Availability("downloadable", f"{entry.good_at}; weights not found, download them{size}")
    place = folder or weights_folder()
    return Availability(
        "needs file", f"{entry.good_at}; get it from {weights.source} and put it into {place}"
    )
