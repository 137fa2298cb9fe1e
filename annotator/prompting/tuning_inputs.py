"""What a tuning round is given: finished masks of the project as pictures and numbered objects."""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from annotator.learning.quality.unaided import unaided_slices
from annotator.windowing import to_rgb
from learners.tuning_spec import TuneSlice
from storage.arrays import MAX_CLASS, SliceRef, open_npy, plane
from storage.fold import fold
from storage.rows import ImageRow, LabelRow
from storage.store import Store

WHOLE = (
    "prompted",
    "accepted",
    "refined",
    "imported",
)  # their patches are masks; what was drawn may be a stroke
SMALLEST, LARGEST = 30, 0.6  # pixels, and share of the slice
MAX_SLICES, MAX_PIXELS = 240, 120_000_000  # the newest ones
IMAGES_PER_HELD = (
    4  # one of so many images (or slices, where there are fewer images) judges and does not teach
)


@dataclass(frozen=True)
class FinishedMasks:
    """How many finished masks there are, as far as the label rows tell."""

    objects: int
    slices: int


class MaskCount:
    """Counts finished masks; an image is counted again only when its labels changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, tuple[int, FinishedMasks]] = {}  # by image: revision and count

    def __call__(self) -> FinishedMasks:
        ids = [row.id for row in self._store.images(limit=-1)[1]]
        counts = self._store.slice_counts(ids)
        for image_id, (_, _, rev) in counts.items():
            if image_id not in self._known or self._known[image_id][0] != rev:
                self._known[image_id] = rev, count_masks(self._store.labels(image_id))
        masks = [self._known[image_id][1] for image_id in counts]
        return FinishedMasks(sum(m.objects for m in masks), sum(m.slices for m in masks))


def count_masks(labels: Sequence[LabelRow]) -> FinishedMasks:
    """Finished objects of one image: one for each number on each slice, or for each patch without a number."""
    patches = [row for refs in finished(labels).values() for row in refs if max(row.classes, default=0) > 0]
    objects = {(row.ref, row.instance or -row.id) for row in patches}
    return FinishedMasks(len(objects), len({ref for ref, _ in objects}))


def finished(labels: Sequence[LabelRow]) -> dict[SliceRef, list[LabelRow]]:
    """The patches that hold whole masks, by slice, in the order in which the slices came: what was prompted,
    accepted or imported, and on a complete slice what was drawn."""
    complete = {row.ref for row in labels if row.kind == "complete"}
    found: dict[SliceRef, list[LabelRow]] = {}
    for row in labels:
        if row.kind == "patch" and (row.source in WHOLE or row.ref in complete):
            found.setdefault(row.ref, []).append(row)
    return found


@dataclass(frozen=True)
class Gathered:
    slices: tuple[TuneSlice, ...]
    objects: int


def gather(store: Store, folder: Path) -> Gathered:
    """Write the pictures and objects of every slice with finished masks to the folder, the newest first."""
    ids = {row.id: row for row in store.images(limit=-1)[1]}
    by_image = {i: finished(store.labels(i)) for i in store.slice_counts(list(ids))}
    by_image = {i: places for i, places in by_image.items() if places}
    own = {
        ref for i, places in by_image.items() for ref in _labelled_by_people(ids[i], store.labels(i), places)
    }
    held = held_out(by_image, own)
    order = sorted((rows[-1].id, ref) for places in by_image.values() for ref, rows in places.items())
    wanted = {ref for _, ref in order[-MAX_SLICES:] if ref not in held or ref in own}
    slices: list[TuneSlice] = []
    objects = pixels = 0
    for image_id, places in by_image.items():
        for ref, numbered in _objects(store, ids[image_id], {r: places[r] for r in places if r in wanted}):
            pixels += numbered.size
            if numbered.any() and pixels <= MAX_PIXELS:
                slices.append(_written(store, ids[image_id], ref, (folder, numbered), held=ref in held))
                objects += int(numbered.max())
    return Gathered(tuple(slices), objects)


def held_out(by_image: dict[int, dict[SliceRef, list[LabelRow]]], own: Set[SliceRef]) -> set[SliceRef]:
    """Every fourth image in the order in which they were first labelled, and with fewer images every fourth slice:
    whatever comes later, what was held out stays so. `own`: slices that people labelled themselves. Only these judge;
    masks that were accepted are a model's, and what else there is of a held-out image neither judges nor teaches."""
    images = {i: places for i, places in by_image.items() if not own.isdisjoint(places)}
    order = sorted(images, key=lambda i: min(rows[0].id for rows in images[i].values()))
    if len(order) >= IMAGES_PER_HELD:
        return {ref for image_id in order[1::IMAGES_PER_HELD] for ref in images[image_id]}
    slices = sorted(
        (rows[0].id, ref) for places in images.values() for ref, rows in places.items() if ref in own
    )
    return {ref for _, ref in slices[1::IMAGES_PER_HELD]}


