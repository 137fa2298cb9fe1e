"""A grid with another spacing, for images whose file said nothing or something wrong."""

from dataclasses import replace

import numpy as np

from storage.formats.grid import Grid

SMALLEST_MM, LARGEST_MM = 1e-6, 1e4  # a nanometre, ten metres


def respaced(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """`spacing_mm` in display order (z, y, x). Directions and the corner stay. What the file's header said word for
    word is dropped, because it says the old spacing. Raises ValueError."""
    if not all(SMALLEST_MM <= mm <= LARGEST_MM for mm in spacing_mm):
        raise ValueError(
            f"a voxel is {SMALLEST_MM:g} to {LARGEST_MM:g} mm wide, got {spacing_mm}; give z, y and x in mm"
        )
    affine = np.eye(4) if grid.affine is None else np.array(grid.affine, float)
    for display, axis in enumerate(grid.axes):
        affine[:3, axis] *= spacing_mm[display] / np.linalg.norm(affine[:3, axis])
    return replace(grid, affine=tuple(tuple(float(v) for v in row) for row in affine), header={})
