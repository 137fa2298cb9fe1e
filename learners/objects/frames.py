"""Objects of a film whose borders nobody told apart: each frame for itself, and then from frame to frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learners.objects.carried import matched
from learners.objects.cutting import number_objects
from storage.arrays import BACKGROUND, ERASED, UNLABELLED


def number_frames(classes: NDArray[np.uint8], spacing: Sequence[float], first: int = 1) -> NDArray[np.uint32]:
    """(Z, Y, X) as `number_objects`, where slices are frames in time: objects that cross one another's place in
    neighbouring frames stay two. Of an object that divides the half that overlaps more keeps the number."""
    out = np.zeros(classes.shape, np.uint32)
    for value in np.unique(classes):
        if BACKGROUND < value < ERASED:
            first = _follow(np.where(classes == value, value, np.uint8(UNLABELLED)), spacing, first, out)
    return out


def _follow(classes: NDArray[np.uint8], spacing: Sequence[float], first: int, out: NDArray[np.uint32]) -> int:
    """One class, in place; the next free number."""
    before = np.zeros(classes.shape[1:], np.int32)
    for frame, numbers in zip(classes, out, strict=True):
        parts = number_objects(frame[None], spacing)[0].astype(np.int32)
        names = np.zeros(int(parts.max()) + 1, np.int32)
        for part, number in matched(before, parts, moves=True).items():
            names[part] = number
        new = np.flatnonzero(names[1:] == 0) + 1
        names[new] = first + np.arange(len(new))
        first += len(new)
        before = names[parts]
        numbers[parts > 0] = before[parts > 0]
    return first