def _labelled_by_people(
    image: ImageRow, labels: Sequence[LabelRow], places: Collection[SliceRef]
) -> list[SliceRef]:
    unaided = unaided_slices(image.shape, labels)
    return [ref for ref in places if (ref.axis, ref.index) in unaided]


def _objects(
    store: Store, image: ImageRow, places: dict[SliceRef, list[LabelRow]]
) -> list[tuple[SliceRef, NDArray[np.uint16]]]:
    """(H, W) object numbers of these slices, as the labels stand now."""
    if not places:
        return []
    folded = fold(image.shape, store.labels(image.id))
    found = []
    for ref, rows in places.items():
        classes = plane(folded.classes, ref.axis, ref.index)
        numbers = None if folded.instances is None else plane(folded.instances, ref.axis, ref.index)
        whole = (ref.axis, ref.index) in folded.complete
        named = None if whole else {row.instance for row in rows}
        found.append((ref, numbered_objects(classes, numbers, named, split=image.is_volume)))
    return found


def numbered_objects(
    classes: NDArray[np.uint8], instances: NDArray[np.uint16] | None, named: set[int] | None, *, split: bool
) -> NDArray[np.uint16]:
    """(H, W) one number an object: a class's instance, or a connected piece of it where it has no number or `split`.

    `named`: only these instances are known to be whole; None: all are, and so is what has no number.
    """
    out = np.zeros(classes.shape, np.uint16)
    drawn = (classes > 0) & (classes <= MAX_CLASS)
    keys = classes.astype(np.uint32) << 16 | (0 if instances is None else instances.astype(np.uint32))
    kinds, which = np.unique(keys[drawn], return_inverse=True)
    of_kind = np.zeros(classes.shape, np.int32)
    of_kind[drawn] = which + 1
    count = 0
    # each in its own box: there may be thousands on a large picture
    for number, (key, place) in enumerate(zip(kinds.tolist(), ndimage.find_objects(of_kind), strict=True), 1):
        instance = key & 0xFFFF
        if named is not None and (instance == 0 or instance not in named):
            continue
        mask = of_kind[place] == number
        for piece in _pieces(mask) if split or instance == 0 else [mask]:
            if SMALLEST <= piece.sum() <= LARGEST * classes.size and count < 60_000:
                count += 1
                out[place][piece] = count
    return out


def _pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= SMALLEST]
    return [pieces == n for n in large]


def _written(
    store: Store, image: ImageRow, ref: SliceRef, place: tuple[Path, NDArray[np.uint16]], *, held: bool
) -> TuneSlice:
    folder, numbered = place
    name = f"{ref.image_id}-{ref.axis}-{ref.index}"
    picture = to_rgb(plane(open_npy(image.path), ref.axis, ref.index), image.window)
    np.save(folder / f"{name}-picture.npy", picture)
    np.save(folder / f"{name}-objects.npy", numbered)
    return TuneSlice(folder / f"{name}-picture.npy", folder / f"{name}-objects.npy", held)
