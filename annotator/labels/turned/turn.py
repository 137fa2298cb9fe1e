"""The way from an array as it lay on the screen to the same array as it lies: whole axes, no resampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import Box, Patch
from storage.fold import region_of
from storage.formats import Grid, grid_of


@dataclass(frozen=True)
class Turn:
    """By whole axes: which old axis each new one is, and whether it runs the other way."""

    order: tuple[int, ...]
    backwards: tuple[bool, ...]
    shape: tuple[int, int, int]  # before

    @property
    def changes(self) -> bool:
        return self.order != (0, 1, 2) or any(self.backwards)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """(Z, Y, X[, 3]) as it lay -> as it lies."""
        moved = np.transpose(values, (*self.order, *range(3, values.ndim)))
        return np.ascontiguousarray(np.flip(moved, tuple(d for d in range(3) if self.backwards[d])))

    def place(self, axis: int, index: int) -> tuple[int, int]:
        """A slice as it is called now."""
        now = self.order.index(axis)
        return now, self.shape[axis] - 1 - index if self.backwards[now] else index

    def patch(self, axis: int, index: int, patch: Patch) -> Patch:
        low_high = np.reshape(region_of(axis, index, patch.box), (3, 2))
        ends = []
        for d, old in enumerate(self.order):
            low, high = (int(v) for v in low_high[old])
            n = self.shape[old]
            ends.append((n - high, n - low) if self.backwards[d] else (low, high))
        now = self.order.index(axis)
        (r0, r1), (c0, c1) = (ends[d] for d in range(3) if d != now)

        def plane(values: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(self.array(np.expand_dims(values, axis)).take(0, now))

        numbers = None if patch.instances is None else plane(patch.instances)
        return Patch(Box(r0, c0, r1, c1), plane(patch.classes), numbers)


def shown_anew(before: Grid, told: Grid) -> tuple[Grid, Turn]:
    """The grid of the same file in the order of the screen that `told` asks for, and the way there."""
    affine = None if told.affine is None else np.array(told.affine)
    now = grid_of(told.format, told.shape, affine, oriented=told.oriented, header=told.header)
    order = tuple(before.axes.index(axis) for axis in now.axes)
    backwards = tuple(now.flips[d] != before.flips[old] for d, old in enumerate(order))
    return now, Turn(order, backwards, before.display_shape)
