"""Outlines carried from slice to slice, out of every labelled one in both directions, and blended where they meet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.propagate.case import Case, Guess, Run
from learners.propagate.distances import guess_of, in_plane, sigmoid, signed_distance
from storage.arrays import plane

BLUR = 0.5  # voxels: how exactly a person draws an edge
DRIFT = 0.4  # mm by which an edge may have drifted for each mm that it was carried
ABSENT = 0.5  # radii by which a slice that says "not here" speaks against: where in the gap it ends is open
SLOWEST, FASTEST = 0.1, 1.0  # mm by which an object shrinks for each mm beyond the last slice that shows it

Score = NDArray[np.float32]  # (rows, columns) signed distance to an outline in mm, positive inside
Mover = Callable[[Score, int, int], Score]  # carries a score from one slice of an axis to the next


@dataclass
class Sum:
    """Scores of one class, weighed by how near the slice is that they come from."""

    scores: NDArray[np.float32]  # (Z, Y, X)
    weights: NDArray[np.float32]
    near: NDArray[np.float32]  # mm to the nearest slice that speaks


@dataclass(frozen=True)
class Way:
    """Along which axis, in which direction, for which class, out of which slices."""

    axis: int
    step: int
    value: int
    at: list[int]
    radius: float  # mm, of the largest disc in any outline
    reach: float  # mm that the object is expected to go on for beyond the last slice; 0: other slices show it


def carry(case: Case, run: Run, mover_of: Callable[[Case, int], Mover]) -> Guess:
    """A guess by any way of moving an outline to the next slice; past the deadline outlines stay where they are."""
    guess = guess_of(case, carried(case, run, mover_of))
    return Guess(guess.classes, guess.probability, not run.late)


def carried(case: Case, run: Run, mover_of: Callable[[Case, int], Mover]) -> Iterator[NDArray[np.float32]]:
    """The probability of each class on its own."""
    movers = [mover_of(case, axis) for axis in range(3)]
    for n, value in enumerate(case.classes):
        run.progress(n / len(case.classes))
        total = Sum(
            np.zeros(case.shape, np.float32),
            np.zeros(case.shape, np.float32),
            np.full(case.shape, np.inf, np.float32),
        )
        views = [
            (axis, at) for axis in range(3) if _shows(case, axis, at := case.speaking(axis, value), value)
        ]
        if not views:  # drawn on none of the slices: nothing to carry along
            yield np.zeros(case.shape, np.float32)
            continue
        radius = max(_radius(case, axis, at, value) for axis, at in views)
        for axis, at in views:
            reach = (
                _reach(case, axis, at, value) if len(views) == 1 else 0.0
            )  # else others show where it ends
            for step in (1, -1):
                way = Way(axis, step, value, at, radius, reach)
                _walk(case, run, way, movers[axis], total)
        doubt = BLUR * min(case.spacing_mm) + DRIFT * total.near
        yield sigmoid(total.scores / np.maximum(total.weights, 1e-12) / doubt)


def _shows(case: Case, axis: int, at: list[int], value: int) -> bool:
    return any((plane(case.known, axis, k) == value).any() for k in at)


def _radius(case: Case, axis: int, at: list[int], value: int) -> float:
    spacing = in_plane(case.spacing_mm, axis)
    return max(float(signed_distance(plane(case.known, axis, k) == value, spacing).max()) for k in at)


def _reach(case: Case, axis: int, at: list[int], value: int) -> float:
    """mm beyond the last slice that shows a class: so much less, the more slices show how long it is."""
    shown = [k for k in at if (plane(case.known, axis, k) == value).any()]
    if len(shown) < 2:
        return np.inf
    gap = (shown[-1] - shown[0]) / (len(shown) - 1)
    return gap * case.spacing_mm[axis] * (1 + 4 / len(shown))


def _walk(case: Case, run: Run, way: Way, mover: Mover, total: Sum) -> None:
    """Add, in place, what one class becomes along one axis in one direction."""
    mm, spacing = case.spacing_mm[way.axis], in_plane(case.spacing_mm, way.axis)
    scores, weights, near = (np.moveaxis(a, way.axis, 0) for a in (total.scores, total.weights, total.near))
    source, last = (way.at[0], way.at[-1]) if way.step > 0 else (way.at[-1], way.at[0])
    score, closing = np.zeros(0, np.float32), 0.0
    for k in range(source, len(scores) if way.step > 0 else -1, way.step):
        run.check()
        if k in way.at:
            score, source = signed_distance(plane(case.known, way.axis, k) == way.value, spacing), k
            score = np.maximum(score, -ABSENT * way.radius) if score.max() <= 0 else score
            closing = min(max(float(score.max()) / way.reach, SLOWEST), FASTEST) if way.reach else 0.0
        elif not run.late and (score > 0).any():
            score = mover(score, k - way.step, k)
        distance = abs(k - source) * mm
        beyond = (k - last) * way.step > 0
        weight = 1 / (distance + mm / 2) ** 2
        scores[k] += weight * (score - closing * distance * beyond)
        weights[k] += weight
        near[k] = np.minimum(near[k], distance)
