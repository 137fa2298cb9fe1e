"""What tells touching objects apart, the other way: for each voxel of an object the direction to the object's centre.

Cellpose (Stringer et al., "Cellpose: a generalist algorithm for cellular segmentation", Nature Methods 2021): heat that
spreads inside each object from its centre is highest there, and its gradient leads around every bend. A network is
asked (1 + flow) / 2 along each axis, which its sigmoid can say.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch import Tensor

from learners.objects.distances import ENCLOSED, rim
from storage.arrays import UNLABELLED

TOGETHER = 1_000_000  # voxels of objects that are worked on at once


def taught_flows(
    known: NDArray[np.uint8],
    numbers: NDArray[np.uint16],
    counted: tuple[int, ...],
    spacing: tuple[float, float, float],
    dims: int,
) -> NDArray[np.uint8]:
    """(2D, Z, Y, X) bytes: (1 + flow) / 2 of 255 along each axis, then where each is known, 0 or 1. `dims` D is 2 for a
    network of pictures, which has one slice at a time; a network of volumes may be shown a single slice too.

    As `distances.taught` otherwise: what is drawn in part alone has no centre.
    """
    out = np.zeros((2 * dims, *known.shape), np.uint8)
    out[:dims] = as_bytes(flows_of(numbers, spacing, dims))
    unnumbered = np.isin(known, np.array(counted, np.uint8)) & (numbers == 0)
    out[dims:] = (known != UNLABELLED) & ~unnumbered
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is not None:
            around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
            mask = numbers[around] == number
            out[(slice(dims, None), *around)][:, mask] = rim(mask, known[around], (1, 1, 1)) >= ENCLOSED
    return out


def as_bytes(flows: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(127.5 * (1 + flows)).astype(np.uint8)


def flows_of(numbers: NDArray[np.integer], spacing: Sequence[float], dims: int) -> NDArray[np.float32]:
    """(D, Z, Y, X) unit vectors in the units of `spacing`, 0 where no object is; `dims` as of `taught_flows`."""
    out = np.zeros((dims, numbers.size), np.float32)
    grid = numbers[0] if dims == 2 else numbers
    for at in _together(numbers.ravel()):
        out[:, at] = _flows_at(grid, at, np.array(spacing[3 - dims :]))
    return out.reshape(dims, *numbers.shape)


def _together(numbers: NDArray[np.integer]) -> Iterator[NDArray[np.int64]]:
    """Places of whole objects, so many that memory holds them."""
    at = np.flatnonzero(numbers)
    at = at[np.argsort(numbers[at], kind="stable")]
    ends = np.append(np.flatnonzero(np.diff(numbers[at])) + 1, len(at))
    start = 0
    for end, after in zip(ends, [*ends[1:], None]):
        if end > start and (after is None or after - start > TOGETHER):
            yield np.sort(at[start:end])
            start = end


def _flows_at(
    grid: NDArray[np.integer], at: NDArray[np.int64], spacing: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(D, N) for the places of whole objects."""
    numbers, places = grid.ravel()[at], np.stack(np.unravel_index(at, grid.shape))
    offsets = np.argwhere(np.ones((3,) * grid.ndim)) - 1
    near = [_neighbours(grid, at, places, offset) for offset in offsets]
    rows, columns = (np.concatenate(parts) for parts in zip(*near))
    spread = sparse.csr_matrix(
        (np.full(len(rows), 1 / len(offsets), np.float32), (rows, columns)), (len(at),) * 2
    )
    centres, steps = _centres(numbers, places, spacing)
    heat = np.zeros(len(at), np.float32)
    for _ in range(steps):
        heat[centres] += 1
        heat = spread @ heat
    warm = np.log1p(heat.astype(np.float64))
    slopes = np.zeros(places.shape)
    for (here, there), offset in zip(near, offsets):
        if np.abs(offset).sum() == 1:  # what lies beyond the object is cold
            slopes[:, here] += offset[:, None] * warm[there]
    slopes /= spacing[:, None]
    return np.asarray(slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-30), np.float32)


def _neighbours(
    grid: NDArray[np.integer], at: NDArray[np.int64], places: NDArray[np.int64], offset: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the places have one of their own object there, and which it is."""
    there = places + offset[:, None]
    sides = np.array(grid.shape)[:, None]
    rows = np.flatnonzero(((there >= 0) & (there < sides)).all(0))
    flat = np.ravel_multi_index(tuple(there[:, rows]), grid.shape)
    same = grid.ravel()[flat] == grid.ravel()[at[rows]]
    return rows[same], np.searchsorted(at, flat[same])


def _centres(
    numbers: NDArray[np.integer], places: NDArray[np.int64], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int]:
    """Of each object the place next to its mean one; and how many steps heat takes to fill the largest."""
    _, own, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    metric = places * spacing[:, None]
    means = np.stack([np.bincount(own, axis) / counts for axis in metric])
    far = ((metric - means[:, own]) ** 2).sum(0)
    order = np.lexsort((far, own))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    reach = np.maximum.reduceat(np.abs(places - places[:, order[first]][:, own])[:, order], first, axis=1)
    return order[first], int(4 * reach.sum(0).max())


def turned(apart: Tensor, by: Tensor) -> Tensor:
    """(B, 2D, *S) as a network is taught, after the image was turned: (B, D, D) turns directions."""
    dims = apart.shape[1] // 2
    flows = torch.einsum("bij,bj...->bi...", by.to(apart), 2 * apart[:, :dims] - 1)
    return torch.cat([(1 + flows) / 2, apart[:, dims:]], 1)
