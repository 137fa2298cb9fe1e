"""Shape-based interpolation for slices of all three planes at once; looks at the labels alone, never at the image.

Along one axis, outlines are blended as in S. P. Raya and J. K. Udupa, "Shape-based interpolation of multidimensional
objects", IEEE TMI 1990, after being moved onto each other's centre. What the slices of another axis say differently is
blended along that axis and added (W. J. Gordon's transfinite interpolation), so every labelled slice is met exactly.
Distances s are bent into s (2 R - s), R the radius of the largest disc inside: a ball then comes out as a ball.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import PropagationInput, PropagationResult, RunControl
from learners.propagate.distances import chances, guess_of, in_plane, nearest_mm, signed_distance
from storage.arrays import plane

BLUR = 0.5  # voxels: how exactly a person draws an edge
SPREAD = 0.25  # mm by which an edge may be off for each mm from the nearest slice that shows it
CLOSING = 0.8  # seen on slices of one axis only, an object ends beyond them like a ball stretched by 1 / this
PRESENT, ABSENT = 3.0, 1.0  # radii over which a slice of another axis is believed: with the class, without


@dataclass(frozen=True)
class ClassOnAxis:
    """One class on the slices of one axis that speak about it."""

    axis: int
    at: tuple[int, ...]
    height: dict[int, NDArray[np.float32]]  # bent distances (rows, columns) of the slices that show it
    radius: dict[int, float]  # mm; 0 where the slice says that it is not there


def interpolate(case: PropagationInput, run: RunControl) -> PropagationResult:
    """Milliseconds for small volumes; cheap enough to ignore the deadline."""
    return guess_of(case, chances(scores(case, run)))


def scores(
    case: PropagationInput, run: RunControl
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Per class: (Z, Y, X) signed distance in mm, and the doubt about it in mm."""
    for n, value in enumerate(case.classes):
        run.check()
        run.progress(n / len(case.classes))
        yield _score(case, value)


def _score(case: PropagationInput, value: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    found = [_shown(case, axis, value) for axis in range(3)]
    views = sorted((s for s in found if any(s.radius.values())), key=lambda s: -len(s.at))
    radius = max(r for view in views for r in view.radius.values())
    height = _stack(case, views[0])
    for view in [*views[1:], *(s for s in found if s.at and not any(s.radius.values()))]:
        _correct(case, height, view, radius)
    score = radius - np.sqrt(np.maximum(radius**2 - height, 0))
    return score, _doubt(case, [s for s in found if s.at])


def _shown(case: PropagationInput, axis: int, value: int) -> ClassOnAxis:
    at = case.speaking(axis, value)
    spacing = in_plane(case.spacing_mm, axis)
    masks = {k: plane(case.known, axis, k) == value for k in at}
    distances = {k: signed_distance(mask, spacing) for k, mask in masks.items() if mask.any()}
    radius = {k: float(distances[k].max()) if k in distances else 0.0 for k in at}
    return ClassOnAxis(axis, tuple(at), {k: s * (2 * radius[k] - s) for k, s in distances.items()}, radius)


def _stack(case: PropagationInput, view: ClassOnAxis) -> NDArray[np.float32]:
    """(Z, Y, X) heights blended between the slices of one axis and closed beyond them."""
    n, mm = case.shape[view.axis], case.spacing_mm[view.axis]
    cuts = []
    for k in range(n):
        before = max((a for a in view.at if a <= k), default=None)
        after = min((a for a in view.at if a >= k), default=None)
        cuts.append(_cut(view, k, before, after, mm))
    return np.moveaxis(np.stack(cuts), 0, view.axis)


def _cut(view: ClassOnAxis, k: int, before: int | None, after: int | None, mm: float) -> NDArray[np.float32]:
    """The height at position k between two slices, or beyond the last one."""
    ends = [e for e in (before, after) if e is not None]
    if len(ends) == 2 and all(e in view.height for e in ends) and ends[0] != ends[1]:
        return _between(view.height[ends[0]], view.height[ends[1]], (k - ends[0]) / (ends[1] - ends[0]))
    end = next((e for e in ends if e in view.height), None)
    if end is None:
        near = min(view.height, key=lambda e: abs(e - k))
        return view.height[near] - 2 * view.radius[near] ** 2
    if len(ends) == 2 and ends[0] != ends[1]:  # shown here, absent there: gone halfway
        return view.height[end] - 2 * view.radius[end] ** 2 * abs(k - end) / (ends[1] - ends[0])
    return view.height[end] - (CLOSING * abs(k - end) * mm) ** 2


def _between(a: NDArray[np.float32], b: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """The outline a share t of the way from a to b, in the place a share t of the way."""
    gap = _centre(b) - _centre(a)
    return (1 - t) * _moved(a, t * gap) + t * _moved(b, (t - 1) * gap)


def _centre(height: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.argwhere(height > 0).mean(0)


def _moved(height: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    """Shifted by (rows, columns); what comes in from outside repeats the edge."""
    if not by.any():
        return height
    shift = np.array([[1, 0, by[1]], [0, 1, by[0]]])
    size = (height.shape[1], height.shape[0])
    moved = cv2.warpAffine(height, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _correct(case: PropagationInput, height: NDArray[np.float32], view: ClassOnAxis, radius: float) -> None:
    """Add, in place, what the slices of another axis say differently, blended along that axis."""
    steps = np.moveaxis(height, view.axis, 0)
    least = min(case.spacing_mm)
    wrong = []
    for k in view.at:
        if k in view.height:
            wrong.append(view.height[k] - steps[k])
        else:
            wrong.append(np.minimum(-least * least - steps[k], 0))
    mm = case.spacing_mm[view.axis]
    for k in range(len(steps)):
        right = int(np.searchsorted(view.at, k))
        low, high = max(right - 1, 0), min(right, len(wrong) - 1)
        gap = max(view.at[high] - view.at[low], 1)
        share = float(np.clip((k - view.at[low]) / gap, 0, 1)) if high > low else 0.0
        for n, weight in ((low, 1 - share), (high, share)):
            reach = PRESENT if view.at[n] in view.height else ABSENT
            steps[k] += weight * wrong[n] / (1 + (abs(k - view.at[n]) * mm / (reach * radius)) ** 2)


def _doubt(case: PropagationInput, views: list[ClassOnAxis]) -> NDArray[np.float32]:
    """(Z, Y, X) mm by which an edge may be off: more, the further the nearest slice that speaks."""
    near = np.full((1, 1, 1), np.inf, np.float32)
    for view in views:
        across = [1, 1, 1]
        across[view.axis] = -1
        distance = nearest_mm(case.shape[view.axis], list(view.at), case.spacing_mm[view.axis])
        near = np.minimum(near, distance.reshape(across))
    return np.broadcast_to(BLUR * min(case.spacing_mm) + SPREAD * near, case.shape).astype(np.float32)
