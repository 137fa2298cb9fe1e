"""A grid that lies otherwise in the patient, for images whose file said nothing or something wrong.

What the sides of the screen are called changes, and with it the place that masks are exported to. Whoever keeps the
pixels turns them, so that they are shown as the new header says.
"""

from dataclasses import replace

import numpy as np

from storage.formats.grid import LETTERS, Grid

Ends = tuple[str, str, str]  # letters of the first slice, the top and the left of the screen
EXAMPLE = "S A R for slices from the head down, seen from the feet"


def reoriented(grid: Grid, low_ends: Ends) -> Grid:
    """`low_ends`: what lies at the low end of display z, y and x. The spacing stays, and so does the corner.

    What the file's header said word for word is dropped, because it says the old place. Raises ValueError.
    """
    directions = [_direction(letter) for letter in low_ends]
    if sorted(world for world, _ in directions) != [0, 1, 2]:
        raise ValueError(
            f"the ends are one of R and L, one of A and P, one of S and I; got {' '.join(low_ends)}, "
            f"and {EXAMPLE}, would do"
        )
    if grid.spacing_mm is None:
        raise ValueError("nobody knows how wide its voxels are; give it a spacing first")
    shown = np.eye(4) if grid.display_affine is None else grid.display_affine.copy()
    for axis, ((world, sign), mm) in enumerate(zip(directions, grid.spacing_mm, strict=True)):
        shown[:3, axis] = 0
        shown[world, axis] = sign * mm
    affine = shown @ np.linalg.inv(grid.source_of_display)
    rows = tuple(tuple(float(v) for v in row) for row in affine)
    return replace(grid, affine=rows, oriented=True, header={})


def as_told(grid: Grid, told: Grid) -> Grid:
    """The place and spacing of another file's header for the same voxels in the same order. Raises ValueError."""
    if told.shape != grid.shape:
        raise ValueError(
            f"its header is about {_times(told.shape)} voxels and the image has {_times(grid.shape)}; take the header "
            "of a file of the same size"
        )
    header = told.header if told.format == grid.format else {}
    return replace(grid, affine=told.affine, oriented=told.oriented, header=header)


def _direction(low_end: str) -> tuple[int, int]:
    """World axis, and which way it runs from this end."""
    for world, (low, high) in enumerate(LETTERS):
        if low_end == low:
            return world, 1
        if low_end == high:
            return world, -1
    raise ValueError(f"an end is R, L, A, P, S or I, got {low_end!r}")


def _times(shape: tuple[int, int, int]) -> str:
    return " x ".join(str(n) for n in shape)
