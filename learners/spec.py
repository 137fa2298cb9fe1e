"""What a round is given and what it gives back: values that cross to a worker. No torch here."""

from dataclasses import dataclass, field
from pathlib import Path

from learners.give_way import MARK
from learners.objects.scores import ObjectCounts
from learners.prediction.reasons import Reason
from models import PromptChoice

CARD = "model.json"  # in the directory of a round that trained a network
MAX_FOLDS = 10
GOES_ON = "it can go on from there"  # how the reason of a lasting round ends that somebody stopped
CACHE_BYTES = 4_000_000_000  # registrations of some thousand pairs of volumes, or features of 30,000 slices


class Unready(ValueError):
    """There is nothing to learn from yet; the message says what to label."""


@dataclass(frozen=True)
class Pseudo:
    """What the last model proposed for an image, for methods that train on it."""

    classes: Path  # (Z, Y, X) uint8
    confidence: Path  # (Z, Y, X) uint8
    stability: float  # 0..1


@dataclass(frozen=True)
class Fill:
    """What a propagator made of an image's labelled slices, for methods that train on it."""

    classes: Path  # (Z, Y, X) uint8
    confidence: Path  # (Z, Y, X) uint8, 255 certain
    rounds: int = 0  # of this learner that saw it before


@dataclass(frozen=True)
class WeakBox:
    """A tight box around one object of a class: nothing else is said about its pixels."""

    axis: int
    index: int
    value: int  # the class
    box: tuple[int, int, int, int]  # r0, c0, r1, c1, half-open


@dataclass(frozen=True)
class Tag:
    """Whether a class is on a slice, as people said it or as their masks tell."""

    axis: int
    index: int
    value: int  # the class
    present: bool


@dataclass(frozen=True)
class WeakLabels:
    """Weak labels that a round made of its own accord before it trains."""

    classes: Path  # (Z, Y, X) uint8 label values, UNLABELLED where nothing is guessed
    trust: Path  # (Z, Y, X) uint8 of 255


@dataclass(frozen=True)
class NamedChannel:
    """One channel of an image that has several."""

    name: str
    pixels: Path  # (Z, Y, X)


@dataclass(frozen=True)
class Example:
    """One image as a worker sees it: paths, never open arrays."""

    image_id: int
    pixels: Path  # (Z, Y, X[, C])
    shape: tuple[int, int, int]
    channels: int
    spacing_mm: tuple[float, float, float] | None
    known: Path | None = None  # (Z, Y, X) uint8 target file; None: nobody said anything
    numbers: Path | None = (
        None  # (Z, Y, X) uint16 object numbers of what `known` says; None: no object has one
    )
    judge: Path | None = None  # (Z, Y, X) uint8 what held-out labels say; None: what `known` says there
    judge_numbers: Path | None = None  # likewise of `judge`
    core: bool = True  # held-out labels count in the number by which models are compared
    all_held: bool = False  # the whole image is held out
    slices: tuple[tuple[int, int], ...] = ()  # (axis, index) of the slices that people worked on
    held: tuple[tuple[int, int], ...] = ()  # those of them that are held out
    group: str = ""  # the site, stain or scanner it is said to come from
    fresh: bool = False  # labelled since the parent's round
    pseudo: Pseudo | None = None
    fill: Fill | None = None
    boxes: tuple[WeakBox, ...] = ()
    tags: tuple[Tag, ...] = ()
    guess: WeakLabels | None = None
    named: tuple[NamedChannel, ...] = ()  # channels beside `pixels`, which then shows all of them in colours


@dataclass(frozen=True)
class Lasting:
    """A training of hours or days, which may be interrupted at any moment and goes on where it was."""

    work: Path  # a folder that outlives the round
    folds: int = 1  # networks; each but a single one leaves out a part of the labelled images
    recipe: str = "supervised"  # the learner whose method trains them
    stop: Path | None = None  # the round's stop file, where this is one fold of it
    give_way: Path | None = None  # while this file exists others need the machine

    def __post_init__(self) -> None:
        if not 1 <= self.folds <= MAX_FOLDS:
            raise ValueError(f"a final model has 1 to {MAX_FOLDS} folds, got {self.folds}")


@dataclass(frozen=True)
class RoundSpec:
    """Everything a round needs. `directory` is its own; nobody else writes there but the stop file."""

    learner: str
    class_ids: tuple[int, ...]
    examples: tuple[Example, ...]
    directory: Path
    parent: Path | None = None  # the directory of the model that people see: start and yardstick
    start: Path | None = None  # where training starts instead: the last round's model, if it came out worse
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
    adapt: str = ""  # an adapter for each group of images, "auto" to try them all; "": none
    references: tuple[int, ...] = ()  # images that reference segmentation learns from; none: typical ones
    prompts: PromptChoice = PromptChoice()  # the project's prompt model, for methods that ask one
    cache: Path | None = None  # a folder of the project for what only depends on pixels and weights
    cache_bytes: int = CACHE_BYTES  # that it may grow to
    members: bool = False  # predict with the snapshots of the training as well, to see where they disagree
    lasting: Lasting | None = None  # it takes hours or days

    @property
    def people_wait(self) -> Path:
        """The mark of people who wait for masks."""
        own = self.lasting.stop.parent if self.lasting and self.lasting.stop else self.directory
        return own.parent / MARK

    @property
    def goes_on_from(self) -> Path | None:
        """Where training starts."""
        return self.start or self.parent

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.predict_seconds < 0:
            raise ValueError(
                f"a round's seconds are 0 or more, got {self.seconds} and {self.predict_seconds}"
            )


@dataclass(frozen=True)
class ImageScore:
    """What a prediction tells about an image."""

    image_id: int
    claimed: float | None  # how sure the model is of what it proposes; says something only once calibrated
    stability: float | None  # against the model before; None: no earlier one
    withheld: Reason | None = None  # why nobody is to be shown it


@dataclass(frozen=True)
class JudgedImage:
    """How good a model is on a held-out image, and what it claims to be there."""

    image_id: int
    dice: float
    claimed: float | None
    core: bool  # it counts in the number by which models are compared


@dataclass(frozen=True)
class Reliability:
    """How often a model is right about the voxels that it calls an object, by its confidence in ten steps."""

    seen: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    images: int = 0


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
    objects: dict[int, ObjectCounts] = field(default_factory=dict)  # of classes with numbered objects
    remaining: int = 0  # images asked for and not predicted
    notes: tuple[str, ...] = ()  # sentences for the person
