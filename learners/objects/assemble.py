"""From depth and nearness to numbered objects: the inner parts of objects are seeds, and a watershed grows them.

What the network calls inner is cut once more where its own shape has a neck, or where there is a clear dip between two
peaks: after a minute of training that finds more true objects than peaks alone. Until the network tells more apart than
the shape of its masks does (`choosing`), masks are cut by their shape. The same function runs in a round, in the judge
and in an exported model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from learners.objects.cutting import number_objects
from learners.objects.distances import CHANNELS, DEEP, NEAR
from learners.objects.following import followed
from learners.objects.scale import FLOWS, ObjectScale
from storage.arrays import BACKGROUND, Box3

MOST = 65_535  # numbers are kept in two bytes; objects beyond stay without one
INNER = 0.3  # the mean of depth and nearness above which a voxel is inner
DIP, CLEAR = (
    60,
    165,
)  # of 255: two peaks of one inner part at least so high, with a dip between them, are two objects
SMOOTH = 1.0  # voxels
CONNECTED = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Assembled:
    """The objects of an image."""

    numbers: NDArray[np.uint16]  # (Z, Y, X) 1, 2, ...; 0 where no object is
    classes: NDArray[np.uint8]  # (Z, Y, X) label values: each object is of one class
    left_out: NDArray[
        np.bool_
    ]  # (Z, Y, X) proposed voxels that make no object, which `classes` calls background


class ApartMaps:
    """What a network says of depth and nearness, or of flows, tile by tile; a byte a voxel of the image and channel."""

    def __init__(self, shape: tuple[int, int, int], channels: int = CHANNELS) -> None:
        self.values = np.zeros((channels, *shape), np.uint8)

    def add(self, core: Box3, apart: NDArray[np.float32] | None) -> None:
        """(C, z, y, x) in 0..1."""
        assert apart is not None, "this network was not asked what tells objects apart"
        self.values[(slice(None), *core)] = np.round(255 * apart)


def assemble(
    classes: NDArray[np.uint8],
    apart: NDArray[np.uint8],
    scale: ObjectScale,
    spacing_mm: tuple[float, float, float] | None = None,
) -> Assembled:
    """`classes`: (Z, Y, X) label values as the network proposes them; `apart`: (C, Z, Y, X) of `ApartMaps`.

    With a network of pictures the slices of a volume are assembled one by one. An object is of the class that most of
    its voxels are; pieces much smaller than any labelled object are left out.
    """
    mask = np.isin(classes, np.array(scale.class_ids, np.uint8))
    numbers = np.zeros(classes.shape, np.uint32)
    for part in (slice(z, z + 1) for z in range(len(mask))) if scale.flat else (slice(None),):
        found = _split(mask[part], apart[:, part], scale, spacing_mm or (1.0, 1.0, 1.0))
        numbers[part] = np.where(found > 0, found + numbers.max(), 0)
    left_out = mask & (numbers == 0)
    numbers[numbers > MOST] = 0
    decided = _decided(np.where(left_out, np.uint8(BACKGROUND), classes), numbers, len(scale.class_ids) > 1)
    return Assembled(numbers.astype(np.uint16), decided, left_out)


def _split(
    mask: NDArray[np.bool_], apart: NDArray[np.uint8], scale: ObjectScale, spacing: Sequence[float]
) -> NDArray[np.int32]:
    """(z, y, x) numbers without gaps."""
    if scale.by_shape:
        return _large(number_objects(mask.astype(np.uint8), spacing).astype(np.int32), scale.smallest)
    if scale.told_by == FLOWS:
        return _large(followed(mask, apart, scale.shrink, spacing), scale.smallest)
    inner = ((apart[NEAR].astype(np.uint16) + apart[DEEP]) // 2).astype(np.uint8)
    smooth = ndimage.gaussian_filter(inner, [0 if scale.flat else SMOOTH, SMOOTH, SMOOTH])
    core = mask & (smooth > 255 * INNER)
    marks = _apart(number_objects(core.astype(np.uint8), spacing).astype(np.int32), smooth)
    pieces, many = ndimage.label(mask, CONNECTED)
    seeded = np.zeros(many + 1, bool)
    seeded[pieces[core]] = True
    alone = mask & ~seeded[pieces]  # a piece of which nothing is inner is one object
    marks[alone] = marks.max() + pieces[alone]
    return _large(watershed(255 - smooth, marks, mask=mask, connectivity=CONNECTED), scale.smallest)


def _large(found: NDArray[np.int32], smallest: float) -> NDArray[np.int32]:
    """Objects that are large enough, numbered without gaps."""
    sizes = np.bincount(found.ravel())
    keep = sizes >= smallest
    keep[0] = False
    names = np.zeros(len(sizes), np.int32)
    names[keep] = np.arange(1, np.count_nonzero(keep) + 1)
    return np.asarray(names[found], np.int32)


def _apart(marks: NDArray[np.int32], inner: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Seeds: of an inner part that holds several clear peaks the peaks, else all of it."""
    high = (h_maxima(np.where(marks > 0, inner, 0), DIP) > 0) & (marks > 0) & (inner >= CLEAR)
    peaks, _ = ndimage.label(high, CONNECTED)
    at = peaks > 0
    pairs = np.unique(np.stack([marks[at], peaks[at]]), axis=1)
    several = np.bincount(pairs[0], minlength=int(marks.max()) + 1) > 1
    parted = several[marks]
    out = np.where(parted, 0, marks)
    chosen = at & parted
    out[chosen] = int(marks.max()) + peaks[chosen]
    return out


def _decided(classes: NDArray[np.uint8], numbers: NDArray[np.uint32], several: bool) -> NDArray[np.uint8]:
    """Each object of one class."""
    if not several or not numbers.any():
        return classes
    inside = numbers > 0
    codes, counts = np.unique(numbers[inside].astype(np.int64) * 256 + classes[inside], return_counts=True)
    order = np.argsort(counts, kind="stable")  # the commonest comes last, and stays
    winner = np.zeros(int(numbers.max()) + 1, np.uint8)
    winner[codes[order] // 256] = codes[order] % 256
    return np.where(inside, winner[numbers], classes)
