"""An array as an image of a project."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.formats import grid_of_image
from storage.formats.base import FileRefused, check_size, to_pixel_type
from storage.formats.channels.channelled import ChannelFacts, Origin, channelled
from storage.scan import Scan, robust_window, value_range

AXES = "(Y, X) or (Z, Y, X), with a last axis of 3 where it is in colour"


def scan_of_channels(
    name: str, channels: Mapping[str, NDArray[Any]], spacing_mm: tuple[float, float, float] | None
) -> Scan:
    """Of (Y, X) or (Z, Y, X) grey arrays of one shape by their names. Raises ValueError."""
    parts = {key: scan_of_array(key, one, spacing_mm) for key, one in channels.items()}
    shapes = {part.shape for part in parts.values()}
    if len(parts) < 2 or len(shapes) != 1 or any(part.channels > 1 for part in parts.values()):
        raise ValueError(f"{name}: channels are two or more grey arrays of one shape; got {shapes}")
    shape = shapes.pop()
    grid = grid_of_image({}, shape, next(iter(parts.values())).spacing_mm)
    try:
        facts = ChannelFacts(tuple(parts), stains=True)
    except FileRefused as refusal:
        raise ValueError(f"{name}: {refusal}") from None
    scan = channelled([part.pixels for part in parts.values()], facts, Origin(name, grid))
    return replace(scan, source=name)


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
