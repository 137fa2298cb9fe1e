"""Between an image's own voxels and the network's spacing, part by part: what a network learned at 1 mm it must also
be shown at 1 mm."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def sampled(values: Tensor, at: Sequence[NDArray[np.floating]], zoom: Zoom) -> Tensor:
    """(C, z, y, x) float32 values at places along each axis, linear, where they lie; towards coarser grids means, so
    that nothing aliases. Beyond the border the last voxel repeats."""
    for axis, (places, step) in enumerate(zip(at, zoom), start=1):
        length = values.shape[axis]
        if step == 1 and (places == np.round(places)).all():
            values = taken(values, np.clip(places, 0, length - 1).astype(np.int64), axis)
        else:
            weights = torch.from_numpy(_weights(places, length, step)).to(values.device, non_blocking=True)
            values = torch.tensordot(weights, values, ([1], [axis])).movedim(0, axis)
    return values


def taken(values: Tensor, indices: NDArray[np.int64], axis: int) -> Tensor:
    """The values at these indices along an axis; the same tensor where that is all of them in their order."""
    if len(indices) == values.shape[axis] and indices[0] == 0 and (np.diff(indices) == 1).all():
        return values
    return values.index_select(axis, torch.from_numpy(indices).to(values.device, non_blocking=True))


def nearest(at: Sequence[NDArray[np.float64]], inner: Sequence[slice]) -> list[NDArray[np.int64]]:
    """Along each axis the voxels of the image next to these places, counted from the start of the part."""
    return [np.clip(np.floor(p + 0.5), s.start, s.stop - 1).astype(np.int64) - s.start
            for p, s in zip(at, inner)]  # fmt: skip


def _weights(places: NDArray[np.floating], length: int, step: float) -> NDArray[np.float32]:
    """(places, length) a triangle around each place, as wide as the coarser of the two grids."""
    width = max(1.0, step)
    clipped = np.clip(places, 0, length - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(length)[None] - clipped[:, None]) / width)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
