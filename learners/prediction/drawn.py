"""What labels show of objects: how much of a slice each class covers, how bright it is, and where it lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.training.data import ImageReader
from learners.training.targets import OPEN_BACKGROUND
from storage.arrays import BACKGROUND, UNLABELLED, Box3, TornFile, open_npy, plane

NEARLY_WHOLE = 0.9  # of a slice known: it shows how much of it is object
MOST_IMAGES, MOST_SLICES, MOST_PLACES = 60, 24, 500  # that are looked at; of an image; of a class of a slice
ENDS = (2, 98)  # percentiles of what was drawn in one image: single pixels say nothing
Numbers = NDArray[np.float64]


@dataclass
class DrawnClass:
    """One class, or all together."""

    shares: list[float] = field(default_factory=list)  # of each image, on the slice that shows most of it
    low: list[Numbers] = field(
        default_factory=list
    )  # of each image (4,): brightness, and place along z, y and x
    high: list[Numbers] = field(
        default_factory=list
    )  # as parts of the image; no place where slices are missing


@dataclass(frozen=True)
class DrawnObjects:
    classes: dict[int, DrawnClass]
    all: DrawnClass
    sizes: tuple[Numbers, ...]  # (3,) mm of the labelled volumes; none for pictures


def drawn_of(cases: Sequence[ImageReader]) -> DrawnObjects:
    """From all that people labelled, held out or not; some of many images and slices."""
    labelled = [case for case in cases if case.example.known is not None]
    found, every, sizes = dict[int, DrawnClass](), DrawnClass(), list[Numbers]()
    for case in labelled[:: -(-len(labelled) // MOST_IMAGES) or 1]:
        try:
            _add(case, found, every)
        except TornFile:
            continue
        if case.example.shape[0] > 1:
            sizes.append(size_mm(case))
    return DrawnObjects(found, every, tuple(sizes))


def size_mm(case: ImageReader) -> Numbers:
    size: Numbers = np.array(case.example.shape) * np.array(case.example.spacing_mm or (1.0, 1.0, 1.0))
    return size


def _add(case: ImageReader, found: dict[int, DrawnClass], every: DrawnClass) -> None:
    shares: dict[int, float] = {}
    places: dict[int, list[Numbers]] = {}
    total, whole, covered = 0.0, False, _covered(case)
    for axis, index, cut in _slices(case):
        values, counts = np.unique(cut, return_counts=True)
        objects = {int(v): int(n) for v, n in zip(values, counts) if BACKGROUND < v < OPEN_BACKGROUND}
        if (cut != UNLABELLED).mean() >= NEARLY_WHOLE:
            whole = True
            total = max(total, sum(objects.values()) / cut.size)
            for value in objects:
                shares[value] = max(shares.get(value, 0.0), objects[value] / cut.size)
        for value in objects:
            places.setdefault(value, []).append(places_on(case, axis, index, cut == value))
    if whole:
        every.shares.append(total)
    for value in places.keys() | shares.keys():
        one = found.setdefault(value, DrawnClass())
        if value in shares:
            one.shares.append(shares[value])
        low, high = np.percentile(np.concatenate(places[value]), ENDS, axis=0)
        if not covered:  # an object may lie elsewhere on the slices that nobody labelled
            low[1:], high[1:] = np.nan, np.nan
        one.low.append(low)
        one.high.append(high)


def _covered(case: ImageReader) -> bool:
    """Whether people worked on nearly all slices of one direction."""
    along = [axis for axis, _ in case.example.slices]
    return any(along.count(axis) >= NEARLY_WHOLE * n for axis, n in enumerate(case.example.shape))


def _slices(case: ImageReader) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Of those that people worked on."""
    known = open_npy(case.example.known) if case.example.known else None
    slices = case.example.slices
    for axis, index in slices[:: -(-len(slices) // MOST_SLICES) or 1]:
        if known is not None:
            yield axis, index, np.asarray(plane(known, axis, index))


def places_on(case: ImageReader, axis: int, index: int, where: NDArray[np.bool_]) -> Numbers:
    """(N, 4) of some pixels of a slice: brightness as learners see it, and place along z, y and x, 0..1."""
    shape = case.example.shape
    at = np.argwhere(where)
    at = at[:: -(-len(at) // MOST_PLACES) or 1]
    cut = [slice(0, n) for n in shape]
    cut[axis] = slice(index, index + 1)
    box: Box3 = (cut[0], cut[1], cut[2])
    grey = plane(case.look(box).mean(0), axis, 0)[tuple(at.T)]
    whole = np.insert(at, axis, index, axis=1)
    return np.column_stack([grey, (whole + 0.5) / np.array(shape)])
