"""Numbers for the objects of a mask: connected pieces, cut where two touch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from learners.objects.cutting import number_objects
from learners.objects.frames import number_frames
from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch

MAX_OBJECTS = 65_535  # numbers are kept in two bytes
NEW = MAX_OBJECTS + 1  # from here on: objects that have no number yet
COUNTED = 64_000_000  # voxels of the box around what was accepted; in a larger one counting is felt


Free = Callable[[int], Sequence[int]]
Beside = Callable[[int, Box, NDArray[np.uint8]], NDArray[np.uint16] | None]
Proposed = Callable[[int, Box], NDArray[np.uint16] | None]


@dataclass(frozen=True)
class NumberSources:
    """Where the numbers of accepted objects come from."""

    free: Free  # gives so many numbers that nothing on the image has
    beside: Beside  # (index, box, classes): (h, w) what the same classes have on that slice, or None
    proposed: Proposed = lambda index, box: None  # (h, w) objects as the producer told them apart, or None
    stays: Callable[[int], bool] = lambda number: False  # whether a proposed object is called so already
    of_classes: frozenset[int] | None = None  # whose objects get numbers, beside those with one; None: of all
    film: bool = False  # slices are moments


def number_patches(
    patches: Sequence[tuple[int, Patch]], spacing: Sequence[float], sources: NumberSources
) -> list[tuple[int, Patch]]:
    """Slices' patches with a number for every object: the producer's own objects, else pieces cut where two touch.

    The indices of the slices rise. An object that goes on in a slice whose objects have numbers keeps the number that
    it has there. `spacing`: across the slices, then along their rows and columns.
    """
    low, box, classes = _stacked(patches)
    numbers, called = _told_apart(patches, spacing, sources)
    kept: dict[int, int] = {}
    for index, _ in patches:
        for neighbour in (index - 1, index + 1):
            there = sources.beside(neighbour, box, classes[index - low])
            if there is not None:
                kept = continued(numbers[index - low], there) | kept
    kept |= {number: name for number, name in called.items() if sources.stays(name)}
    names = np.arange(int(numbers.max()) + 1, dtype=np.uint32)
    names[list(kept)] = list(kept.values())
    numbers = names[numbers]
    new = np.unique(numbers[numbers >= NEW])
    names[new] = sources.free(len(new))
    numbers = names[numbers]
    own = {index: numbers[index - low][_within(patch.box, box)].astype(np.uint16) for index, patch in patches}
    return [(index, replace(patch, instances=own[index])) for index, patch in patches]


def _told_apart(
    patches: Sequence[tuple[int, Patch]], spacing: Sequence[float], sources: NumberSources
) -> tuple[NDArray[np.uint32], dict[int, int]]:
    """(slices, h, w) numbers from NEW on, 0 where no object is, and what the producer called its own of them. Two
    classes never share a number."""
    low, box, classes = _stacked(patches)
    own = np.zeros(classes.shape, np.int64)
    for index, _ in patches:
        there = sources.proposed(index, box)
        if there is not None:
            own[index - low] = there
    own = np.where(_is_object(classes) & (own > 0), own * 256 + classes, 0)
    found, ranks = np.unique(np.append(0, own), return_inverse=True)
    numbers = np.asarray(ranks[1:].reshape(own.shape), np.uint32)
    called = {NEW - 1 + rank: int(code) // 256 for rank, code in enumerate(found) if rank}
    done = numbers > 0
    if sources.of_classes is not None:
        done |= ~np.isin(classes, list(sources.of_classes))
    rest = np.where(done, np.uint8(UNLABELLED), classes)
    cut = (number_frames if sources.film else number_objects)(rest, spacing, NEW + len(found) - 1)
    return np.where(numbers > 0, numbers + np.uint32(NEW - 1), cut).astype(np.uint32), called


def count_accepted(patches: Sequence[tuple[int, Patch]]) -> tuple[int, int | None]:
    """Voxels that are no background, and how many objects they make: the numbered ones, else connected pieces. No
    objects are told where counting would take seconds."""
    numbered = [p.instances for _, p in patches if p.instances is not None]
    if numbered:
        objects = {int(n) for one in numbered for n in np.unique(one)} - {0}
        return sum(int(_is_object(p.classes).sum()) for _, p in patches), len(objects)
    _, _, classes = _stacked(patches)
    voxels = int(_is_object(classes).sum())
    if classes.size > COUNTED:
        return voxels, None
    values = [value for value in np.unique(classes) if BACKGROUND < value < ERASED]
    return voxels, sum(ndimage.label(classes == value, np.ones((3, 3, 3)))[1] for value in values)


def continued(face: NDArray[np.uint32], beside: NDArray[np.uint16]) -> dict[int, int]:
    """Which of the (h, w) numbers on a slice go on from the next one, and what they are called there.

    `beside`: the numbers there, 0 where there is none or another class. An object goes on where half of its face or
    more lies on one object.
    """
    sizes = dict(zip(*(part.tolist() for part in np.unique(face, return_counts=True)), strict=True))
    both = (face > 0) & (beside > 0)
    pairs, shares = np.unique(np.stack([face[both], beside[both]]), axis=1, return_counts=True)
    best: dict[int, tuple[int, int]] = {}  # number -> (share, number beside)
    for number, known, share in zip(*pairs.tolist(), shares.tolist(), strict=True):
        if share > best.get(number, (0, 0))[0]:
            best[number] = share, known
    return {number: known for number, (share, known) in best.items() if 2 * share >= sizes[number]}


def _stacked(patches: Sequence[tuple[int, Patch]]) -> tuple[int, Box, NDArray[np.uint8]]:
    """The first slice, the box around all patches, and their (slices, h, w) classes in it."""
    low, high = patches[0][0], patches[-1][0] + 1
    box = _around([patch.box for _, patch in patches])
    classes = np.full((high - low, *box.shape), UNLABELLED, np.uint8)
    for index, patch in patches:
        classes[index - low][_within(patch.box, box)] = patch.classes
    return low, box, classes


def _is_object(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (classes > BACKGROUND) & (classes < ERASED)


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds them all."""
    corners = np.array([(b.r0, b.c0, b.r1, b.c1) for b in boxes])
    (r0, c0), (r1, c1) = corners[:, :2].min(0).tolist(), corners[:, 2:].max(0).tolist()
    return Box(r0, c0, r1, c1)


def _within(box: Box, outer: Box) -> tuple[slice, slice]:
    """Where a box lies in another one's array."""
    return slice(box.r0 - outer.r0, box.r1 - outer.r0), slice(box.c0 - outer.c0, box.c1 - outer.c0)
