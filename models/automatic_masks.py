"""Every object of a picture from a grid of clicks: automatic masks as in Segment Anything (Kirillov et al., 2023).

The grid is made finer until it cannot miss an object of the size of those that it found.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.prompt import MaskPrediction, PromptModel, Prompts

GRIDS = (12, 24, 48)  # clicks along the longer side
REACH = 0.9  # of the median diameter of what is found: a grid as fine as that is fine enough
SURE = 0.75  # expected IoU from which a mask is kept; benchmarks.prompt_automatic tells what that brings
SAME = 0.2  # of the smaller of two masks: what they share from which on they are one object
SMALLEST, LARGEST = 12, 0.25  # pixels, and the share of the picture that an object may cover

GoOn = Callable[[float], bool]  # told how much of the grid is done; False: time is up


@dataclass(frozen=True)
class FoundObject:
    """A mask over its box of the picture."""

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    score: float  # the model's own estimate of IoU

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    def shared(self, other: "FoundObject") -> int:
        """How many pixels lie in both."""
        top, left = max(self.rows.start, other.rows.start), max(self.columns.start, other.columns.start)
        low, right = min(self.rows.stop, other.rows.stop), min(self.columns.stop, other.columns.stop)
        if top >= low or left >= right:
            return 0
        return int((self._within(top, low, left, right) & other._within(top, low, left, right)).sum())

    def _within(self, top: int, low: int, left: int, right: int) -> NDArray[np.bool_]:
        r, c = self.rows.start, self.columns.start
        return self.mask[top - r : low - r, left - c : right - c]


def automatic_masks(
    picture: NDArray[np.uint8], model: PromptModel, free: NDArray[np.bool_], go_on: GoOn
) -> list[FoundObject]:
    """Objects of an (H, W, 3) picture that hardly overlap, best first. `free` (H, W): where one may be clicked and
    found; the rest is known."""
    embedding, found, done = model.encode(picture), list[FoundObject](), ~free
    for finer, count in enumerate(GRIDS):
        clicks = list(_grid(free.shape, count))
        for n, (row, column) in enumerate(clicks):
            if not go_on((finer + n / len(clicks)) / len(GRIDS)):
                return _best_first(found)
            if done[row, column]:
                continue
            answer = model.predict(embedding, Prompts(points_rc=((row, column),), labels=(1,)))
            for one in _candidates(answer, free):
                found = _with(found, one)
                done[one.rows, one.columns] |= one.mask
        if found and max(free.shape) / count <= REACH * _diameter(found):
            break
    return _best_first(found)


def _grid(shape: tuple[int, ...], count: int) -> Iterator[tuple[int, int]]:
    step = max(shape) / count
    rows, columns = (np.arange(step / 2, size, step).astype(int) for size in shape)
    for row in rows.tolist():
        for column in columns.tolist():
            yield row, column


def _candidates(answer: MaskPrediction, free: NDArray[np.bool_]) -> Iterator[FoundObject]:
    """Those that the model is sure of, of a size that objects have, and mostly where nobody labelled."""
    for mask, score in zip(answer.masks, answer.scores.tolist(), strict=True):
        area = int(mask.sum())
        if score < SURE or not SMALLEST <= area <= LARGEST * mask.size or 2 * (mask & free).sum() < area:
            continue
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        yield FoundObject(*box, mask[box] & free[box], score)


def _with(found: list[FoundObject], new: FoundObject) -> list[FoundObject]:
    """Of masks that are one object the surest stays."""
    rivals = [one for one in found if one.shared(new) > SAME * min(one.area, new.area)]
    if any(one.score >= new.score for one in rivals):
        return found
    return [one for one in found if all(one is not rival for rival in rivals)] + [new]


def _diameter(found: list[FoundObject]) -> float:
    """Of a disc of the median area."""
    return 2 * float(np.sqrt(np.median([one.area for one in found]) / np.pi))


def _best_first(found: list[FoundObject]) -> list[FoundObject]:
    return sorted(found, key=lambda one: -one.score)
