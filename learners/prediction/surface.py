"""How far apart the surfaces of two masks lie, in the units of the spacing: SciPy's distance transforms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

PERCENTILE = 95.0
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]


def surface_distances(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: Sequence[float]
) -> Distances | None:
    """From every surface voxel of `a` to the surface of `b`, and back; None where either mask is empty. A mask that
    reaches the border of the array has a surface there."""
    if not a.any() or not b.any():
        return None
    (around,) = find_objects((a | b).astype(np.uint8))
    first, second = _surface(a[around]), _surface(b[around])
    to_second = distance_transform_edt(~second, sampling=spacing)
    to_first = distance_transform_edt(~first, sampling=spacing)
    return np.asarray(to_second[first]), np.asarray(to_first[second])


def hausdorff95(pieces: Sequence[Distances]) -> float | None:
    """The larger of the two directed 95th percentiles, over all pieces (slices of one image, or the whole of it)."""
    if not pieces:
        return None
    directed = (np.concatenate([piece[side] for piece in pieces]) for side in (0, 1))
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rim: NDArray[np.bool_] = mask & ~np.asarray(binary_erosion(mask), bool)
    return rim
