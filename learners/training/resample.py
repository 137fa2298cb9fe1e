"""Between an image's own voxels and the network's spacing, part by part: what a network learned at 1 mm it must also
be shown at 1 mm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.spec import Example
from learners.training.plan import Plan

CLEARLY = 1.3  # spacings that differ by less are the same: views are scaled by as much in training
UNITS = 8.0  # spacings that differ by more are in other units, or one is not true

Zoom = tuple[float, float, float]  # voxels of the image for each voxel of the network, z y x
SAME: Zoom = (1.0, 1.0, 1.0)


def zoom_of(example: Example, plan: Plan) -> Zoom:
    """1 along axes whose spacing is about the plan's, and wherever a spacing is not known; pictures that objects hardly
    fill, and large numbered objects, are looked at from further away, tiny ones from nearer."""
    shrink = plan.shrink
    deep = shrink if plan.dims == 3 else 1.0
    if not plan.spacing_known or example.spacing_mm is None:
        return deep, shrink, shrink
    z, y, x = (_clear(plan.spacing_mm[axis - 3 + plan.dims] / own) if axis >= 3 - plan.dims else 1.0
               for axis, own in enumerate(example.spacing_mm))  # fmt: skip
    return z * deep, y * shrink, x * shrink


def _clear(ratio: float) -> float:
    return float(ratio) if 1 / UNITS <= ratio <= UNITS and not 1 / CLEARLY < ratio < CLEARLY else 1.0


def cover(at: NDArray[np.floating], zoom: float, length: int) -> slice:
    """The voxels of the image that are needed to sample it at these places, given in its voxels."""
    reach = max(1.0, zoom) if zoom != 1 else 0.0
    low, high = int(np.floor(at[0] - reach)), int(np.ceil(at[-1] + reach)) + 1
    start = min(max(low, 0), length - 1)
    return slice(start, max(start + 1, min(high, length)))


def sampled(values: NDArray[Any], at: Sequence[NDArray[np.floating]], zoom: Zoom) -> NDArray[np.float32]:
    """(C, z, y, x) values at places along each axis, linear; towards coarser grids means, so that nothing aliases.
    Beyond the border the last voxel repeats."""
    for axis, (places, step) in enumerate(zip(at, zoom), start=1):
        if step == 1 and (places == np.round(places)).all():
            values = values.take(np.clip(places, 0, values.shape[axis] - 1).astype(np.intp), axis)
        else:
            weights = _weights(places, values.shape[axis], step)
            values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return np.ascontiguousarray(values, np.float32)


def nearest(at: Sequence[NDArray[np.float64]], inner: Sequence[slice]) -> tuple[NDArray[np.intp], ...]:
    """Indices, for np.ix_, into a part of the image of the voxels next to these places."""
    return np.ix_(*(np.clip(np.floor(p + 0.5), s.start, s.stop - 1).astype(np.intp) - s.start
                    for p, s in zip(at, inner)))  # fmt: skip


def _weights(places: NDArray[np.floating], length: int, step: float) -> NDArray[np.float32]:
    """(places, length) a triangle around each place, as wide as the coarser of the two grids."""
    width = max(1.0, step)
    clipped = np.clip(places, 0, length - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(length)[None] - clipped[:, None]) / width)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
