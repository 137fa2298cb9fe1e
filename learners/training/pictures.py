"""Slices as the pictures that prompt models and their trunks look at."""

import numpy as np
from numpy.typing import NDArray

from learners.training.data import ImageReader
from storage.arrays import open_npy, plane


def picture_of(case: ImageReader, axis: int, index: int) -> NDArray[np.uint8]:
    """(H, W, 3) of a slice. Pictures of 8 bits stay as they are: spreading the noise of those that hold nothing over
    all greys would tell them from the others by their background. Else the image's intensities fill 0..255."""
    pixels = open_npy(case.example.pixels)
    if pixels.dtype == np.uint8 and pixels.shape[0] == 1:
        return _in_colour(np.array(plane(pixels, axis, index)))
    region = [slice(0, n) for n in case.example.shape]
    region[axis] = slice(index, index + 1)
    seen = plane(np.moveaxis(case.look((region[0], region[1], region[2])), 0, -1), axis, 0)
    seen = np.clip(seen * 255, 0, 255).astype(np.uint8)
    return _in_colour(seen)


def _in_colour(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W), (H, W, 1) or (H, W, 3) as (H, W, 3)."""
    seen = seen[..., None] if seen.ndim == 2 else seen
    return np.repeat(seen, 3, 2) if seen.shape[2] == 1 else np.ascontiguousarray(seen[..., :3])
