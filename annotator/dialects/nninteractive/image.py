"""A volume that a tool sends, for the prompt model and the fills to be asked about. It does not join the project."""

import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.dialects.subjects import Subject
from storage.arrays import write_npy
from storage.formats import FileRefused, Grid
from storage.formats.base import to_pixel_type
from storage.scan import robust_window

THICKER = 1.2  # than its pixels are wide: then a slice is what was taken as one


def subject_of_array(folder: Path, array: NDArray[Any], told: Mapping[str, Any]) -> tuple[Subject, int]:
    """(1, Z, Y, X) in the tool's own order, and the axis along which its slices lie. Raises ValueError."""
    if array.ndim != 4 or array.shape[0] != 1:
        raise ValueError(f"an image is (1, X, Y, Z) here, got {array.shape}; send one channel")
    try:
        pixels = np.ascontiguousarray(to_pixel_type(array[0]))
    except FileRefused as refusal:
        raise ValueError(f"the image is refused: {refusal}") from None
    spacing = _spacing(told.get("image_properties"))
    z, y, x = pixels.shape
    path = folder / f"{secrets.token_hex(8)}.npy"
    write_npy(path, pixels)
    subject = Subject(
        path, (z, y, x), Grid("made", (x, y, z)), robust_window(pixels), spacing or (1.0, 1.0, 1.0)
    )
    return subject, _slice_axis((z, y, x), spacing)


def _spacing(properties: Any) -> tuple[float, float, float] | None:
    found = properties.get("spacing") if isinstance(properties, dict) else None
    if not isinstance(found, list) or len(found) != 3:
        return None
    if not all(isinstance(v, int | float) and math.isfinite(v) and 0 < v < 1e6 for v in found):
        return None
    return float(found[0]), float(found[1]), float(found[2])


def _slice_axis(shape: tuple[int, int, int], spacing: tuple[float, float, float] | None) -> int:
    """The one of thick slices; else the one with the fewest; the first of equal ones."""
    if spacing is not None:
        thickest = max(range(3), key=lambda d: spacing[d])
        if spacing[thickest] > THICKER * sorted(spacing)[1]:
            return thickest
    return min(range(3), key=lambda d: shape[d])
