"""A part of a volume laid into the whole by where it lies in space: whole voxels, never resampled."""

from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from storage.formats.base import FileRefused
from storage.formats.grid import TOLERANCE_VOXELS, Grid

ELSEWHERE = "its voxels are not those of the image; resample it to the image first"
OUTSIDE = "it says something outside the image; does it belong to another one?"


def laid_into(values: NDArray[Any], affine: NDArray[np.float64], image: Grid) -> NDArray[Any]:
    """(i, j, k) with its 4 x 4 voxel -> RAS mm to (Z, Y, X) of the image, 0 where the part does not reach.

    Raises FileRefused where voxels do not meet voxels to a tenth, and where something lies outside.
    """
    whole = image.display_affine
    if whole is None:
        raise FileRefused("its image does not say where it lies; save it with its place")
    between = np.linalg.solve(whole, affine)  # own index -> display index
    turns = io_orientation(between)
    if np.isnan(turns).any():
        raise FileRefused(ELSEWHERE)
    order = np.argsort(turns[:, 0])  # of own axes, by the axis of the display
    backwards = tuple(d for d, axis in enumerate(order) if turns[axis, 1] < 0)
    turned = np.flip(np.transpose(values, order), backwards)
    start = _start(between, values.shape, image)
    out = np.zeros(image.display_shape, values.dtype)
    stop = start + turned.shape
    inner, part = (
        tuple(slice(a, b) for a, b in zip(low, high))
        for low, high in (
            (np.clip(start, 0, out.shape), np.clip(stop, 0, out.shape)),
            (np.clip(-start, 0, turned.shape), np.clip(np.array(out.shape) - start, 0, turned.shape)),
        )
    )
    out[inner] = turned[part]
    if np.count_nonzero(out) != np.count_nonzero(turned):
        raise FileRefused(OUTSIDE)
    return out


def _start(between: NDArray[Any], shape: tuple[int, ...], image: Grid) -> NDArray[np.intp]:
    """The display index of the part's first voxel; every corner must meet a voxel."""
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    places = (between @ corners.T)[:3]
    if np.abs(places - np.rint(places)).max() > TOLERANCE_VOXELS:
        raise FileRefused(ELSEWHERE)
    low, high = np.rint(places.min(axis=1)), np.rint(places.max(axis=1))
    axes = np.argsort(io_orientation(between)[:, 0])
    if not np.array_equal(high - low + 1, np.array(shape)[axes]):  # as many voxels along each axis
        raise FileRefused(ELSEWHERE)
    return np.asarray(low, np.intp)
