"""From flows to numbered objects: every voxel follows the flow, and those that meet are one object.

As Cellpose (Stringer et al., 2021) has it: Euler steps, peaks where many voxels arrive, and a check of each object,
whose own flows must be about those that the network said. An object that fails is cut by its shape.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from learners.objects.cutting import number_objects
from learners.objects.flows import flows_of

STEPS = 120  # each of a voxel of the network, which sees objects of 40 voxels along a side
SMOOTH, WINDOW = 1.0, 5  # voxels of the network: of the map of arrivals, and how far apart its peaks are
FEWEST = 4.0  # voxels that arrive at a peak at least
ERROR = 0.4  # mean squared difference of flows from which on an object is none
CONNECTED = np.ones((3, 3, 3), bool)


def followed(
    mask: NDArray[np.bool_], apart: NDArray[np.uint8], step: float, spacing: Sequence[float]
) -> NDArray[np.int32]:
    """(z, y, x) numbers of a mask's voxels; `apart`: (D, z, y, x) of 255 as a network says it; `step` in voxels."""
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    flows = apart.astype(np.float32) / 127.5 - 1
    met = _met(_arrivals(mask, flows, step, spacing), mask, step)
    fits = _errors(met, flows, spacing) <= ERROR
    fits[0] = False
    met[~fits[met]] = 0
    rest = number_objects((mask & (met == 0)).astype(np.uint8), spacing).astype(np.int32)
    return np.where(rest > 0, rest + met.max(), met)


def _arrivals(
    mask: NDArray[np.bool_], flows: NDArray[np.float32], step: float, spacing: Sequence[float]
) -> NDArray[np.int64]:
    """(3, N) where each voxel of the mask ends."""
    dims, sides = len(flows), mask.shape[3 - len(flows) :]
    relative = np.array(spacing[3 - dims :]) / min(spacing[3 - dims :])
    inside = torch.from_numpy(flows * mask)[(None, slice(None)) + (0,) * (3 - dims)]
    # what grid_sample calls a place: -1 to 1 along each axis, the last one first
    half = torch.tensor([max(1, n - 1) / 2 for n in sides], dtype=torch.float32)
    speed = (torch.from_numpy(step / relative).float() / half)[:, None]
    at = torch.from_numpy(np.argwhere(mask)[:, 3 - dims :].T.astype(np.float32)) / half[:, None] - 1
    shape = (1,) * dims + (-1, dims)
    for _ in range(STEPS):
        grid = at.flip(0).T.reshape(shape)
        at = at + speed * F.grid_sample(inside, grid, padding_mode="border", align_corners=True).reshape(
            dims, -1
        )
        at = at.clamp_(-1, 1)
    ends = ((at + 1) * half[:, None]).round().long().numpy()
    z = np.nonzero(mask)[0][None] if dims == 2 else ends[:0]
    return np.concatenate([z, ends])


def _met(ends: NDArray[np.int64], mask: NDArray[np.bool_], step: float) -> NDArray[np.int32]:
    """(z, y, x) numbers: around each peak of the map of arrivals one object."""
    many = np.zeros(mask.shape, np.float32)
    np.add.at(many, tuple(ends), 1)
    sigma = [SMOOTH * step if n > 1 else 0 for n in mask.shape]
    window = [max(3, round(WINDOW * step)) if n > 1 else 1 for n in mask.shape]
    near = ndimage.gaussian_filter(many, sigma)
    arrived = ndimage.uniform_filter(many, window) * np.prod(window)
    peaks = (near == ndimage.maximum_filter(near, window)) & (arrived >= FEWEST)
    seeds, _ = ndimage.label(peaks, CONNECTED)
    basins = watershed(-near, seeds, mask=ndimage.maximum_filter(many, window) > 0, connectivity=CONNECTED)
    out = np.zeros(mask.shape, np.int32)
    out[mask] = basins[tuple(ends)]
    return out


def _errors(
    numbers: NDArray[np.int32], flows: NDArray[np.float32], spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Of each number the mean squared difference between its own flows and those that were said."""
    inside = numbers > 0
    apart = ((flows_of(numbers, spacing, len(flows)) - flows) ** 2).sum(0)[inside]
    counts = np.bincount(numbers[inside], minlength=int(numbers.max()) + 1)
    return np.bincount(numbers[inside], apart, minlength=len(counts)) / np.maximum(counts, 1)
