"""Tagging: people say which classes are on an image or slice, a second each; masks say the same for free."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annotator.protocol.outgoing import Message
from storage.arrays import BACKGROUND, ERASED, UNLABELLED, SliceRef, plane
from storage.fold import fold
from storage.rows import ImageRow, LabelRow
from storage.store import Store
from storage.tags import NewTag, TagBatch

AXIS = 0  # tags are given on pictures and on the slices that a volume is stored in
SliceKey = tuple[int, int, int]  # image, axis, index


@dataclass
class SliceTags:
    """What is known of one slice: class -> whether it is there; `drawn` are those a mask tells."""

    present: dict[int, bool] = field(default_factory=dict)
    drawn: set[int] = field(default_factory=set)


class Tagging:
    """Thread-safe. Raises ValueError and LookupError with a sentence for the person."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rounds = store.rounds
        self._lock = threading.Lock()  # protects `_from_masks`; a leaf, no other lock is taken inside it
        self._from_masks: dict[
            int, tuple[object, dict[SliceKey, SliceTags]]
        ] = {}  # image -> state of the labels, tags

    def known(self, image_ids: Sequence[int] | None = None) -> dict[SliceKey, SliceTags]:
        """Every slice of these images (or of all) that anything is known of. Masks win over tags."""
        wanted = [row.id for row in self._store.images(limit=-1)[1]] if image_ids is None else list(image_ids)
        out: dict[SliceKey, SliceTags] = {}
        for tag in self._store.tags.of(image_ids):
            here = out.setdefault((tag.ref.image_id, tag.ref.axis, tag.ref.index), SliceTags())
            here.present.update(dict.fromkeys(tag.classes, tag.present))
        clocks, first_use = self._rounds.labelled_images(), self._rounds.first_use()
        for image_id in wanted:
            if image_id not in clocks:
                continue
            for place, found in self._of_masks(image_id, clocks[image_id], first_use).items():
                here = out.setdefault(place, SliceTags())
                here.present.update(found.present)
                here.drawn |= found.drawn
        return out

    def page(self, offset: int, limit: int, *, every: int = 1, untagged: bool = False) -> Message:
        """A part of the grid: the slices in the project's order, every so many of a volume."""
        classes = self._store.classes()
        _, rows = self._store.images(limit=-1)
        known, wanted = self.known(), {c.id for c in classes}
        places = tagged_places(rows, every)
        done = [p for p in places if p in known and wanted <= known[p].present.keys()]
        shown = [p for p in places if p not in set(done)] if untagged else places
        by_id = {row.id: row for row in rows}
        return {
            "total": len(places),
            "shown": len(shown),
            "done": len(done) if wanted else 0,
            "seconds": round(self._store.tags.seconds(), 1),
            "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in classes],
            "items": [_item(by_id[p[0]], p, known.get(p)) for p in shown[offset : offset + limit]],
        }

    def add(self, places: Sequence[SliceKey], said: Mapping[int, bool], by: TagBatch) -> list[Message]:
        """One act: the same classes on all of these slices. The slices as they stand then."""
        rows = self._check(places, said)
        new = [
            NewTag(SliceRef(*place), tuple(sorted(ids)), present)
            for place in dict.fromkeys(places)
            for present in (True, False)
            if (ids := [c for c, p in said.items() if p == present])
        ]
        self._store.tags.add(new, by)
        return self._items(rows, places)

    def undo(self, user: str, client_id: str) -> list[Message]:
        """Take this person's newest act back; the slices it was about as they stand then."""
        places = [(r.image_id, r.axis, r.index) for r in self._store.tags.take_back(client_id, user)]
        return self._items({i: self._store.image(i) for i, _, _ in places}, places)

    def _check(self, places: Sequence[SliceKey], said: Mapping[int, bool]) -> dict[int, ImageRow]:
        if not places or not said:
            raise ValueError("a tag needs a slice and a class; choose one of each")
        if unknown := sorted(set(said) - {c.id for c in self._store.classes()}):
            raise LookupError(f"class {unknown[0]} is not in this project; reload the page")
        rows = {image_id: self._store.image(image_id) for image_id, _, _ in places}
        for image_id, axis, index in places:
            if axis != AXIS or index >= rows[image_id].shape[AXIS]:
                raise LookupError(
                    f"image {image_id} has no slice {index} along axis {axis} that could be tagged"
                )
        return rows

    def _items(self, rows: Mapping[int, ImageRow], places: Sequence[SliceKey]) -> list[Message]:
        known = self.known(sorted(rows))
        return [_item(rows[p[0]], p, known.get(p)) for p in dict.fromkeys(places)]

    def _of_masks(self, image_id: int, rev: int, first_use: dict[int, int]) -> dict[SliceKey, SliceTags]:
        """What the masks of an image say, kept until one of them or the first use of a class changes."""
        key = (rev, tuple(sorted(first_use.items())))
        with self._lock:
            cached = self._from_masks.get(image_id)
        if cached is not None and cached[0] == key:
            return cached[1]
        by_index = tags_from_masks(self._store.image(image_id).shape, self._store.labels(image_id), first_use)
        found = {(image_id, AXIS, index): known for index, known in by_index.items()}
        with self._lock:
            self._from_masks[image_id] = key, found
        return found


def tags_from_masks(
    shape: tuple[int, int, int], labels: Sequence[LabelRow], first_use: Mapping[int, int]
) -> dict[int, SliceTags]:
    """Slice -> what its masks say: a class drawn is there; on a complete slice those known by then are not, else."""
    classes = fold(shape, labels).classes
    out: dict[int, SliceTags] = {}
    drawn = [_values(plane(classes, AXIS, index)) for index in range(shape[AXIS])]
    for index, values in enumerate(drawn):
        if values:
            out[index] = SliceTags(dict.fromkeys(values, True), set(values))
    for label in labels:
        if label.kind == "complete" and label.axis == AXIS:
            here = out.setdefault(label.index, SliceTags())
            absent = {c for c, first in first_use.items() if c != BACKGROUND and first < label.id}
            for value in absent - drawn[label.index]:
                here.present[value] = False
                here.drawn.add(value)
    return out


def tagged_places(rows: Iterable[ImageRow], every: int = 1) -> list[SliceKey]:
    """Pictures, and every so many slices of volumes, from the middle of the first step on."""
    found = []
    for row in rows:
        count = row.shape[AXIS]
        step = min(every, count)
        found += [(row.id, AXIS, index) for index in range((step - 1) // 2, count, step)]
    return found


def _values(part: NDArray[np.uint8]) -> set[int]:
    return set(np.unique(part).tolist()) - {BACKGROUND, ERASED, UNLABELLED}


def _item(row: ImageRow, place: SliceKey, known: SliceTags | None) -> Message:
    known = known or SliceTags()
    return {
        "image": row.id,
        "axis": place[1],
        "index": place[2],
        "name": row.name,
        "slices": row.shape[AXIS],
        "present": sorted(c for c, there in known.present.items() if there),
        "absent": sorted(c for c, there in known.present.items() if not there),
        "drawn": sorted(known.drawn),
    }
