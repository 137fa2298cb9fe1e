"""What a person says about voxels, made durable: label, complete, undo and redo messages of docs/protocol.md."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.labels.label_cache import LabelCache
from annotator.protocol.frames import decode_runs
from storage.arrays import ERASED, UNLABELLED, Box, Patch, SliceRef, slice_shape
from storage.fold import Folded, Region, overlap, region_of, said, slice_region
from storage.rows import LabelRow, NewLabel
from storage.store import Store

Message = dict[str, Any]


class Refused(Exception):
    """One sentence for the person. `retry`: keep the change and send it again later."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.message, self.retry = message, retry


@dataclass(frozen=True)
class Outcome:
    """The sender's acknowledgement, and what everybody on that image gets to see."""

    ack: Message
    broadcasts: tuple[tuple[Message, bytes], ...] = ()


@dataclass(frozen=True)
class Conflict:
    """Pixels on which somebody else's newer label was kept."""

    by: str
    pixels: int


class Commits:
    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: Message, payload: bytes) -> Outcome:
        """Durable when it returns; the same message again gives the same answer. Raises Refused, LookupError."""
        ref = self._ref(message)
        act = {"label": self._label, "complete": self._complete, "undo": self._undo, "redo": self._undo}
        with self._folds.lock:  # one commit at a time: conflicts are judged against what is on disk
            return act[message["t"]](user, ref, message, payload)

    def _label(self, user: str, ref: SliceRef | None, message: Message, payload: bytes) -> Outcome:
        assert ref is not None
        if self._store.find_label(message["id"]) is not None:
            return self._again(message, ref.image_id)
        box = self._box(ref, message["box"])
        classes = self._classes(payload, box)
        classes, conflict = self._without_conflicts(user, ref, box, classes, message["base_rev"])
        instance = self._instance(ref, message["instance"], classes)
        patch = Patch(box, classes, _instances(classes, instance))
        row = self._store.add_label(_new_label(user, ref, patch, message, instance))
        folded = self._folds.add(row, patch)
        region = region_of(ref.axis, ref.index, box)
        return self._outcome(message, folded, region, row, conflict=conflict, by=user)

    def _complete(self, user: str, ref: SliceRef | None, message: Message, payload: bytes) -> Outcome:
        assert ref is not None
        if self._store.find_label(message["id"]) is not None:
            return self._again(message, ref.image_id)
        is_complete = (ref.axis, ref.index, "complete") in self._store.slice_states(ref.image_id)
        if message["on"] and not is_complete:
            self._store.add_label(NewLabel(ref, None, message["id"], user))
        if not message["on"] and is_complete:
            self._store.reopen_slice(ref, client_id=message["id"], author=user)
        region = slice_region(self._store.image(ref.image_id).shape, ref.axis, ref.index)
        folded = self._folds.redo(ref.image_id, region)
        return self._outcome(message, folded, region, None, image_id=ref.image_id, by=user)

    def _undo(self, user: str, ref: SliceRef | None, message: Message, payload: bytes) -> Outcome:
        change = self._store.revoke if message["t"] == "undo" else self._store.restore
        row = change(message["target"], client_id=message["id"], author=user)
        shape = self._store.image(row.image_id).shape
        whole = slice_region(shape, row.axis, row.index)
        region = whole if row.box is None else region_of(row.axis, row.index, row.box)
        folded = self._folds.redo(row.image_id, region)
        return self._outcome(message, folded, region, row, by=user)

    def _ref(self, message: Message) -> SliceRef | None:
        """The slice a label or complete message is about, checked against its image; None for undo and redo."""
        if message["t"] in ("undo", "redo"):
            return None
        ref = SliceRef(message["image"], message["axis"], message["index"])
        check_ref(self._store.image(ref.image_id).shape, ref)
        return ref

    def _box(self, ref: SliceRef, values: list[int]) -> Box:
        rows, columns = slice_shape(self._store.image(ref.image_id).shape, ref.axis)
        box = Box(*values)
        if box.r1 > rows or box.c1 > columns:
            raise Refused(f"the label reaches outside its slice of {rows} x {columns} pixels; draw it again")
        return box

    def _classes(self, payload: bytes, box: Box) -> NDArray[np.uint8]:
        classes = decode_runs(payload, box.shape)
        newest = self._store.newest_class()
        unknown = np.setdiff1d(classes, [*range(newest + 1), ERASED, UNLABELLED])
        if len(unknown):
            raise Refused(f"class {unknown[0]} is not in this project; reload the page")
        return classes

    def _without_conflicts(
        self, user: str, ref: SliceRef, box: Box, classes: NDArray[np.uint8], base_rev: int
    ) -> tuple[NDArray[np.uint8], Conflict | None]:
        """Where somebody else spoke after this person last looked, theirs stands and the sender is told."""
        region = region_of(ref.axis, ref.index, box)
        others = [
            row
            for row in self._store.labels_since(ref.image_id, base_rev, user)
            if row.box and overlap(region_of(row.axis, row.index, row.box), region)
        ]
        if not others:
            return classes, None
        theirs = said(others, self._store.image(ref.image_id).shape, region).reshape(box.shape)
        contested = (theirs != UNLABELLED) & (classes != UNLABELLED) & (theirs != classes)
        if not contested.any():
            return classes, None
        kept = np.where(contested, np.uint8(UNLABELLED), classes)
        return kept, Conflict(others[-1].author, int(contested.sum()))

    def _instance(self, ref: SliceRef, wanted: int, classes: NDArray[np.uint8]) -> int:
        """The object number asked for; -1 asks for the next free one, which only an object needs."""
        if wanted >= 0:
            return wanted
        has_object = ((classes > 0) & (classes < ERASED)).any()
        return self._store.next_instance(ref.image_id) if has_object else 0

    def _again(self, message: Message, image_id: int) -> Outcome:
        """The answer to a message that was taken before, for instance when the acknowledgement was lost."""
        label = self._store.find_label(message["id"])
        return Outcome(_ack(message, label, self._store.newest_label(image_id), 0, None))

    def _outcome(
        self,
        message: Message,
        folded: Folded,
        region: Region,
        row: LabelRow | None,
        *,
        by: str,
        image_id: int | None = None,
        conflict: Conflict | None = None,
    ) -> Outcome:
        image_id = row.image_id if row else image_id
        assert image_id is not None
        label, instance = (row.id, row.instance) if row else (None, 0)
        ack = _ack(message, label, folded.rev, instance, conflict)
        states = [list(state) for state in self._store.slice_states(image_id)]
        slices = {"t": "slices", "image": image_id, "rev": folded.rev, "slices": states}
        return Outcome(ack, (_region_message(folded, region, image_id, by), (slices, b"")))


