"""Prompts as points inside a slice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.prompt import Prompts


@dataclass(frozen=True)
class Clicks:
    """Everything pointed at on a slice as points inside it: clicks first, then points along the strokes."""

    positive: NDArray[np.float64]  # (P, 2) row, column
    negative: NDArray[np.float64]  # (N, 2)
    clicked: bool = True  # the first positive point is a click, not a point of a stroke

    @property
    def first(self) -> "Clicks":
        """The click that everything began with, alone."""
        return Clicks(self.positive[:1], self.negative[:0])


def clicks_of(prompts: Prompts, shape: tuple[int, int]) -> Clicks:
    """Points and strokes clipped to the picture. A place said to be both is what was said last."""
    last: dict[tuple[int, int], int] = {}
    said = [(label, point) for label, point in zip(prompts.labels, prompts.points_rc, strict=True)]
    for stroke in prompts.scribbles:
        said += [(stroke.label, point) for point in along(stroke.points_rc)]
    for label, (row, column) in said:
        place = int(np.clip(round(row), 0, shape[0] - 1)), int(np.clip(round(column), 0, shape[1] - 1))
        last.pop(place, None)
        last[place] = label
    sides = [[p for p, label in last.items() if label == side] for side in (1, 0)]
    positive, negative = (np.array(side, np.float64).reshape(-1, 2) for side in sides)
    return Clicks(positive, negative, clicked=1 in prompts.labels)


def along(points_rc: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """A stroke as points at most one pixel apart; a stroke of thousands of pixels is thinned to 2000."""
    points = np.array(points_rc, np.float64).reshape(-1, 2)
    if len(points) < 2:
        return [tuple(p) for p in points]
    steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0, steps[-1], int(np.clip(steps[-1] + 1, 2, 2000)))
    return list(zip(np.interp(at, steps, points[:, 0]), np.interp(at, steps, points[:, 1]), strict=True))
