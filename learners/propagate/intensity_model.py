"""How bright each class is, in the whole volume and nearby: scanners and organs are not even in brightness."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from learners.propagate.contract import PropagationInput
from storage.arrays import BACKGROUND

BINS = 48  # of brightness
SMOOTH = 1.5  # bins over which a count is blurred
LOOK = 0.7  # how much brightness has to say in the prior, against 1 for the outlines
MAX_RATIO = 20.0  # times likelier, at most, that brightness makes a class
REACHES_MM = (32.0, 12.0)  # how far around a voxel what is known counts, the nearer one last
TRUST = 20.0  # known voxels that weigh as much as what is said by those further away


def local_likelihood_ratio(small: PropagationInput, *, background: bool) -> list[NDArray[np.float32]]:
    """(z, y, x) per class: how much likelier each voxel's brightness is in it, as it looks nearby, than in background.

    background: as it is nearby too, and not as it is everywhere. Between structures that are packed closely it tells
    them from what they touch; around a large organ that few slices show, what is further away is missing there.
    """
    level = levels(small.image)
    grids = [_Grid(small, reach) for reach in REACHES_MM]
    rest = _likelihood(small, level, BACKGROUND, grids if background else ())
    return [_ratio(_likelihood(small, level, value, grids), rest) for value in small.classes]


def global_likelihood_ratio(small: PropagationInput) -> list[NDArray[np.float32]]:
    """Per class (BINS,) how much likelier each brightness is inside it than in the background that is known."""
    level = levels(small.image)
    rest = _histogram(level, small.known == BACKGROUND)
    return [_ratio(_histogram(level, small.known == value), rest) for value in small.classes]


def levels(brightness: NDArray[np.float32]) -> NDArray[np.int32]:
    """The bin of each brightness, which is mostly between 0 and 1."""
    return ((brightness + 0.2) / 1.4 * BINS).astype(np.int32).clip(0, BINS - 1)


def _ratio(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((inside / outside) ** LOOK).clip(1 / MAX_RATIO, MAX_RATIO)


def _likelihood(
    small: PropagationInput, level: NDArray[np.int32], value: int, grids: Sequence["_Grid"]
) -> NDArray[np.float32]:
    """(z, y, x) how likely each voxel's brightness is in a class: everywhere, then nearer and nearer."""
    known = small.known == value
    chance = _histogram(level, known)[level]
    for grid in grids:
        chance = grid.nearer(level, known, chance)
    return chance


class _Grid:
    """The volume in cells as large as a reach, in which brightness is counted."""

    def __init__(self, small: PropagationInput, reach_mm: float) -> None:
        sides = [max(1, round(reach_mm / mm)) for mm in small.spacing_mm]
        z, y, x = (np.arange(n) // side for n, side in zip(small.shape, sides))
        self._shape = (int(z[-1]) + 1, int(y[-1]) + 1, int(x[-1]) + 1)
        self._cell = ((z[:, None, None] * self._shape[1] + y[:, None]) * self._shape[2] + x).astype(np.int32)
        self._sigmas = [reach_mm / (side * mm) for side, mm in zip(sides, small.spacing_mm)]

    def nearer(
        self, level: NDArray[np.int32], known: NDArray[np.bool_], chance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(z, y, x) the chance of each voxel's brightness as the known voxels around say, and as said before where
        there are few (the mean of a Dirichlet distribution whose prior weighs as TRUST voxels)."""
        places = self._cell[known] * BINS + level[known]
        counts = np.bincount(places, minlength=int(np.prod(self._shape)) * BINS).astype(np.float32)
        counts = counts.reshape(*self._shape, BINS)
        for axis, sigma in enumerate(self._sigmas):
            if self._shape[axis] > 1:
                counts = gaussian_filter1d(counts, sigma, axis, mode="constant", truncate=3)
                counts *= np.float32(max(1, np.sqrt(2 * np.pi) * sigma))  # a voxel right here counts as one
        counts = gaussian_filter1d(counts, SMOOTH, mode="nearest")
        near, every = counts.ravel()[self._cell * BINS + level], counts.sum(-1).ravel()[self._cell]
        return (near + TRUST * chance) / (every + TRUST)


def _histogram(level: NDArray[np.int32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(BINS,) how often each brightness comes up, smooth and nowhere zero."""
    counts = np.bincount(level[where], minlength=BINS).astype(np.float64)
    smooth = gaussian_filter1d(counts, SMOOTH, mode="nearest") + 0.02 * max(counts.sum(), 1) / BINS
    return (smooth / smooth.sum()).astype(np.float32)
