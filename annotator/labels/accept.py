"""Accepting a pseudo-label: voxels that nobody spoke about become label events, one a slice, all or none of them."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.labels.commit import Outcome, Refused
from annotator.labels.label_cache import LabelCache
from annotator.labels.numbering import MAX_OBJECTS, number_patches
from annotator.protocol.incoming import AcceptMessage, UndoMessage
from storage.arrays import UNLABELLED, Box, Patch, SliceRef, plane
from storage.fold import Folded, Region, slice_region
from storage.predictions import PredictionRow
from storage.rows import NewLabel
from storage.store import Store

Message = dict[str, Any]
MAX_ID = 54  # characters; the other slices' events append a number to it
MEMBER = re.compile(r"^(.+)--\d+$")
REGION_BYTES = 16 << 20  # of one region message


class Accepting:
    """Thread-safe; commits on the same project wait meanwhile."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def accept(self, user: str, message: AcceptMessage) -> Outcome:
        """Take an `accept` message; durable when it returns, and the same again changes nothing. Raises Refused."""
        if len(message.id) > MAX_ID:
            raise Refused(f"the id of an acceptance has at most {MAX_ID} characters; reload the page")
        row = self._row(message)
        with self._folds.lock:
            if self._store.find_label(message.id) is not None:
                return Outcome(self._ack(message.id, message.image, 0, 0))
            patches = self._patches(message, row)
            if not patches:
                raise Refused("nothing unlabelled there is as certain as that; lower the limit or label more")
            if message.number:
                patches = self._numbered(message, patches)
            labels = self._labels(user, message, row, patches)
            for stored, new in zip(self._store.add_labels(labels), labels, strict=True):
                folded = self._folds.add(stored, new.patch)
            voxels = sum(int((p.classes != UNLABELLED).sum()) for _, p in patches)
            ack = {
                **self._ack(message.id, message.image, len(patches), voxels),
                "objects": len(_numbers(patches)),
            }
            return Outcome(ack, self._news(message.image, folded, self._box(message), user))

    def is_group(self, target: str) -> bool:
        """Whether an undo of this event means a whole acceptance."""
        return self._store.find_label(f"{target}--1") is not None

    def take_back(self, user: str, message: UndoMessage) -> Outcome:
        """Undo or redo a whole acceptance; a repeat after a crash finishes what is left. Raises LookupError."""
        change = self._store.revoke if message.t == "undo" else self._store.restore
        with self._folds.lock:
            count = 0
            while self._store.find_label(f"{message.target}--{count + 1}") is not None:
                count += 1
                with contextlib.suppress(LookupError):  # this slice alone was taken back before
                    change(f"{message.target}--{count}", client_id=f"{message.id}--{count}", author=user)
            row = change(message.target, client_id=message.id, author=user)
            low, high = row.prompts["accepted"]["range"]
            shape = self._store.image(row.image_id).shape
            box = _slab(shape, row.axis, low, high)
            folded = self._folds.redo(row.image_id, box)
            ack = self._ack(message.id, row.image_id, count + 1, 0)
            return Outcome(ack, self._news(row.image_id, folded, box, user))

    def _row(self, message: AcceptMessage) -> PredictionRow:
        row = self._store.predictions.newest(message.image, message.producer)
        shape = self._store.image(message.image).shape
        if not (0 <= message.axis <= 2 and 0 <= message.lo < message.hi <= shape[message.axis]):
            raise Refused("the range to accept lies outside the volume; choose it again")
        if row is None:
            raise Refused("there is nothing to accept yet; label an object on one slice first")
        if message.prediction not in (None, row.id):
            raise Refused("the fill was renewed since you saw it; look at it once more and accept again")
        return row

    def _patches(self, message: AcceptMessage, row: PredictionRow) -> list[tuple[int, Patch]]:
        """Per slice with something to accept: its index and what is accepted there."""
        folded, classes, confidence = self._folds.get(message.image), row.classes(), row.confidence()
        shape = self._store.image(message.image).shape
        found = []
        for k in range(message.lo, message.hi):
            known = folded.region(slice_region(shape, message.axis, k)).squeeze(message.axis)
            sure = plane(confidence, message.axis, k) >= message.min_confidence * 255
            taken = np.where((known == UNLABELLED) & sure, plane(classes, message.axis, k), UNLABELLED)
            if (taken != UNLABELLED).any():
                found.append((k, _patch(taken.astype(np.uint8))))
        return found

    def _numbered(self, message: AcceptMessage, patches: list[tuple[int, Patch]]) -> list[tuple[int, Patch]]:
        """The same with a number for every object."""
        image, first = self._store.image(message.image), self._store.next_instance(message.image)
        spacing = image.spacing_mm or (1.0, 1.0, 1.0)
        across = [mm for n, mm in enumerate(spacing) if n != message.axis]
        found = number_patches(
            patches, (spacing[message.axis], *across), first, lambda *at: self._numbers_at(message, *at)
        )
        if found is None:
            raise Refused(
                f"an image has at most {MAX_OBJECTS:,} numbered objects; accept without numbering them"
            )
        return found

    def _numbers_at(
        self, message: AcceptMessage, index: int, box: Box, classes: NDArray[np.uint8]
    ) -> NDArray[np.uint16] | None:
        """(h, w) numbers of objects of the same classes on another slice; None where there is none."""
        folded, shape = self._folds.get(message.image), self._store.image(message.image).shape
        if folded.instances is None or not 0 <= index < shape[message.axis]:
            return None
        window = np.s_[box.r0 : box.r1, box.c0 : box.c1]
        known = folded.region(slice_region(shape, message.axis, index)).squeeze(message.axis)[window]
        return np.where(known == classes, plane(folded.instances, message.axis, index)[window], np.uint16(0))

    def _labels(
        self, user: str, message: AcceptMessage, row: PredictionRow, patches: list[tuple[int, Patch]]
    ) -> list[NewLabel]:
        """The event that undo names comes last: it is the newest in the history."""
        note = {
            "producer": row.producer,
            "prediction": row.id,
            "seen_label": row.seen_label,
            "min_confidence": message.min_confidence,
            "range": [message.lo, message.hi],
        }
        ids = [f"{message.id}--{n}" for n in range(1, len(patches))] + [message.id]
        seconds = message.seconds / len(patches)
        return [
            NewLabel(
                SliceRef(message.image, message.axis, k),
                patch,
                each,
                user,
                "accepted",
                seconds,
                {"accepted": note},
            )
            for (k, patch), each in zip(patches, ids, strict=True)
        ]

    def _box(self, message: AcceptMessage) -> Region:
        return _slab(self._store.image(message.image).shape, message.axis, message.lo, message.hi)

    def _ack(self, id: str, image_id: int, slices: int, voxels: int) -> Message:
        """As any acknowledgement, and how much it was."""
        label, rev = self._store.find_label(id), self._store.newest_label(image_id)
        ack = {"t": "ack", "id": id, "label": label, "rev": rev, "instance": 0, "conflict": None}
        return {**ack, "slices": slices, "voxels": voxels}

    def _news(
        self, image_id: int, folded: Folded, box: Region, user: str
    ) -> tuple[tuple[Message, bytes], ...]:
        states = [list(state) for state in self._store.slice_states(image_id)]
        slices = {"t": "slices", "image": image_id, "rev": folded.rev, "slices": states}
        return (*_regions(folded, box, image_id, user), (slices, b""))


