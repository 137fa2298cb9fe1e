"""Label events laid over one another: what is known about every voxel of an image."""

import contextlib
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
from storage.events.relabels import patch_now
from storage.rows import LabelRow

Region = tuple[int, int, int, int, int, int]  # (z0, z1, y0, y1, x0, x1), half-open
SLAB = 16  # slices that are counted at a time, so that a large volume is never in memory twice


@dataclass
class Folded:
    """The labels of one image. `classes` holds what was drawn; `known` adds complete slices' background."""

    classes: NDArray[np.uint8]  # (Z, Y, X), UNLABELLED where nobody drew
    instances: NDArray[np.uint16] | None = None  # (Z, Y, X), made when the first object number comes
    complete: set[tuple[int, int]] = field(default_factory=set)  # (axis, index)
    problems: list[str] = field(default_factory=list)
    rev: int = 0
    unsaid: int = 0  # voxels that nobody spoke about; kept by whoever changes it

    @property
    def known_share(self) -> float:
        """Of the voxels: 1 where people spoke about every one."""
        return 1 - self.unsaid / self.classes.size

    def count_unsaid(self, region: Region | None = None) -> int:
        """Voxels of a box, or of all, that nobody spoke about."""
        z1, y1, x1 = self.classes.shape
        whole = region or (0, z1, 0, y1, 0, x1)
        slabs = ((z, min(z + SLAB, whole[1]), *whole[2:]) for z in range(whole[0], whole[1], SLAB))
        return sum(int((self.region(slab) == UNLABELLED).sum()) for slab in slabs)

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
    """Newest wins where it says something. `labels`: the live events, oldest first. Torn files: problems."""
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
        _lay(folded, _whole(folded.classes.shape), label, patch or _load(folded.classes.shape, label))
    except TornFile as error:
        folded.problems.append(f"label {label.id} is lost: {error}")


def refold(folded: Folded, region: Region, labels: Sequence[LabelRow]) -> None:
    """Work a box out anew from all live labels of the image, in place: what undo needs."""
    at = window(region)
    part = Folded(np.full(folded.classes[at].shape, UNLABELLED, np.uint8))
    for label in labels:
        if label.box is None or not overlap(region_of(label.axis, label.index, label.box), region):
            continue
        with contextlib.suppress(TornFile):  # said once, when the image was opened
            _lay(part, region, label, _load(folded.classes.shape, label))
    folded.classes[at] = part.classes
    if part.instances is not None and folded.instances is None:
        folded.instances = np.zeros(folded.classes.shape, np.uint16)
    if folded.instances is not None:
        folded.instances[at] = 0 if part.instances is None else part.instances
    folded.complete = {(row.axis, row.index) for row in labels if row.kind == "complete"}


def said(labels: Iterable[LabelRow], shape: tuple[int, int, int], region: Region) -> NDArray[np.uint8]:
    """What these patches say about a box: as their files, ERASED included, UNLABELLED where they are silent. A torn
    file says nothing."""
    out = np.full(tuple(s.stop - s.start for s in window(region)), UNLABELLED, np.uint8)
    for label in labels:
        assert label.box is not None
        here, there = _shared(region, region_of(label.axis, label.index, label.box))
        try:
            source = np.expand_dims(_load(shape, label).classes, label.axis)[there]
        except TornFile:  # it is lost, and whoever labels anew there is right to
            continue
        out[here] = np.where(source == UNLABELLED, out[here], source)
    return out


def newest_labels(shape: tuple[int, int, int], labels: Sequence[LabelRow]) -> NDArray[np.int32]:
    """(Z, Y, X) which of these labels, oldest first, said what is drawn there; -1 where nothing is."""
    out = np.full(shape, -1, np.int32)
    for number, label in enumerate(labels):
        if label.box is None:
            continue
        with contextlib.suppress(TornFile):  # its line says so
            classes = np.expand_dims(_load(shape, label).classes, label.axis)
            here = out[window(region_of(label.axis, label.index, label.box))]
            here[classes != UNLABELLED] = number
            here[classes == ERASED] = -1
    return out


def region_of(axis: int, index: int, box: Box) -> Region:
    """A rectangle of a slice as a box of the volume."""
    bounds = [(box.r0, box.r1), (box.c0, box.c1)]
    bounds.insert(axis, (index, index + 1))
    (z0, z1), (y0, y1), (x0, x1) = bounds
    return z0, z1, y0, y1, x0, x1


def label_region(folded: Folded, label: LabelRow) -> Region:
    """The box of the volume that a label speaks about."""
    if label.box is None:
        z, y, x = folded.classes.shape
        return slice_region((z, y, x), label.axis, label.index)
    return region_of(label.axis, label.index, label.box)


def slice_region(shape: tuple[int, int, int], axis: int, index: int) -> Region:
    """A whole slice as a box of the volume."""
    rows, columns = slice_shape(shape, axis)
    return region_of(axis, index, Box(0, 0, rows, columns))


def overlap(a: Region, b: Region) -> bool:
    return all(a[i] < b[i + 1] and b[i] < a[i + 1] for i in (0, 2, 4))


def _load(shape: tuple[int, ...], label: LabelRow) -> Patch:
    assert label.path is not None and label.box is not None  # the schema writes both for every patch
    rows, columns = slice_shape(shape, label.axis)
    if label.box.r1 > rows or label.box.c1 > columns or label.index >= shape[label.axis]:
        raise TornFile(f"its box {label.box} lies outside the image")
    return patch_now(read_patch(label.path, label.box), label.relabelled)


def _lay(folded: Folded, at: Region, label: LabelRow, patch: Patch) -> None:
    """Lay a patch on arrays that stand at the box `at` of the volume."""
    here, there = _shared(at, region_of(label.axis, label.index, patch.box))
    classes = np.expand_dims(patch.classes, label.axis)[there]
    spoken = classes != UNLABELLED
    folded.classes[here][spoken] = np.where(classes == ERASED, UNLABELLED, classes)[spoken]
    if patch.instances is None and folded.instances is None:
        return
    if folded.instances is None:
        folded.instances = np.zeros(folded.classes.shape, np.uint16)
    if patch.instances is None:
        folded.instances[here][spoken] = 0
    else:
        folded.instances[here][spoken] = np.expand_dims(patch.instances, label.axis)[there][spoken]


def _shared(a: Region, b: Region) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What two boxes have in common, as an index into each."""
    lows = [max(a[i], b[i]) for i in (0, 2, 4)]
    highs = [max(low, min(a[i], b[i])) for low, i in zip(lows, (1, 3, 5))]
    return (
        tuple(slice(low - a[2 * i], high - a[2 * i]) for i, (low, high) in enumerate(zip(lows, highs))),
        tuple(slice(low - b[2 * i], high - b[2 * i]) for i, (low, high) in enumerate(zip(lows, highs))),
    )


def window(region: Region) -> tuple[slice, ...]:
    """A box of the volume as an index into its array."""
    return tuple(slice(a, b) for a, b in zip(region[::2], region[1::2]))


def _whole(shape: tuple[int, ...]) -> Region:
    return 0, shape[0], 0, shape[1], 0, shape[2]
