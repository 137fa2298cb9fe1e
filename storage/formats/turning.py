"""A picture turned the right way up by its orientation tag: one rule for TIFF, and for EXIF in JPEG and PNG."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TAG = 274  # the same number in TIFF and in EXIF
MIRRORED = {
    2: (1,),
    3: (0, 1),
    4: (0,),
    5: (),
    6: (1,),
    7: (0, 1),
    8: (0,),
}  # axes, after transposing from 5 on


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(Y, X[, C]) as stored -> as it is meant to be seen. Other numbers than 2 to 8 change nothing."""
    upright = np.swapaxes(values, 0, 1) if swaps_sides(orientation) else values
    return np.flip(upright, MIRRORED.get(orientation, ()))


def swaps_sides(orientation: int) -> bool:
    """Whether rows become columns."""
    return 5 <= orientation <= 8
