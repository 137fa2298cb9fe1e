"""Label events laid over one another: what is known about every voxel of an image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storage.arrays import (
    BACKGROUND,
    ERASED,
    UNLABELLED,
    Box,
    Patch,
    TornFile,
    plane,
    read_patch,
    slice_shape,
)
from storage.rows import LabelRow

Region = tuple[int, int, int, int, int, int]  # (z0, z1, y0, y1, x0, x1), half-open


@dataclass
class Folded:
    """The labels of one image. `classes` holds what was drawn; `known` adds the background of complete slices."""

    classes: NDArray[np.uint8]  # (Z, Y, X), UNLABELLED where nobody drew
    instances: NDArray[np.uint16] | None = None  # (Z, Y, X), made when the first object number comes
    complete: set[tuple[int, int]] = field(default_factory=set)  # (axis, index)
    problems: list[str] = field(default_factory=list)
    rev: int = 0

    def known(self, z0: int = 0, z1: int | None = None) -> NDArray[np.uint8]:
        """(z1 - z0, Y, X) copy: drawn classes, background where a complete slice leaves a voxel unsaid."""
        z1 = self.classes.shape[0] if z1 is None else z1
        return self.region((z0, z1, 0, self.classes.shape[1], 0, self.classes.shape[2]))

    def region(self, region: Region) -> NDArray[np.uint8]:
        """As `known`, for any box of the volume."""
        bounds = tuple(zip(region[::2], region[1::2], strict=True))
        out = self.classes[tuple(slice(a, b) for a, b in bounds)].copy()
        for axis, index in self.complete:
            low, high = bounds[axis]
            if low <= index < high:
                cut = plane(out, axis, index - low)
                cut[cut == UNLABELLED] = BACKGROUND
        return out


def fold(shape: tuple[int, int, int], labels: Iterable[LabelRow]) -> Folded:
    """Newest wins where it says something. `labels` are the live events, oldest first; torn files become problems."""
    folded = Folded(np.full(shape, UNLABELLED, np.uint8))
    for label in labels:
        apply(folded, label)
    return folded


def apply(folded: Folded, label: LabelRow, patch: Patch | None = None) -> None:
    """Lay one newer event on top, in place. `patch` saves reading the file again."""
    folded.rev = max(folded.rev, label.id)
    if label.box is None:
        folded.complete.add((label.axis, label.index))
        return
    try:
        patch = patch or _load(folded, label)
    except TornFile as error:
        folded.problems.append(f"label {label.id} is lost: {error}")
        return
    _lay(folded, label.axis, label.index, patch)


def refold(folded: Folded, region: Region, labels: Sequence[LabelRow]) -> None:
    """Work a box out anew from all live labels of the image, in place: what undo needs."""
    window = tuple(slice(a, b) for a, b in zip(region[::2], region[1::2], strict=True))
    part = Folded(np.full(tuple(s.stop - s.start for s in window), UNLABELLED, np.uint8))
    for label in labels:
        if label.box is not None and overlap(region_of(label.axis, label.index, label.box), region):
            _refold_one(part, folded, label, region)
    folded.classes[window] = part.classes
    if part.instances is not None and folded.instances is None:
        folded.instances = np.zeros(folded.classes.shape, np.uint16)
    if folded.instances is not None:
        folded.instances[window] = 0 if part.instances is None else part.instances
    folded.complete = {(row.axis, row.index) for row in labels if row.kind == "complete"}


def region_of(axis: int, index: int, box: Box) -> Region:
    """A rectangle of a slice as a box of the volume."""
    bounds = [(box.r0, box.r1), (box.c0, box.c1)]
    bounds.insert(axis, (index, index + 1))
    (z0, z1), (y0, y1), (x0, x1) = bounds
    return z0, z1, y0, y1, x0, x1


def slice_region(shape: tuple[int, int, int], axis: int, index: int) -> Region:
    """A whole slice as a box of the volume."""
    rows, columns = slice_shape(shape, axis)
    return region_of(axis, index, Box(0, 0, rows, columns))


def overlap(a: Region, b: Region) -> bool:
    return all(a[i] < b[i + 1] and b[i] < a[i + 1] for i in (0, 2, 4))


def _load(folded: Folded, label: LabelRow) -> Patch:
    assert label.path is not None and label.box is not None  # the schema writes both for every patch
    rows, columns = slice_shape(folded.classes.shape, label.axis)
    if label.box.r1 > rows or label.box.c1 > columns or label.index >= folded.classes.shape[label.axis]:
        raise TornFile(f"its box {label.box} lies outside the image")
    return read_patch(label.path, label.box)


def _lay(folded: Folded, axis: int, index: int, patch: Patch) -> None:
    box = patch.box
    cut = plane(folded.classes, axis, index)[box.r0 : box.r1, box.c0 : box.c1]
    said = patch.classes != UNLABELLED
    cut[said] = np.where(patch.classes == ERASED, UNLABELLED, patch.classes)[said]
    if patch.instances is None and folded.instances is None:
        return
    if folded.instances is None:
        folded.instances = np.zeros(folded.classes.shape, np.uint16)
    numbers = np.uint16(0) if patch.instances is None else patch.instances[said]
    plane(folded.instances, axis, index)[box.r0 : box.r1, box.c0 : box.c1][said] = numbers


def _refold_one(part: Folded, folded: Folded, label: LabelRow, region: Region) -> None:
    """Lay a label on the box `part`, which stands at `region` of the volume."""
    try:
        patch = _load(folded, label)
    except TornFile:
        return  # said once, when the image was opened
    lows = list(region[::2])
    sizes = part.classes.shape
    index = label.index - lows.pop(label.axis)
    rows, columns = (n for i, n in enumerate(sizes) if i != label.axis)
    r0, c0 = patch.box.r0 - lows[0], patch.box.c0 - lows[1]
    top, left = max(0, r0), max(0, c0)
    bottom, right = min(rows, patch.box.r1 - lows[0]), min(columns, patch.box.c1 - lows[1])
    inner = (slice(top - r0, bottom - r0), slice(left - c0, right - c0))
    instances = None if patch.instances is None else patch.instances[inner]
    _lay(part, label.axis, index, Patch(Box(top, left, bottom, right), patch.classes[inner], instances))