def without_members(events: list[Any]) -> list[Any]:
    """History events with each acceptance as one: what takes the whole of it back. Each has a `client_id`."""
    return [event for event in events if not MEMBER.match(event.client_id)]


def _patch(taken: NDArray[np.uint8]) -> Patch:
    """As small a rectangle as holds everything that is said."""
    rows, columns = (np.flatnonzero((taken != UNLABELLED).any(axis)) for axis in (1, 0))
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return Patch(box, np.ascontiguousarray(taken[box.r0 : box.r1, box.c0 : box.c1]))


def _numbers(patches: list[tuple[int, Patch]]) -> set[int]:
    """Of the objects in them."""
    numbered = [p.instances for _, p in patches if p.instances is not None]
    return {int(n) for one in numbered for n in np.unique(one)} - {0}


def _slab(shape: tuple[int, int, int], axis: int, lo: int, hi: int) -> Region:
    bounds = [(0, n) for n in shape]
    bounds[axis] = (lo, hi)
    (z0, z1), (y0, y1), (x0, x1) = bounds
    return z0, z1, y0, y1, x0, x1


def _regions(folded: Folded, box: Region, image_id: int, by: str) -> Iterator[tuple[Message, bytes]]:
    """Region messages of a size that a page can take."""
    z0, z1, y0, y1, x0, x1 = box
    numbered = folded.instances is not None
    each = max(1, REGION_BYTES // ((y1 - y0) * (x1 - x0)))
    for low in range(z0, z1, each):
        part = (low, min(z1, low + each), y0, y1, x0, x1)
        payload = folded.region(part).tobytes()
        if folded.instances is not None:
            window = tuple(slice(a, b) for a, b in zip(part[::2], part[1::2]))
            payload += b"\0" * (len(payload) % 2) + folded.instances[window].astype("<u2").tobytes()
        head = {"t": "region", "image": image_id, "rev": folded.rev, "by": by, "box": list(part)}
        yield {**head, "instances": numbered}, payload
