"""Outlines along the edges of pixels, and back: what they enclose is exactly what was outlined.

Points are (x, y) corners of pixels: (0, 0) is the upper left corner of the first. A pixel is inside where its middle
is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Ring = NDArray[np.float64] | NDArray[np.intp]  # (N, 2) x, y; the last point is joined to the first
Corner = tuple[int, int]
Edge = tuple[int, int, int, int]  # x, y of its start and the step to its end


@dataclass(frozen=True)
class PixelOutline:
    """One part of an object, whose pixels share edges."""

    outer: NDArray[np.intp]  # (N, 2)
    holes: tuple[NDArray[np.intp], ...] = ()

    @property
    def rings(self) -> tuple[NDArray[np.intp], ...]:
        return (self.outer, *self.holes)

    def moved(self, x: int, y: int) -> "PixelOutline":
        return PixelOutline(self.outer + (x, y), tuple(hole + (x, y) for hole in self.holes))


def outlines(mask: NDArray[np.bool_]) -> list[PixelOutline]:
    """Of the parts of (H, W), none of which touches itself but with a hole at a corner."""
    parts, _ = ndimage.label(mask)
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        rings = sorted(_rings(parts[box] == number), key=signed_area, reverse=True)
        outer, *holes = (np.array(ring, np.intp) for ring in rings)
        found.append(PixelOutline(outer, tuple(holes)).moved(box[1].start, box[0].start))
    return found


@dataclass(frozen=True)
class FilledBox:
    """The pixels within rings, in the box around them."""

    mask: NDArray[np.bool_]  # (h, w)
    x: int
    y: int


def filled_box(rings: Sequence[Ring], shape: tuple[int, int]) -> FilledBox:
    """As `filled`, without the rest of the picture. Raises ValueError for places that are no numbers."""
    points = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings])
    if not np.isfinite(points).all():
        raise ValueError("a place of an outline is no number")
    limit = (shape[1], shape[0])
    low = np.clip(np.floor(points.min(axis=0)), 0, limit).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), low, limit).astype(int)
    moved = [np.asarray(ring, np.float64) - low for ring in rings]
    width, height = high - low
    return FilledBox(filled(moved, (int(height), int(width))), int(low[0]), int(low[1]))


def filled(rings: Iterable[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) pixels whose middles lie within an odd number of these rings; what lies outside the picture is cut off."""
    height, width = shape
    odd = np.zeros((height, width + 1), bool)
    for ring in rings:
        start = np.asarray(ring, np.float64)
        end = np.roll(start, -1, axis=0)
        low, high = (
            np.where((start[:, 1] <= end[:, 1])[:, None], a, b) for a, b in ((start, end), (end, start))
        )
        first = np.clip(np.ceil(low[:, 1] - 0.5), 0, height).astype(int)
        last = np.clip(np.ceil(high[:, 1] - 0.5), 0, height).astype(int)
        for at in np.flatnonzero(last > first):
            rows = np.arange(first[at], last[at])
            slope = (high[at, 0] - low[at, 0]) / (high[at, 1] - low[at, 1])
            x = low[at, 0] + (rows + 0.5 - low[at, 1]) * slope
            odd[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(odd, axis=1)[:, :width]


def one_path(parts: Sequence[PixelOutline]) -> NDArray[np.intp]:
    """(N, 2) one closed path around all parts and holes, for formats that take no more. It goes to each ring and back
    by the same way, so that it encloses the same pixels."""
    rings = [ring for part in parts for ring in part.rings]
    start = rings[0][:1]
    if len(rings) == 1:
        return rings[0]
    return np.concatenate([piece for ring in rings for piece in (ring, ring[:1], start)][:-1])


def signed_area(ring: Sequence[Corner] | NDArray[np.intp]) -> float:
    """Above 0 around pixels, below 0 around a hole."""
    x, y = np.asarray(ring, np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _rings(mask: NDArray[np.bool_]) -> Iterator[list[Corner]]:
    """Closed ways along the edges with the pixels on the right hand, turning left where it can; corners alone."""
    left = _edges(mask)
    while left:
        first = edge = next(iter(left))
        ring: list[Corner] = []
        while True:
            del left[edge]
            x, y, dx, dy = edge
            x, y = x + dx, y + dy
            turns = ((x, y, dy, -dx), (x, y, dx, dy), (x, y, -dy, dx))
            following = next((turn for turn in turns if turn in left or turn == first), first)
            if following[2:] != (dx, dy):
                ring.append((x, y))
            if following == first:
                break
            edge = following
        yield ring


def _edges(mask: NDArray[np.bool_]) -> dict[Edge, None]:
    """Every edge between a pixel of (H, W) and what is outside, in a stable order."""
    inside = np.pad(mask, 1)
    middle = inside[1:-1, 1:-1]
    sides = (  # where the neighbour is outside; where the edge starts, seen from the pixel; where it leads
        (inside[:-2, 1:-1], 0, 0, 1, 0),
        (inside[1:-1, 2:], 1, 0, 0, 1),
        (inside[2:, 1:-1], 1, 1, -1, 0),
        (inside[1:-1, :-2], 0, 1, 0, -1),
    )
    found: dict[Edge, None] = {}
    for neighbour, x, y, dx, dy in sides:
        rows, columns = np.nonzero(middle & ~neighbour)
        found |= dict.fromkeys((c + x, r + y, dx, dy) for r, c in zip(rows.tolist(), columns.tolist()))
    return found
