"""Where slices lie, compared in parts of a voxel: which belong together, which share a place, how far the next one is.

Nothing here rounds into buckets: two values on either side of a bucket's edge would part what belongs together.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.formats.base import FileRefused
from storage.formats.dicom_headers import Slice

GAP = 0.05  # slice distances may differ by this share of their median
OFF_LINE_VOXELS = 0.5  # and slice centres may lie this far off a straight line
SAME_PLACE = 0.01  # nearer than this part of a voxel is the same place
SAME_SPACING = 0.001  # pixel sizes of one grid differ by less than this share
TILT = 0.01  # radians between slices of one grid at the most, less where a picture is large
OFF_LINE = "its slices do not lie on one straight grid; export it as a straight series"
UNPLACED = "{count} of its {total} slices do not say where they lie; export the whole series again"


def same_grid(first: Slice, other: Slice) -> bool:
    """Whether two slices have the same pixel size and direction, as nearly as a scanner's rounding leaves them."""
    if first.spacing and other.spacing:
        apart = np.abs(np.subtract(first.spacing, other.spacing))
        if (apart > SAME_SPACING * np.maximum(first.spacing, other.spacing)).any():
            return False
    if first.orientation and other.orientation:
        tilt = np.abs(np.subtract(first.orientation, other.orientation)).max()
        return bool(tilt <= min(TILT, 1 / max(first.rows, first.columns)))  # a pixel at the far edge
    return True  # one that does not say it stays with its series, and is refused there


def clustered(slices: Sequence[Slice], alike: Callable[[Slice, Slice], bool]) -> list[list[Slice]]:
    """Groups in the order of their first slices; a slice joins the first group whose first slice it is like."""
    groups: list[list[Slice]] = []
    for found in sorted(slices, key=lambda s: s.orientation is None or s.spacing is None):
        group = next((g for g in groups if alike(g[0], found)), None)
        if group is None:
            groups.append([found])
        else:
            group.append(found)
    order = {id(s): n for n, s in enumerate(slices)}
    for group in groups:
        group.sort(key=lambda s: order[id(s)])
    return sorted(groups, key=lambda g: order[id(g[0])])


def check_placed(slices: Sequence[Slice]) -> bool:
    """Whether the slices say where they lie. Raises FileRefused where some do and some do not."""
    placed = [s.position is not None and s.orientation is not None for s in slices]
    if any(placed) and not all(placed):
        raise FileRefused(UNPLACED.format(count=placed.count(False), total=len(slices)))
    return all(placed)


def places(slices: Sequence[Slice]) -> list[int]:
    """For each slice the number of its place; slices of one place have one number, those without a place their own."""
    numbers, placed = [-1 - n for n in range(len(slices))], [n for n, s in enumerate(slices) if s.position]
    positions = np.array([slices[n].position for n in placed], float).reshape(-1, 3)
    if len(placed) < 2:
        return numbers
    spread = positions - positions[0]
    along = spread @ _main_direction(spread)
    near = SAME_PLACE * _voxel(slices, along)
    order = np.argsort(along, kind="stable")
    for at, n in enumerate(order):
        before = at - 1
        numbers[placed[n]] = at
        while before >= 0 and along[n] - along[order[before]] <= near:
            if np.linalg.norm(positions[n] - positions[order[before]]) <= near:
                numbers[placed[n]] = numbers[placed[order[before]]]
                break
            before -= 1
    return numbers


def step(slices: Sequence[Slice], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way from one sorted slice to the next in mm; refuses gaps and slices off the line."""
    positions = np.array([s.position for s in slices], float)
    if len(positions) == 1:
        return normal * slices[0].thickness
    along = np.diff(positions @ normal)
    usual = float(np.sort(along)[(len(along) - 1) // 2])  # one that occurs, so that it can be told
    if usual <= 0:
        raise FileRefused(OFF_LINE)
    wide = np.flatnonzero(np.abs(along - usual) > GAP * usual)
    if len(wide):
        at = int(wide[0]) + 1
        raise FileRefused(
            f"its slices are unevenly spaced: {_mm(along[at - 1])} between slices {at} and {at + 1}, "
            f"{_mm(usual)} elsewhere ({len(wide)} such gaps); slices are missing, export the whole series again"
        )
    way: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.outer(np.arange(len(positions)), way)
    allowed = max(OFF_LINE_VOXELS * min(slices[0].spacing or (usual,)), GAP * usual)
    if np.abs(positions - line).max() > allowed:
        raise FileRefused(OFF_LINE)
    return way


def _main_direction(spread: NDArray[np.float64]) -> Any:
    """The direction in which positions differ most: sorting along it brings equal places together."""
    longest = spread[int(np.argmax(np.linalg.norm(spread, axis=1)))]
    length = np.linalg.norm(longest)
    return longest / length if length else np.array([0.0, 0.0, 1.0])


def _voxel(slices: Sequence[Slice], along: NDArray[np.float64]) -> float:
    """The smaller of a pixel and the widest step: what "near" is measured by."""
    sizes = [float(np.diff(np.sort(along)).max())] + [min(s.spacing) for s in slices if s.spacing][:1]
    return min(size for size in (*sizes, np.inf) if size > 0)


def _mm(value: float) -> str:
    return f"{value:.2f} mm" if value >= 0.1 else f"{value:.3g} mm"
