"""What a ranker is told of the objects that are proposed for an image: how many are unsure, and of which sizes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from storage.arrays import BACKGROUND, UNLABELLED

SIZE_BINS = 16  # of sizes, each twice as many voxels as the one before
LOWEST = 0.1  # of an object's voxels: what tells true objects from false ones best
LEVELS = 256  # of confidence
UNSURE = 0.75 * 255  # an object of which a tenth of its voxels lie below


@dataclass(frozen=True)
class ObjectTallies:
    """Along each axis, of the slices of an image: an object counts on every slice that its box crosses."""

    unsure: tuple[NDArray[np.float32], ...]  # (n,)
    sizes: tuple[NDArray[np.float32], ...]  # (n, SIZE_BINS) objects of each size


def tallies(
    classes: NDArray[np.uint8], confidence: NDArray[np.uint8], numbers: NDArray[np.uint16] | None
) -> ObjectTallies:
    """(Z, Y, X) each; without numbers the connected pieces of a picture are objects, and a volume has none."""
    found = _numbered(classes, numbers)
    certainty = dict(zip(*(each.tolist() for each in least_sure(found, confidence)), strict=True))
    unsure = [np.zeros(n, np.float32) for n in classes.shape]
    sizes = [np.zeros((n, SIZE_BINS), np.float32) for n in classes.shape]
    for number, box in enumerate(ndimage.find_objects(found), 1):
        if box is None:
            continue
        doubt = certainty[number] < UNSURE
        size = min(SIZE_BINS - 1, int(np.log2(np.count_nonzero(found[box] == number))))
        for axis, part in enumerate(box):
            unsure[axis][part] += doubt
            sizes[axis][part, size] += 1
    return ObjectTallies(tuple(unsure), tuple(sizes))


def least_sure(
    numbers: NDArray[np.integer], confidence: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of objects, of arrays of one shape, and of each what a tenth of its voxels is below, 0 to 255. It
    orders objects and is no probability. All are looked at together: there may be thousands."""
    inside = numbers > 0
    told = numbers[inside].astype(np.int64)
    found = np.flatnonzero(np.bincount(told))
    place = np.zeros(int(told.max(initial=0)) + 1, np.int64)
    place[found] = np.arange(len(found))
    levels = np.bincount(place[told] * LEVELS + confidence[inside], minlength=len(found) * LEVELS)
    sums = levels.reshape(len(found), LEVELS).cumsum(1)
    return found, (sums > (LOWEST * sums[:, -1:]).astype(np.int64)).argmax(1)


def _numbered(classes: NDArray[np.uint8], numbers: NDArray[np.uint16] | None) -> NDArray[np.int32]:
    if numbers is not None:
        return np.asarray(numbers, np.int32)
    if classes.shape[0] > 1:
        return np.zeros(classes.shape, np.int32)
    proposed = (classes != BACKGROUND) & (classes != UNLABELLED)
    return np.asarray(ndimage.label(proposed, np.ones((3, 3, 3)))[0], np.int32)
