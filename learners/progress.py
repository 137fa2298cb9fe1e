"""The files through which a round tells where it is, and the stop file through which it is told to end."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

STOP_FILE, PROGRESS_FILE = "stop", "progress.json"


@dataclass(frozen=True)
class Progress:
    """Where a round is; a file in its directory, replaced as a whole."""

    phase: str  # loading, training, comparing, predicting
    step: int = 0
    loss: float | None = None
    dice: float | None = None
    seconds_left: float | None = None
    done: tuple[int, ...] = ()  # image ids whose files are complete
    scores: dict[int, float] = field(default_factory=dict)  # their expected Dice


def write_progress(directory: Path, progress: Progress) -> None:
    """Not durable: a torn machine loses the round anyway."""
    temporary = directory / (PROGRESS_FILE + ".tmp")
    temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    os.replace(temporary, directory / PROGRESS_FILE)


def read_progress(directory: Path) -> Progress | None:
    """None before the first line, or while Windows has the file in its hands."""
    try:
        values = json.loads((directory / PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    scores = {int(key): value for key, value in values.pop("scores").items()}
    return Progress(**{**values, "done": tuple(values["done"]), "scores": scores})


def classes_file(directory: Path, image_id: int) -> Path:
    return directory / f"classes-{image_id}.npy"


def confidence_file(directory: Path, image_id: int) -> Path:
    return directory / f"confidence-{image_id}.npy"
