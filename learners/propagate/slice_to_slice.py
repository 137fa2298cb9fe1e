"""Outlines carried from slice to slice, out of every labelled one in both directions, and blended where they meet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import PropagationInput, PropagationResult, RunControl
from learners.propagate.distances import guess_of, in_plane, sigmoid, signed_distance
from storage.arrays import plane

BLUR = 0.5  # voxels: how exactly a person draws an edge
DRIFT = 0.4  # mm by which an edge may have drifted for each mm that it was carried
ABSENT = 0.5  # radii by which a slice that says "not here" speaks against: where in the gap it ends is open
SLOWEST, FASTEST = 0.1, 1.0  # mm by which an object shrinks for each mm beyond the last slice that shows it

SignedDistance = NDArray[np.float32]  # (rows, columns) signed distance to an outline in mm, positive inside
Mover = Callable[
    [SignedDistance, int, int], SignedDistance
]  # carries a score from one slice of an axis to the next


@dataclass
class Sum:
    """Scores of one class, weighed by how near the slice is that they come from."""

    scores: NDArray[np.float32]  # (Z, Y, X)
    weights: NDArray[np.float32]
    near: NDArray[np.float32]  # mm to the nearest slice that speaks


@dataclass(frozen=True)
class CarriedWay:
    """Along which axis, in which direction, out of which slices."""

    axis: int
    step: int
    outlines: dict[int, SignedDistance]  # of the labelled slices, in their order
    reach: float  # mm that the object is expected to go on for beyond the last slice; 0: other slices show it
    soft: float  # mm by which a slice without the object speaks against it, towards slices that show it

    def out_of(self, k: int) -> SignedDistance:
        """What the labelled slice k says in this direction."""
        ahead = [n for n in self.outlines if (n - k) * self.step > 0]
        following = min(ahead, key=lambda n: abs(n - k), default=k)
        ends = not _shown(self.outlines[k]) and _shown(self.outlines[following])
        return np.maximum(self.outlines[k], -self.soft) if ends else self.outlines[k]


def carry(
    case: PropagationInput, run: RunControl, mover_of: Callable[[PropagationInput, int], Mover]
) -> PropagationResult:
    """A guess by any way of moving an outline to the next slice; past the deadline outlines stay where they are."""
    guess = guess_of(case, carried(case, run, mover_of))
    return PropagationResult(guess.classes, guess.probability, not run.out_of_time)


def carried(
    case: PropagationInput, run: RunControl, mover_of: Callable[[PropagationInput, int], Mover]
) -> Iterator[NDArray[np.float32]]:
    """The probability of each class on its own."""
    movers = [mover_of(case, axis) for axis in range(3)]
    for n, value in enumerate(case.classes):
        run.progress(n / len(case.classes))
        total = Sum(
            np.zeros(case.shape, np.float32),
            np.zeros(case.shape, np.float32),
            np.full(case.shape, np.inf, np.float32),
        )
        drawn = [(axis, _outlines(case, axis, value)) for axis in range(3)]
        views = [(axis, outlines) for axis, outlines in drawn if any(map(_shown, outlines.values()))]
        if not views:  # drawn on none of the slices: nothing to carry along
            yield np.zeros(case.shape, np.float32)
            continue
        soft = ABSENT * max(float(score.max()) for _, outlines in views for score in outlines.values())
        for axis, outlines in views:
            reach = (
                _reach(outlines, case.spacing_mm[axis]) if len(views) == 1 else 0.0
            )  # else others show where it ends
            for step in (1, -1):
                _walk(case, run, CarriedWay(axis, step, outlines, reach, soft), movers[axis], total)
        doubt = BLUR * min(case.spacing_mm) + DRIFT * total.near
        yield sigmoid(total.scores / np.maximum(total.weights, 1e-12) / doubt)


def _outlines(case: PropagationInput, axis: int, value: int) -> dict[int, SignedDistance]:
    """Of one class, on every slice of an axis that speaks about it."""
    spacing = in_plane(case.spacing_mm, axis)
    at = case.speaking(axis, value)
    return {k: signed_distance(plane(case.known, axis, k) == value, spacing) for k in at}


def _shown(score: SignedDistance) -> bool:
    return bool(score.max() > 0)


def _reach(outlines: dict[int, SignedDistance], mm: float) -> float:
    """mm beyond the last slice that shows a class: so much less, the more slices show how long it is."""
    shown = [k for k, score in outlines.items() if _shown(score)]
    if len(shown) < 2:
        return np.inf
    gap = (shown[-1] - shown[0]) / (len(shown) - 1)
    return gap * mm * (1 + 4 / len(shown))


def _walk(case: PropagationInput, run: RunControl, way: CarriedWay, mover: Mover, total: Sum) -> None:
    """Add, in place, what one class becomes along one axis in one direction."""
    mm = case.spacing_mm[way.axis]
    scores, weights, near = (np.moveaxis(a, way.axis, 0) for a in (total.scores, total.weights, total.near))
    order = list(way.outlines)[:: way.step]
    source, last = order[0], order[-1]
    score, closing = np.zeros(0, np.float32), 0.0
    for k in range(source, len(scores) if way.step > 0 else -1, way.step):
        run.check()
        if k in way.outlines:
            score, source = way.out_of(k), k
            closing = min(max(float(score.max()) / way.reach, SLOWEST), FASTEST) if way.reach else 0.0
        elif not run.out_of_time and (score > 0).any():
            score = mover(score, k - way.step, k)
        distance = abs(k - source) * mm
        beyond = (k - last) * way.step > 0
        weight = 1 / (distance + mm / 2) ** 2
        scores[k] += weight * (score - closing * distance * beyond)
        weights[k] += weight
        near[k] = np.minimum(near[k], distance)
