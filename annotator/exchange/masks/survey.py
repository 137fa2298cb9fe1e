"""What the values of one mask file look like, before anybody says what they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from storage.formats import COLOUR, FileRefused, Grid, read_labels

LOSSY = (".jpg", ".jpeg")
WHITE = 255
DARK, BRIGHT = 16, 240  # grey values this near to black or white are meant to be that
LOSSY_DARK, LOSSY_BRIGHT = 64, 192
EDGE = 2  # pixels within which a soft edge goes from black to white
AT_EDGES = 0.95  # share of the grey pixels of a black-and-white mask that lie there
FEWEST_GREYS = 3
HALF = 128
MOST_COLOURS = 30  # of a mask whose colours change from pixel to pixel, as those of a photograph do
FEW = 20  # values of a mask that are never taken for greys


@dataclass(frozen=True)
class MaskValues:
    """A mask as it is in its file, on its own grid, soft edges made hard."""

    values: NDArray[np.unsignedinteger]  # (Z, Y, X)
    grid: Grid
    softened: bool  # it was black and white with soft edges; grey from the middle on counts as white


@dataclass(frozen=True)
class MaskSurvey:
    """The values of one file, for a decision about all of them."""

    path: Path
    present: tuple[int, ...]  # apart from 0
    wide: bool  # more than 8 bits a value
    is_volume: bool
    softened: bool
    pieces: int  # connected parts of one value; 0 where they were not counted
    flat: (
        bool  # neighbours mostly have the same value, as within objects and classes; not so in a grey picture
    )


def read_mask(path: Path) -> MaskValues:
    """Raises FileRefused, also for values that a lossy format has changed."""
    values, grid = read_labels(path)
    coloured = values.max() >= COLOUR
    if coloured and path.suffix.lower() in LOSSY:
        raise FileRefused("it is a JPEG, which changes the colours of a mask; save it as PNG")
    if coloured and len(np.unique(values)) > MOST_COLOURS and not _flat(values):
        raise FileRefused("a colour picture is no mask; save one plain colour, or one number, for each class")
    if values.dtype.itemsize > 1 or values.shape[0] > 1:
        return MaskValues(values, grid, softened=False)
    lossy = path.suffix.lower() in LOSSY
    if _soft(values[0], lossy=lossy):
        white = np.where(values >= HALF, WHITE, 0).astype(np.uint8)
        return MaskValues(white, grid, softened=True)
    if lossy and len(np.unique(values)) > 2:
        raise FileRefused("it is a JPEG, which changes label numbers; save the mask as PNG")
    return MaskValues(values, grid, softened=False)


def survey(path: Path) -> MaskSurvey:
    """Raises FileRefused."""
    mask = read_mask(path)
    present = tuple(int(v) for v in values_in(mask.values) if v)
    wide, is_volume = mask.values.dtype.itemsize > 1, mask.values.shape[0] > 1
    few = len(present) <= FEW
    countable = wide and few and not is_volume and max(present, default=0) < COLOUR
    pieces = int(measure.label(mask.values[0], connectivity=2).max()) if countable else 0
    return MaskSurvey(path, present, wide, is_volume, mask.softened, pieces, few or _flat(mask.values))


def is_colour(value: int) -> bool:
    return value >= COLOUR


def hex_colour(value: int) -> str:
    """#rrggbb of a value that is a colour."""
    return f"#{value - COLOUR:06x}"


def values_in(values: NDArray[np.unsignedinteger]) -> NDArray[Any]:
    """The values that occur, in order."""
    if values.dtype.itemsize > 2:
        return np.unique(values)
    return np.flatnonzero(np.bincount(values.reshape(-1)))


def _flat(values: NDArray[np.unsignedinteger]) -> bool:
    """Of (Z, Y, X): whether at least half of the neighbours along a row that have a value have the same one."""
    left, right = values[..., :-1], values[..., 1:]
    inside = (left > 0) & (right > 0) & (left < values.max())
    return bool(np.count_nonzero(inside & (left == right)) * 2 >= np.count_nonzero(inside))


def _soft(values: NDArray[np.unsignedinteger], *, lossy: bool) -> bool:
    """Whether (H, W) is black and white but for pixels along the edges: smoothed, or a JPEG's noise."""
    low, high = (LOSSY_DARK, LOSSY_BRIGHT) if lossy else (DARK, BRIGHT)
    dark, bright = values < low, values >= high
    grey = ~dark & ~bright if lossy else (values > 0) & (values < WHITE)
    if not bright.any() or len(np.unique(values)) < FEWEST_GREYS + 2:
        return False
    if not lossy and len(np.unique(values[grey & (values >= DARK)])) < FEWEST_GREYS:
        return False
    around = np.ones((2 * EDGE + 1, 2 * EDGE + 1), bool)
    edges = ndimage.binary_dilation(bright, around) & ndimage.binary_dilation(dark, around)
    at_edges = np.count_nonzero(grey & edges)
    return bool(at_edges >= AT_EDGES * np.count_nonzero(grey))
