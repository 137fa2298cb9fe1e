"""What an act on objects says of a volume: merged, split, taken away, of another class, numbered.

An object is what carries one number and one class, in the whole volume; without a number it is a connected piece of
its class. `free(count)` gives so many numbers that nothing on the image has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import flood

from annotator.labels.numbering import NEW, Free
from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch, box_around, plane
from storage.fold import Folded, Region, window

Voxel = tuple[int, int, int]
TellApart = Callable[
    [NDArray[np.uint8], int], NDArray[np.uint32]
]  # (z, y, x) classes and the first number -> the numbers of their objects
Cut = tuple[float, float, float, float]  # row and column of the two ends of a line on a slice

JOINED = np.ones((3, 3, 3), bool)


class NotThere(ValueError):
    """One sentence: why nothing can be done to these objects."""


@dataclass(frozen=True)
class VolumePatch:
    """What is said over a box of a volume. `classes` (z, y, x) uint8, UNLABELLED where nothing is; `numbers` uint16."""

    region: Region
    classes: NDArray[np.uint8]
    numbers: NDArray[np.uint16]

    def slices(self, axis: int) -> list[tuple[int, Patch]]:
        """Each slice along an axis on which something is said, with a patch that fits tightly."""
        low = self.region[2 * axis]
        first = [self.region[2 * n] for n in range(3) if n != axis]
        found = []
        for k in range(self.classes.shape[axis]):
            said, numbers = plane(self.classes, axis, k), plane(self.numbers, axis, k)
            if (box := box_around(said != UNLABELLED)) is None:
                continue
            cut = np.s_[box.r0 : box.r1, box.c0 : box.c1]
            on_slice = Box(box.r0 + first[0], box.c0 + first[1], box.r1 + first[0], box.c1 + first[1])
            patch = Patch(on_slice, np.ascontiguousarray(said[cut]), np.ascontiguousarray(numbers[cut]))
            found.append((low + k, patch))
        return found


@dataclass(frozen=True)
class Found:
    """One object: its class, its number (0 without one), and its voxels as a mask over a box of the volume."""

    class_id: int
    number: int
    region: Region
    mask: NDArray[np.bool_]


def find(folded: Folded, at: Voxel) -> Found:
    """The object at a voxel. Raises NotThere where nothing is labelled, or background."""
    if any(not 0 <= place < size for place, size in zip(at, folded.classes.shape)):
        raise NotThere("that place lies outside the image; click an object again")
    class_id = int(folded.classes[at])
    if not BACKGROUND < class_id < ERASED:
        raise NotThere("the object is no longer there; click another one")
    number = int(folded.instances[at]) if folded.instances is not None else 0
    same = folded.classes == class_id
    if folded.instances is not None:
        same &= folded.instances == number
    if not number:
        same = flood(same.view(np.uint8), at, footprint=JOINED)
    region = _around(same)
    return Found(class_id, number, region, same[window(region)])


def merged(objects: Sequence[Found], free: Free) -> VolumePatch:
    """All under the smallest of their numbers."""
    if len({(one.class_id, one.number, one.region) for one in objects}) < 2:
        raise NotThere("one object alone cannot be merged; select another one too")
    if len({one.class_id for one in objects}) > 1:
        raise NotThere("these objects are of different classes; give them one class first")
    number = min((one.number for one in objects if one.number), default=0) or free(1)[0]
    return _said([(one, one.mask, one.class_id, number) for one in objects])


def split(one: Found, axis: int, line: Cut, free: Free) -> VolumePatch:
    """Along the plane through the line, at right angles to the slice; the larger part keeps the number."""
    left = one.mask & _left_of(one, axis, line)
    right = one.mask & ~left
    if not left.any() or not right.any():
        raise NotThere("the line does not cross the object; draw it from one side to the other")
    small, large = sorted((left, right), key=np.count_nonzero)
    numbers = free(1 if one.number else 2)
    parts = [(one, small, one.class_id, numbers[0])]
    if not one.number:
        parts.append((one, large, one.class_id, numbers[1]))
    return _said(parts)


def parted(one: Found, tell_apart: TellApart, free: Free) -> VolumePatch:
    """At the necks of its shape; the largest part keeps the number."""
    parts = tell_apart(one.mask.astype(np.uint8), 1)
    sizes = np.bincount(parts.ravel())[1:]
    if len(sizes) < 2:
        raise NotThere("its shape has no neck to cut at; drag a line across it")
    order = (np.argsort(-sizes, kind="stable") + 1).tolist()
    numbers = [one.number, *free(len(order) - 1)] if one.number else list(free(len(order)))
    return _said([(one, parts == part, one.class_id, n) for part, n in zip(order, numbers, strict=True)])


def holes_filled(folded: Folded, objects: Sequence[Found], axis: int) -> VolumePatch:
    """On each slice along an axis; what lies in a hole and is another object stays."""
    found = []
    for one in objects:
        there = folded.classes[window(one.region)]
        cuts = [ndimage.binary_fill_holes(cut) for cut in np.moveaxis(one.mask, axis, 0)]
        gaps = np.moveaxis(np.stack(cuts), 0, axis) & ~((there > BACKGROUND) & (there < ERASED))
        if gaps.any():
            found.append((one, gaps, one.class_id, one.number))
    if not found:
        raise NotThere("there are no holes in what is selected")
    return _said(found)


def taken_away(objects: Sequence[Found]) -> VolumePatch:
    """As if nobody had labelled them; on a complete slice that is background."""
    return _said([(one, one.mask, ERASED, 0) for one in objects])


def of_class(objects: Sequence[Found], class_id: int) -> VolumePatch:
    """Their numbers stay."""
    return _said([(one, one.mask, class_id, one.number) for one in objects])


def numbered(folded: Folded, class_id: int, tell_apart: TellApart, free: Free) -> VolumePatch:
    """A number for every object of a class that has none."""
    bare = folded.classes == class_id
    if folded.instances is not None:
        bare &= folded.instances == 0
    if not bare.any():
        raise NotThere("every object of this class has a number already")
    region = _around(bare)
    there = bare[window(region)]
    names = tell_apart(np.where(there, np.uint8(class_id), np.uint8(UNLABELLED)), NEW)
    found = np.unique(names[there])
    table = np.zeros(int(found[-1]) + 1, np.uint16)
    table[found] = free(len(found))
    return VolumePatch(region, np.where(there, np.uint8(class_id), np.uint8(UNLABELLED)), table[names])


def _left_of(one: Found, axis: int, line: Cut) -> NDArray[np.bool_]:
    """(z, y, x) over the object's box: on which side of the line, drawn on beyond its ends, a voxel's centre lies."""
    r0, c0, r1, c1 = line
    if (r0, c0) == (r1, c1):
        raise NotThere("the line has no length; draw it across the object")
    across = [n for n in range(3) if n != axis]
    starts = [one.region[2 * n] for n in across]
    rows = np.arange(one.mask.shape[across[0]])[:, None] + starts[0] - r0
    columns = np.arange(one.mask.shape[across[1]])[None, :] + starts[1] - c0
    side = (r1 - r0) * columns - (c1 - c0) * rows > 0
    return np.broadcast_to(np.expand_dims(side, axis), one.mask.shape)


def _said(parts: Sequence[tuple[Found, NDArray[np.bool_], int, int]]) -> VolumePatch:
    """Objects' masks with the class and the number that each gets, over the box around all."""
    boxes = np.array([one.region for one, *_ in parts])
    z0, y0, x0 = boxes[:, ::2].min(0).tolist()
    z1, y1, x1 = boxes[:, 1::2].max(0).tolist()
    classes = np.full((z1 - z0, y1 - y0, x1 - x0), UNLABELLED, np.uint8)
    numbers = np.zeros(classes.shape, np.uint16)
    for one, mask, class_id, number in parts:
        low, high = one.region[::2], one.region[1::2]
        here = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, (z0, y0, x0)))
        classes[here][mask], numbers[here][mask] = class_id, number
    return VolumePatch((z0, z1, y0, y1, x0, x1), classes, numbers)


def _around(mask: NDArray[np.bool_]) -> Region:
    z, y, x = ndimage.find_objects(mask.view(np.uint8))[0]
    return z.start, z.stop, y.start, y.stop, x.start, x.stop
