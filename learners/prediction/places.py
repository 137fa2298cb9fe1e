"""Where on a picture small objects may be: the maxima of what a model thinks of it, the likeliest first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTHED = 0.25  # of an object's side: peaks of noise are none of an object
APART = 1.0  # sides that two places lie apart at least
HALF = 0.5  # of the maximum: what is likelier belongs to the same object
REACH = 4.0  # sides of an object that a box spans at most
FAINTEST = 0.02  # probability at a maximum that is worth a look
MARGIN = 0.15  # of an object's side around it in its box


@dataclass(frozen=True)
class LikelyPlace:
    """A box on a picture in which an object may lie."""

    box: tuple[int, int, int, int]  # r0, c0, r1, c1, half-open
    likely: float  # 0..1, smoothed: good for an order, and no probability of an object


def places(likely: NDArray[np.floating], side: float, most: int) -> tuple[LikelyPlace, ...]:
    """From an (H, W) map of how likely a pixel is object, 0..1. `side`: pixels that an object fills, in height and
    width; nothing is found where the map is 0."""
    smooth = ndimage.gaussian_filter(likely.astype(np.float32), SMOOTHED * side)
    apart = max(1, round(APART * side))
    peaks = (smooth == ndimage.maximum_filter(smooth, size=2 * apart + 1)) & (smooth >= FAINTEST)
    rows, columns = np.nonzero(peaks)
    order = np.argsort(-smooth[rows, columns], kind="stable")
    at = zip(rows[order].tolist(), columns[order].tolist())
    found: list[LikelyPlace] = []
    for row, column in at:
        if len(found) == most:
            break
        if any(_inside((row, column), place.box) for place in found):
            continue  # another maximum of the same object, or of a plateau
        found.append(LikelyPlace(_box(smooth, (row, column), side), round(float(smooth[row, column]), 4)))
    return tuple(found)


def _inside(at: tuple[int, int], box: tuple[int, int, int, int]) -> bool:
    return box[0] <= at[0] < box[2] and box[1] <= at[1] < box[3]


def _box(smooth: NDArray[np.float32], at: tuple[int, int], side: float) -> tuple[int, int, int, int]:
    """Around what is half as likely as the maximum and hangs together with it, within reach."""
    reach = max(1, round(REACH * side / 2))
    low = [max(0, n - reach) for n in at]
    high = [min(whole, n + reach + 1) for n, whole in zip(at, smooth.shape)]
    window = smooth[low[0] : high[0], low[1] : high[1]]
    pieces, _ = ndimage.label(window >= HALF * smooth[at])
    rows, columns = np.nonzero(pieces == pieces[at[0] - low[0], at[1] - low[1]])
    margin = max(1, round(MARGIN * side))
    return (
        max(0, low[0] + int(rows.min()) - margin),
        max(0, low[1] + int(columns.min()) - margin),
        min(smooth.shape[0], low[0] + int(rows.max()) + 1 + margin),
        min(smooth.shape[1], low[1] + int(columns.max()) + 1 + margin),
    )
