"""What tells touching objects apart: for each voxel of an object how deep it lies and how near the object's centre.

As micro-sam's automatic instance segmentation (Archit et al., "Segment Anything for Microscopy", Nature Methods 2025)
has it: both distances are relative to the object's own size, so that a network that sees objects of all sizes need
not know which size it looks at.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from storage.arrays import BACKGROUND, UNLABELLED

CHANNELS = 2  # how deep, how near the centre: what a network is asked
DEEP, NEAR, DEEP_KNOWN, NEAR_KNOWN = range(4)  # channels of what is taught: both, and where they are known
ENCLOSED = 0.8  # of a rim that somebody spoke about: from there on an object is drawn whole


def taught(
    known: NDArray[np.uint8],
    numbers: NDArray[np.uint16],
    counted: tuple[int, ...],
    spacing: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """(4, Z, Y, X) bytes: depth and nearness of 255, then where they are known, 0 or 1.

    `known`: label values. `counted`: the classes whose objects have numbers; a voxel of such a class without a number
    belongs to an object that nobody knows, so nothing is taught there. What is drawn in part alone has no centre.
    """
    out = np.zeros((4, *known.shape), np.uint8)
    unnumbered = np.isin(known, np.array(counted, np.uint8)) & (numbers == 0)
    out[DEEP_KNOWN] = out[NEAR_KNOWN] = (known != UNLABELLED) & ~unnumbered
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is not None:
            _teach(out, known, numbers, box, number, spacing)
    return out


def _teach(
    out: NDArray[np.uint8],
    known: NDArray[np.uint8],
    numbers: NDArray[np.uint16],
    box: tuple[slice, ...],
    number: int,
    spacing: tuple[float, float, float],
) -> None:
    """One object, in place."""
    around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    said, mask = known[around], numbers[around] == number
    beyond = (said != UNLABELLED) & ~mask
    deep = _depth(mask, beyond, spacing)
    near = _nearness(mask, spacing)
    place = (slice(None), *around)
    for channel, values in ((DEEP, deep), (NEAR, near)):
        out[place][channel][mask] = np.round(255 * values[mask])
    flat, solid = rim(mask, said, (0, 1, 1)), rim(mask, said, (1, 1, 1))
    out[place][DEEP_KNOWN][mask] = max(flat, solid) >= ENCLOSED
    out[place][NEAR_KNOWN][mask] = solid >= ENCLOSED


def _depth(
    mask: NDArray[np.bool_], beyond: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Distance to what is known to be something else, 1 where it is largest. The picture's edge is no border."""
    if not beyond.any():
        return mask.astype(np.float32)
    far = ndimage.distance_transform_edt(~beyond, spacing) * mask
    return np.asarray(far / far.max(), np.float32)


def _nearness(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    """1 at the voxel of the object next to its mean place, 0 at the one that is furthest from there."""
    at = np.argwhere(mask) * np.array(spacing)
    centre = at[((at - at.mean(0)) ** 2).sum(1).argmin()]
    far = np.sqrt(((at - centre) ** 2).sum(1))
    out = np.zeros(mask.shape, np.float32)
    out[mask] = 1 - far / max(float(far.max()), 1e-6)
    return out


def rim(mask: NDArray[np.bool_], said: NDArray[np.uint8], reach: tuple[int, int, int]) -> float:
    """The share of the voxels around an object that somebody spoke about; 1 where there are none."""
    wide = ndimage.binary_dilation(mask, np.ones([2 * n + 1 for n in reach]))
    rim = wide & ~mask
    return float((said[rim] != UNLABELLED).mean()) if rim.any() else 1.0


def numbered_classes(known: NDArray[np.uint8], numbers: NDArray[np.uint16]) -> tuple[int, ...]:
    """Those of which an object has a number."""
    there = np.unique(known[numbers > 0])
    return tuple(int(v) for v in there if BACKGROUND < v < 254)
