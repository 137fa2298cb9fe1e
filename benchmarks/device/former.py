"""What a step did on the processor until 2026-11-30, to compare with: patches cut and noise drawn there by NumPy and
PyTorch, then sent to the device."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.device.scene import CLASSES
from learners.methods.bcp import _by_processor
from learners.patches.cutter import PatchPlace, box_map
from learners.training.data import ImageReader, percentiles
from learners.training.losses import Sample
from learners.training.plan import Plan
from learners.training.targets import target_of
from storage.arrays import UNLABELLED, open_npy


def drawn_by_numpy(places: Sequence[PatchPlace], plan: Plan, *, unlabelled: bool) -> Sample:
    """A batch: files opened for each patch, every array made on the processor."""
    rows = [_patch(place, unlabelled=unlabelled) for place in places]
    x, y, w, inside = (torch.from_numpy(np.stack(part)).to(plan.device) for part in list(zip(*rows))[:4])
    return Sample(x, y, w, inside if unlabelled else w)


def _patch(place: PatchPlace, *, unlabelled: bool) -> tuple[np.ndarray, ...]:
    case, grid = place.case, place.grid
    values = _looked(case, grid.inner)
    for axis, (places, part) in enumerate(zip(grid.at, grid.inner), start=1):
        places = np.clip(places - part.start, 0, values.shape[axis] - 1)
        values = values.take(places.astype(np.intp), axis)
    pixels = np.ascontiguousarray(values, np.float32)
    nothing = np.full([part.stop - part.start for part in grid.inner], UNLABELLED, np.uint8)
    target = target_of(nothing, CLASSES) if unlabelled else case.target(grid.inner)
    near = np.ix_(*(each.astype(np.intp) for each in grid.near))
    z, y, x = grid.inside(case.example.shape)
    inside = z[:, None, None] & y[:, None] & x
    classes = np.where(inside, target.y[near].astype(np.int64), UNLABELLED)
    trust = np.where(inside, target.w[near], np.float32(0))
    return pixels, classes, trust, inside.astype(np.float32), box_map((), grid.at, CLASSES)


def _looked(case: ImageReader, region: tuple[slice, slice, slice]) -> np.ndarray:
    pixels = open_npy(case.example.pixels)
    low, high = percentiles(pixels)
    part = pixels[region]
    values = np.nan_to_num((np.asarray(part, np.float32) - low) / (high - low))
    return np.repeat(np.clip(values, -0.2, 1.2)[None], case.channels, 0)


def noise_by_processor(x: Tensor, rng: torch.Generator) -> Tensor:
    """For every patch, whether its look is noisy or not."""
    return torch.randn(x.shape, generator=rng).to(x)


def boxes_by_processor(x: Tensor) -> Tensor:
    """The mask of a copy-paste, sent to the device."""
    keep = torch.ones(len(x), *x.shape[2:])
    keep[:, : keep.shape[1] // 2] = 0
    return keep.to(x.device)


def pieces_by_processor(y: Tensor, classes: int) -> Tensor:
    """A copy there, and one back."""
    return _by_processor(y.cpu(), classes).to(y.device)
