"""A round: train a little, compare, predict, write arrays. Values that cross to a worker; no torch here."""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

STOP_FILE, PROGRESS_FILE = "stop", "progress.json"


class Unready(ValueError):
    """There is nothing to learn from yet; the message says what to label."""


@dataclass(frozen=True)
class Pseudo:
    """What the last model proposed for an image, for methods that train on it."""

    classes: Path  # (Z, Y, X) uint8
    confidence: Path  # (Z, Y, X) uint8
    stability: float  # 0..1


@dataclass(frozen=True)
class WeakBox:
    """A tight box around one object of a class: nothing else is said about its pixels."""

    axis: int
    index: int
    value: int  # the class
    box: tuple[int, int, int, int]  # r0, c0, r1, c1, half-open


@dataclass(frozen=True)
class Example:
    """One image as a worker sees it: paths, never open arrays."""

    image_id: int
    pixels: Path  # (Z, Y, X[, C])
    shape: tuple[int, int, int]
    channels: int
    spacing_mm: tuple[float, float, float] | None
    known: Path | None = None  # (Z, Y, X) uint8 target file; None: nobody said anything
    all_held: bool = False  # the whole image is held out
    held: tuple[tuple[int, int], ...] = ()  # (axis, index) slices that are held out
    fresh: bool = False  # labelled since the parent's round
    pseudo: Pseudo | None = None
    boxes: tuple[WeakBox, ...] = ()


@dataclass(frozen=True)
class RoundSpec:
    """Everything a round needs. `directory` is its own; nobody else writes there but the stop file."""

    learner: str
    class_ids: tuple[int, ...]
    examples: tuple[Example, ...]
    directory: Path
    parent: Path | None = None  # the directory of the model to start from
    seconds: float = 30.0  # of training; 0: predict only
    predict: tuple[int, ...] = ()  # image ids in the order in which people want them
    predict_seconds: float = 30.0  # the first image is always predicted
    seed: int = 0
    device: str = "auto"  # cpu, cuda, or what the machine has
    network: str = "auto"
    smaller: int = 0  # how often the memory did not suffice before
    steps: int | None = None  # tests: stop after so many
    mirror: tuple[int, ...] = (0, 1, 2)  # axes of the volume along which a mirrored image means the same
    late_ids: tuple[int, ...] = ()  # classes that came after some slice was complete

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.predict_seconds < 0:
            raise ValueError(
                f"a round's seconds are 0 or more, got {self.seconds} and {self.predict_seconds}"
            )


@dataclass(frozen=True)
class ImageScore:
    """What a prediction tells about an image."""

    image_id: int
    expected_dice: float | None
    stability: float | None  # against the model before; None: no earlier one


@dataclass(frozen=True)
class RoundResult:
    model: Path  # the directory of the model that was kept: the round's own or its parent's
    predicted: tuple[ImageScore, ...]
    steps: int
    trained_seconds: float
    dice: float | None = None  # the kept model's, on today's held-out labels
    child_dice: float | None = None
    parent_dice: float | None = None
    per_class: dict[int, float] = field(default_factory=dict)
    remaining: int = 0  # images asked for and not predicted
    notes: tuple[str, ...] = ()  # sentences for the person


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


class Budget:
    """Time as progress in 0..1, by seconds or steps, whichever is further; ends early when asked to."""

    def __init__(self, seconds: float, steps: int | None = None, stop: Path | None = None) -> None:
        self._seconds, self._steps, self._stop = seconds, steps, stop
        self._started = time.monotonic()
        self.step = 0

    def start(self) -> None:
        """Loading does not count: on a busy machine it may take longer than the training is meant to."""
        self._started = time.monotonic()

    @property
    def spent(self) -> float:
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._seconds - self.spent)

    @property
    def progress(self) -> float:
        """By steps alone where a number is given, so that the same seed makes the same weights."""
        if self._steps is not None:
            return min(1.0, self.step / max(1, self._steps))
        return min(1.0, self.spent / self._seconds) if self._seconds else 1.0

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.exists()

    def left(self) -> bool:
        """One step at least is always taken, unless somebody asked to stop."""
        return (self.progress < 1 or self.step == 0) and not self.stopped


def run_round(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Runs in a worker; sees neither database nor page."""
    from learners.work import work  # torch takes seconds to load, and the server never needs it

    return work(spec)