def check_ref(shape: tuple[int, int, int], ref: SliceRef) -> None:
    """Raises LookupError where the image has no such slice."""
    if ref.index >= shape[ref.axis]:
        raise LookupError(
            f"image {ref.image_id} has {shape[ref.axis]} slices along axis {ref.axis}, no {ref.index}"
        )


def _new_label(user: str, ref: SliceRef, patch: Patch, message: Message, instance: int) -> NewLabel:
    return NewLabel(
        ref=ref,
        patch=patch,
        client_id=message["id"],
        author=user,
        source=message["source"],
        seconds=message["seconds"],
        prompts=message["prompts"],
        instance=instance,
    )


def _instances(classes: NDArray[np.uint8], instance: int) -> NDArray[np.uint16] | None:
    if not instance:
        return None
    objects = (classes > 0) & (classes < ERASED)
    return np.where(objects, np.uint16(instance), np.uint16(0)).astype(np.uint16)


def _region_message(folded: Folded, region: Region, image_id: int, by: str) -> tuple[Message, bytes]:
    payload = folded.region(region).tobytes()
    if folded.instances is not None:
        window = tuple(slice(a, b) for a, b in zip(region[::2], region[1::2]))
        numbers = folded.instances[window].astype("<u2").tobytes()
        payload += b"\0" * (len(payload) % 2) + numbers
    head = {"t": "region", "image": image_id, "rev": folded.rev, "by": by, "box": list(region)}
    return {**head, "instances": folded.instances is not None}, payload


def _ack(message: Message, label: int | None, rev: int, instance: int, conflict: Conflict | None) -> Message:
    told = {"by": conflict.by, "pixels": conflict.pixels} if conflict else None
    ack = {"t": "ack", "id": message["id"], "label": label, "rev": rev, "instance": instance}
    return {**ack, "conflict": told}
