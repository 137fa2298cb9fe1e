"""What a person has pointed at in one volume, and what was found: a prompt makes a new value, undo takes the old."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from annotator.dialects.pointing import SlicePrompts, thinned
from annotator.dialects.volume_masks import VoxelIndex
from storage.arrays import box_around, plane

SliceAt = tuple[int, int]  # axis and index

Bounds = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # half-open


@dataclass(frozen=True)
class Drawing:
    """(Z, Y, X) arrays in the order in which the tool sent its volume."""

    shape: tuple[int, int, int]
    axis: int  # along which the volume was taken in slices
    mask: NDArray[np.bool_]
    prompts: Mapping[SliceAt, SlicePrompts] = field(default_factory=dict)
    lassos: Mapping[SliceAt, NDArray[np.bool_]] = field(default_factory=dict)  # nothing lies outside them
    found: Mapping[SliceAt, NDArray[np.bool_]] = field(default_factory=dict)  # what the prompt model drew
    against: NDArray[np.bool_] | None = None  # where the object is not
    before: NDArray[np.bool_] | None = None  # what the tool began with
    ms: float = 0.0  # that models took for the mask

    @classmethod
    def empty(cls, shape: tuple[int, int, int], axis: int) -> "Drawing":
        return cls(shape, axis, np.zeros(shape, np.bool_))

    @property
    def unasked(self) -> list[SliceAt]:
        """Slices with prompts for the model that it has not seen yet."""
        return [at for at, one in self.prompts.items() if one.says_object and at not in self.found]

    def unchanged(self, *_: object) -> "Drawing":
        return self

    def begun(self, mask: NDArray[np.bool_]) -> "Drawing":
        return replace(Drawing.empty(self.shape, self.axis), mask=mask, before=mask)

    def point(self, voxel: VoxelIndex, *, include: bool) -> "Drawing":
        at = (self.axis, voxel[self.axis])
        row, column = (float(v) for d, v in enumerate(voxel) if d != self.axis)
        now = self if include else self._without(lambda out: out.__setitem__(voxel, True))
        if not include and not self._speaks(at):
            return now
        one = self._seeded(at, (int(row), int(column)))
        if include:
            return now._asking(at, replace(one, foreground=(*one.foreground, (row, column))))
        return now._asking(at, replace(one, background=(*one.background, (row, column))))

    def box(self, bounds: Bounds, *, include: bool) -> "Drawing":
        """A flat one says where the object is on its slice, a deep one on its middle slice."""
        if not include:
            inside = tuple(slice(low, high) for low, high in bounds)
            return self._without(lambda out: out.__setitem__(inside, True))
        flat = [d for d in range(3) if bounds[d][1] - bounds[d][0] == 1]
        axis = self.axis if self.axis in flat or not flat else flat[0]
        at = (axis, sum(bounds[axis]) // 2 if axis not in flat else bounds[axis][0])
        (r0, r1), (c0, c1) = (bounds[d] for d in range(3) if d != axis)
        one = self.prompts.get(at) or SlicePrompts(*at)
        return self._asking(at, replace(one, box=(float(r0), float(c0), float(r1), float(c1))))

    def strokes(self, marked: NDArray[np.bool_], *, include: bool) -> "Drawing":
        now = self if include else self._without(lambda out: np.logical_or(out, marked, out=out))
        for at in self._touched(marked):
            if not include and not self._speaks(at):
                continue
            here = plane(marked, *at)
            points = thinned(np.argwhere(here))
            one = replace(self._seeded(at, deepest(here)), scribbles=True)
            if include:
                now = now._asking(at, replace(one, foreground=(*one.foreground, *points)))
            else:
                now = now._asking(at, replace(one, background=(*one.background, *points)))
        return now

    def lasso(self, marked: NDArray[np.bool_], *, include: bool) -> "Drawing":
        """On each slice of it the object lies within."""
        if not include:
            return self._without(lambda out: np.logical_or(out, marked, out=out))
        now = self
        for at in self._touched(marked):
            here = plane(marked, *at)
            box = box_around(here)
            assert box is not None
            row, column = deepest(here)
            one = self.prompts.get(at) or SlicePrompts(*at)
            one = replace(one, box=(float(box.r0), float(box.c0), float(box.r1), float(box.c1)))
            one = replace(one, foreground=(*one.foreground, (float(row), float(column))))
            now = replace(now._asking(at, one), lassos={**now.lassos, at: here.copy()})
        return now

    def _touched(self, marked: NDArray[np.bool_]) -> list[SliceAt]:
        """In the plane that somebody drew in: the one of which the fewest slices are touched."""
        slices = [np.flatnonzero(marked.any(tuple(e for e in range(3) if e != d))) for d in range(3)]
        axis = min(range(3), key=lambda d: (len(slices[d]), d != self.axis))
        return [(axis, int(n)) for n in slices[axis]]

    def _speaks(self, at: SliceAt) -> bool:
        """Whether there is an object on a slice, so that the model can be told what of it is none."""
        return at in self.prompts or bool(plane(self.mask, *at).any())

    def _seeded(self, at: SliceAt, away_from: tuple[int, int]) -> SlicePrompts:
        """With a point in what is there already, so that a correction keeps the rest."""
        if (one := self.prompts.get(at)) is not None:
            return one
        there = plane(self.mask, *at).copy()
        there[away_from] = False
        if not there.any():
            return SlicePrompts(*at)
        row, column = deepest(there)
        return SlicePrompts(*at, foreground=((float(row), float(column)),))

    def _asking(self, at: SliceAt, one: SlicePrompts) -> "Drawing":
        found = {other: mask for other, mask in self.found.items() if other != at}
        return replace(self, prompts={**self.prompts, at: one}, found=found)

    def _without(self, mark: Callable[[NDArray[np.bool_]], object]) -> "Drawing":
        out = np.zeros(self.shape, np.bool_) if self.against is None else self.against.copy()
        mark(out)
        return replace(self, against=out)


def deepest(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column that lie furthest inside a (rows, columns) mask."""
    depth = cv2.distanceTransform(np.pad(mask, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def changed_bounds(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Bounds | None:
    """Around what differs between two (Z, Y, X) masks; None where nothing does."""
    differs = before != after
    ends = []
    for axis in range(3):
        at = np.flatnonzero(differs.any(tuple(d for d in range(3) if d != axis)))
        if not len(at):
            return None
        ends.append((int(at[0]), int(at[-1]) + 1))
    return ends[0], ends[1], ends[2]
