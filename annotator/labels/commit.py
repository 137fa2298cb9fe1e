"""What a person says about voxels, made durable: label, complete, undo and redo messages of docs/protocol.md."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.labels.broadcasts import Broadcast, Change, broadcasts
from annotator.labels.label_cache import LabelCache
from annotator.labels.object_numbers import carried_number, free_numbers
from annotator.protocol.frames import decode_runs
from annotator.protocol.incoming import CompleteMessage, LabelMessage, VolumeMessage
from annotator.protocol.outgoing import Message, ack, conflict
from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch, SliceRef, slice_shape
from storage.fold import Folded, Region, overlap, region_of, said, slice_region
from storage.rows import NewLabel
from storage.store import Store

VolumeShape = tuple[int, int, int]


class Refused(Exception):
    """One sentence for the person. `retry`: keep the change and send it again later."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.message, self.retry = message, retry


@dataclass(frozen=True)
class Outcome:
    """The sender's acknowledgement, and what everybody on that image gets to see."""

    ack: Message
    broadcasts: tuple[Broadcast, ...] = ()
    classes_changed: bool = False


class Commits:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: LabelMessage | CompleteMessage, payload: bytes) -> Outcome:
        """Durable when it returns. Raises Refused, LookupError."""
        image = self._store.image(message.image)
        ref = SliceRef(message.image, message.axis, message.index)
        check_ref(image.shape, ref)
        if isinstance(message, CompleteMessage):
            return self._complete(user, message, slice_region(image.shape, ref.axis, ref.index))
        return self._label(user, image.shape, message, payload)

    def _label(self, user: str, shape: VolumeShape, message: LabelMessage, payload: bytes) -> Outcome:
        box = _box(message, slice_shape(shape, message.axis))
        classes = self._classes(payload, box, message.made)
        region = region_of(message.axis, message.index, box)
        others = said_meanwhile(self._store, user, message, region, shape)
        theirs = None if others is None else (others[0], others[1].squeeze(message.axis))
        classes, lost = _without_conflict(classes, theirs)
        instance = self._instance(message, Patch(box, classes))
        patch = Patch(box, classes, _instances(classes, instance))
        with self._store.together():
            row = self._store.add_label(_new_label(user, message, patch, instance))
            reply = ack(message.id, label=row.id, rev=row.id, instance=row.instance, conflict=lost)
            self._store.answers.keep(message.id, reply)
        folded = self._folds.add(row, patch)
        return self._outcome(reply, Change(row.image_id, region, user), folded)

    def _complete(self, user: str, message: CompleteMessage, region: Region) -> Outcome:
        ref = SliceRef(message.image, message.axis, message.index)
        is_complete = (ref.axis, ref.index, "complete") in self._store.slice_states(ref.image_id)
        with self._store.together():
            if message.on and not is_complete:
                self._store.add_label(NewLabel(ref, None, message.id, user))
            if not message.on and is_complete:
                self._store.reopen_slice(ref, client_id=message.id, author=user)
            reply = ack(message.id, label=None, rev=self._store.newest_label(ref.image_id))
            self._store.answers.keep(message.id, reply)
        folded = self._folds.redo(ref.image_id, region)
        return self._outcome(reply, Change(ref.image_id, region, user), folded)

    def _classes(self, payload: bytes, box: Box, made: int | None) -> NDArray[np.uint8]:
        classes = decode_runs(payload, box.shape)
        check_values(self._store, np.unique(classes).tolist(), made)
        return classes

    def _instance(self, message: LabelMessage, patch: Patch) -> int:
        """The object number asked for; -1 asks for the one that a fill carried there, else for the next free one, which
        only an object needs."""
        if message.instance >= 0:
            return message.instance
        if not ((patch.classes > 0) & (patch.classes < ERASED)).any():
            return 0
        ref = SliceRef(message.image, message.axis, message.index)
        carried = carried_number(self._store, ref, patch)
        return carried or free_numbers(self._store, self._folds.get(message.image), message.image, 1)[0]

    def _outcome(self, reply: Message, change: Change, folded: Folded) -> Outcome:
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(change.image)))


def check_values(store: Store, values: list[int], made: int | None) -> None:
    """`made`: the newest class that the page knew of; a number may have got another meaning since. Raises Refused."""
    known = {c.id: c for c in store.classes()}
    unknown = [v for v in values if v not in {*known, BACKGROUND, ERASED, UNLABELLED}]
    if unknown:
        raise Refused(_gone(store, unknown[0]))
    later = [known[v].name for v in values if made is not None and v in known and known[v].made > made]
    if later:
        raise Refused(f"this was drawn before there was the class “{later[0]}”; draw it again")


def _gone(store: Store, class_id: int) -> str:
    name = store.class_rows.removed().get(class_id)
    if name is None:
        return f"class {class_id} is not in this project; reload the page"
    return f"the class “{name}” was removed; add it again, or draw this as another class"


def check_ref(shape: VolumeShape, ref: SliceRef) -> None:
    """Raises LookupError where the image has no such slice."""
    if ref.index >= shape[ref.axis]:
        raise LookupError(
            f"image {ref.image_id} has {shape[ref.axis]} slices along axis {ref.axis}, no {ref.index}"
        )


def _box(message: LabelMessage, size: tuple[int, int]) -> Box:
    box, (rows, columns) = Box(*message.box), size
    if box.r1 > rows or box.c1 > columns:
        raise Refused(f"the label reaches outside its slice of {rows} x {columns} pixels; draw it again")
    return box


def said_meanwhile(
    store: Store, user: str, message: LabelMessage | VolumeMessage, region: Region, shape: VolumeShape
) -> tuple[str, NDArray[np.uint8]] | None:
    """What somebody else said here after this person last looked: who (the newest), and (z, y, x) classes."""
    others = [
        row
        for row in store.labels_since(message.image, message.base_rev, user)
        if row.box and overlap(region_of(row.axis, row.index, row.box), region)
    ]
    return (others[-1].author, said(others, shape, region)) if others else None


def _without_conflict(
    classes: NDArray[np.uint8], meanwhile: tuple[str, NDArray[np.uint8]] | None
) -> tuple[NDArray[np.uint8], Message | None]:
    """Where somebody else spoke meanwhile, theirs stands and the sender is told."""
    if meanwhile is None:
        return classes, None
    by, theirs = meanwhile
    contested = (theirs != UNLABELLED) & (classes != UNLABELLED) & (theirs != classes)
    if not contested.any():
        return classes, None
    return np.where(contested, np.uint8(UNLABELLED), classes), conflict(by, int(contested.sum()))


def _new_label(user: str, message: LabelMessage, patch: Patch, instance: int) -> NewLabel:
    return NewLabel(
        ref=SliceRef(message.image, message.axis, message.index),
        patch=patch,
        client_id=message.id,
        author=user,
        source=message.source,
        seconds=message.seconds,
        prompts=message.prompts,
        instance=instance,
    )


def _instances(classes: NDArray[np.uint8], instance: int) -> NDArray[np.uint16] | None:
    if not instance:
        return None
    objects = (classes > 0) & (classes < ERASED)
    return np.where(objects, np.uint16(instance), np.uint16(0)).astype(np.uint16)
