"""An array as an image of a project."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.formats.base import FileRefused, check_size, to_pixel_type
from storage.scan import Scan, robust_window, value_range

AXES = "(Y, X) or (Z, Y, X), with a last axis of 3 where it is in colour"


def scan_of_array(name: str, array: NDArray[Any], spacing_mm: tuple[float, float, float] | None) -> Scan:
    """(Y, X[, 3]) is a picture, (Z, Y, X[, 3]) a volume; an array of three or four axes that ends with 3 is colour
    where it is uint8. Raises ValueError."""
    stored = np.asarray(array)
    colour = stored.ndim in (3, 4) and stored.shape[-1] == 3 and stored.dtype == np.uint8
    spatial = stored.ndim - colour
    if spatial not in (2, 3):
        raise ValueError(f"an image is {AXES}; got an array of shape {stored.shape}")
    try:
        check_size(stored.shape[:spatial])
        pixels = to_pixel_type(np.ascontiguousarray(stored if spatial == 3 else stored[None]))
    except FileRefused as refusal:
        raise ValueError(f"{name}: {refusal}") from None
    spacing = (
        None if spacing_mm is None else (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    )
    return Scan(
        name,
        pixels,
        spacing,
        None,
        window=robust_window(pixels),
        value_range=value_range(pixels),
        source=name,
    )
