"""Whether a file with known pixels says something else about where they lie than it said before."""

from collections.abc import Sequence

import numpy as np

from storage.arrays import TornFile, open_npy
from storage.formats import Grid, grid_of_image
from storage.rows import ImageRow
from storage.scan import Scan

TURNED = "its header turns it another way now"
CLOSE = 1e-5  # relative: headers are float32


def difference(image: ImageRow, now: Grid) -> str:
    """What a header says anew about pixels in the same order, in words; "" where it is as before."""
    before = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    if before.shape != now.shape or _same(before, now):
        return ""
    if before.display_shape != now.display_shape:
        return TURNED
    if not _close(before.spacing_mm, now.spacing_mm):
        return f"its header says {_mm(now.spacing_mm)} now, and the project has {_mm(before.spacing_mm)}"
    return "its header places it elsewhere in space now"


def turned(scan: Scan, images: Sequence[ImageRow]) -> ImageRow | None:
    """The one of these images that has the same voxels in the order of the file, but was shown another way."""
    now = grid_of_image(scan.geometry, scan.shape, scan.spacing_mm)
    for image in images:
        before = grid_of_image(image.geometry, image.shape, image.spacing_mm)
        if before.shape != now.shape or (before.axes, before.flips) == (now.axes, now.flips):
            continue
        try:
            pixels = open_npy(image.path)
        except TornFile:
            continue
        if pixels.ndim == scan.pixels.ndim == 3 and np.array_equal(
            before.to_source(pixels), now.to_source(scan.pixels)
        ):
            return image
    return None


def _same(before: Grid, now: Grid) -> bool:
    """Alike in all that both say: an older version of this program may have kept less."""
    if before.oriented != now.oriented or (before.affine is None) != (now.affine is None):
        return False
    if before.affine is not None and now.affine is not None:
        scale = float(np.abs(now.affine).max())
        if not np.allclose(before.affine, now.affine, rtol=CLOSE, atol=CLOSE * min(1.0, scale)):
            return False
    shared = set(before.header) & set(now.header) - {"version"}
    return all(np.allclose(before.header[key], now.header[key], rtol=CLOSE, atol=1e-6) for key in shared)


def _close(first: tuple[float, ...] | None, second: tuple[float, ...] | None) -> bool:
    if first is None or second is None:
        return first is second
    return bool(np.allclose(first, second, rtol=CLOSE, atol=0))


def _mm(spacing: tuple[float, float, float] | None) -> str:
    return "no spacing" if spacing is None else " x ".join(f"{v:g}" for v in spacing) + " mm (z, y, x)"
