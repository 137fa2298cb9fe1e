"""Whether to ask mirrored, and what to mend of each class: what does better on labels that a network did not see."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from learners.prediction.committee import Committee
from learners.prediction.metrics import dice_of, overlaps
from learners.prediction.predict import class_map
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.resample import zoom_of
from learners.training.targets import OPEN_BACKGROUND, Classes
from learners.training.tidying import ClassTidying, Tidying, tidied_mask
from models.networks import UNet
from storage.arrays import BACKGROUND, UNLABELLED

MIN_IMAGES = 3  # fewer decide nothing
MOST_IMAGES = 24
GAIN = 0.002  # of Dice, that mending must bring on average
SMALL = 0.5  # of the smallest pieces that people drew: what is smaller is none of theirs
FEW = 5  # percent of those pieces


@dataclass(frozen=True)
class Unseen:
    """An image with labels that a network did not learn from."""

    case: ImageReader
    known: NDArray[np.uint8]  # (Z, Y, X) UNLABELLED where nobody said anything
    network: UNet


@dataclass(frozen=True)
class Choices:
    """What was found better."""

    mirror: tuple[int, ...]
    tidy: Tidying
    notes: tuple[str, ...] = ()  # sentences for the person


def choose(
    unseen: Sequence[Unseen], plan: Plan, classes: Classes, mirror: tuple[int, ...],
    check: Callable[[], None] = lambda: None,
) -> Choices:  # fmt: skip
    """Among mirrored or not, then class by class. With too few images networks are asked mirrored and nothing is
    mended. `check` raises where somebody stopped the round."""
    unseen = unseen[:MOST_IMAGES]
    if len(unseen) < MIN_IMAGES:
        return Choices(mirror, Tidying())

    def maps(axes: tuple[int, ...]) -> list[NDArray[np.uint8]]:
        found = []
        for each in unseen:
            check()
            found.append(class_map(Committee((each.network,), axes), each.case, plan, classes))
        return found

    plain = maps(())
    mirrored = maps(mirror) if mirror else plain
    before, after = (_mean(unseen, each, classes) for each in (plain, mirrored))
    better = bool(mirror) and after >= before
    notes = [f"asked mirrored too, it is at Dice {after:.3f} instead of {before:.3f}"] if better else []
    proposed = mirrored if better else plain
    tidy = {}
    for number in classes.ids:
        check()
        found = _tidying(number, unseen, proposed, plan)
        if found is not None:
            tidy[number], gain = found
            notes.append(f"of class {number} {tidy[number].words}, which brings {gain:.3f} of Dice")
    return Choices(mirror if better else (), Tidying(tidy), tuple(notes))


def _mean(unseen: Sequence[Unseen], proposed: Sequence[NDArray[np.uint8]], classes: Classes) -> float:
    scores = [
        _dice(values, each.known, number)
        for each, values in zip(unseen, proposed, strict=True)
        for number in classes.ids
    ]
    return float(np.mean(scores))


def _tidying(
    number: int, unseen: Sequence[Unseen], proposed: Sequence[NDArray[np.uint8]], plan: Plan
) -> tuple[ClassTidying, float] | None:
    """What mends a class best and what it gains; None where nothing helps more images than it harms."""
    scales = [math.prod(zoom_of(each.case.example, plan)) for each in unseen]
    smallest = _smallest([each.known == number for each in unseen], scales)
    before, best = _scores(number, unseen, proposed, scales, ClassTidying()), None
    for what in _candidates(smallest):
        change = _scores(number, unseen, proposed, scales, what) - before
        gain = float(change.mean())
        if gain >= GAIN and (change > 0).sum() > (change < 0).sum() and (best is None or gain > best[1]):
            best = what, gain
    return best


def _candidates(smallest: float) -> list[ClassTidying]:
    pieces = (
        [ClassTidying(smallest=smallest), ClassTidying(largest=True)]
        if smallest
        else [ClassTidying(largest=True)]
    )
    filled = [ClassTidying(True, each.smallest, each.largest) for each in pieces]
    return [ClassTidying(fill=True), *pieces, *filled]


def _scores(
    number: int, unseen: Sequence[Unseen], proposed: Sequence[NDArray[np.uint8]], scales: Sequence[float],
    what: ClassTidying,
) -> NDArray[np.float64]:  # fmt: skip
    """(images,) Dice of a class that is mended so."""
    found = []
    for each, values, scale in zip(unseen, proposed, scales, strict=True):
        mask = tidied_mask(values == number, values == BACKGROUND, what, scale)
        found.append(_dice(np.where(mask, np.uint8(number), np.uint8(0)), each.known, number))
    return np.array(found)


def _dice(values: NDArray[np.uint8], known: NDArray[np.uint8], number: int) -> float:
    """Where neither has the class they agree."""
    where = (known != UNLABELLED) & (known != OPEN_BACKGROUND)  # the latter may be a class that came later
    score = float(dice_of(overlaps(values, known, [number], where))[0])
    return 1.0 if math.isnan(score) else score


def _smallest(drawn: Sequence[NDArray[np.bool_]], scales: Sequence[float]) -> float:
    """In voxels of the network; 0 where nobody drew the class."""
    sizes = [
        size / scale
        for mask, scale in zip(drawn, scales, strict=True)
        for size in np.bincount(ndimage.label(mask)[0].ravel())[1:]
    ]
    return round(SMALL * float(np.percentile(sizes, FEW)), 2) if sizes else 0.0
