"""An object that a prompt model drew in the whole volume: one label event a slice, all or none of them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotator.labels.acceptance import SlicePatch, act_ids, check_act_id
from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome, Refused, VolumeShape, check_values, said_meanwhile
from annotator.labels.label_cache import LabelCache
from annotator.labels.object_numbers import free_numbers
from annotator.protocol.arrays import unpack_volume
from annotator.protocol.incoming import VolumeMessage
from annotator.protocol.outgoing import Message, ack, conflict
from storage.arrays import UNLABELLED, Box, Patch, SliceRef, box_around, plane
from storage.fold import Folded, Region, window
from storage.rows import NewLabel
from storage.store import Store

NOTHING = "nothing changed: what is there is locked or protected, or somebody labelled it meanwhile"


@dataclass(frozen=True)
class WholeObject:
    """What is said, over the box of the message."""

    message: VolumeMessage
    mask: NDArray[np.bool_]  # (z, y, x)

    @property
    def region(self) -> Region:
        return self.message.box

    def without(self, others: NDArray[np.bool_]) -> "WholeObject":
        return replace(self, mask=self.mask & ~others)

    def patches(self, instance: int) -> list[SlicePatch]:
        """The slice that was pointed at comes last: the whole act is known by it."""
        message, axis = self.message, self.message.axis
        low = message.box[2 * axis]
        offsets = [start for d, start in enumerate(message.box[::2]) if d != axis]
        found = []
        for k in range(self.mask.shape[axis]):
            here = plane(self.mask, axis, k)
            box = box_around(here)
            if box is None:
                continue
            part = here[box.r0 : box.r1, box.c0 : box.c1]
            classes = np.where(part, np.uint8(message.value), np.uint8(UNLABELLED))
            numbers = np.where(part, np.uint16(instance), np.uint16(0)) if instance else None
            down, right = offsets
            moved = Box(box.r0 + down, box.c0 + right, box.r1 + down, box.c1 + right)
            found.append((low + k, Patch(moved, classes, numbers)))
        return sorted(found, key=lambda one: one[0] == message.index)


class VolumeLabels:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: VolumeMessage, payload: bytes) -> Outcome:
        """Durable when it returns. Raises Refused, LookupError, BadFrame."""
        check_act_id(message.id)
        whole = self._read(message, payload)
        folded = self._folds.get(message.image)
        theirs, lost = self._said_meanwhile(user, whole, folded.classes.shape)
        whole = whole.without(theirs).without(_kept(message, folded))
        if not whole.mask.any():
            raise Refused(NOTHING)
        instance = message.instance
        if instance < 0:
            instance = free_numbers(self._store, folded, message.image, 1)[0]
        patches = whole.patches(instance)
        labels = _labels(user, message, patches)
        with self._store.together():
            rows = self._store.add_labels(labels)
            clock = rows[-1].id
            count = int(whole.mask.sum())
            told = {"slices": len(patches), "voxels": count}
            reply = ack(message.id, label=clock, rev=clock, instance=instance, conflict=lost, **told)
            self._store.answers.keep(message.id, reply)
        for stored, new in zip(rows, labels, strict=True):
            folded = self._folds.add(stored, new.patch)
        change = Change(message.image, whole.region, user)
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(message.image)))

    def _read(self, message: VolumeMessage, payload: bytes) -> WholeObject:
        image = self._store.image(message.image)
        z0, z1, y0, y1, x0, x1 = message.box
        if z1 > image.shape[0] or y1 > image.shape[1] or x1 > image.shape[2]:
            raise Refused("the object reaches outside the volume; prompt it again")
        check_values(self._store, [message.value], message.made)
        return WholeObject(message, unpack_volume(payload, (z1 - z0, y1 - y0, x1 - x0)))

    def _said_meanwhile(
        self, user: str, whole: WholeObject, shape: VolumeShape
    ) -> tuple[NDArray[np.bool_], Message | None]:
        """(z, y, x) where somebody else spoke otherwise after this person last looked, and what to tell."""
        others = said_meanwhile(self._store, user, whole.message, whole.region, shape)
        if others is None:
            return np.zeros(whole.mask.shape, np.bool_), None
        who, theirs = others
        stands = whole.mask & (theirs != UNLABELLED) & (theirs != whole.message.value)
        count = int(stands.sum())
        return stands, conflict(who, count) if count else None


def _kept(message: VolumeMessage, folded: Folded) -> NDArray[np.bool_]:
    """(z, y, x) what the person has locked or protected."""
    now = folded.region(message.box)
    kept = np.isin(now, message.keep)
    if message.apart and folded.instances is not None:
        numbers = folded.instances[window(message.box)]
        kept |= (now == message.value) & (numbers > 0) & (numbers != message.instance)
    return kept


def _labels(user: str, message: VolumeMessage, patches: list[SlicePatch]) -> list[NewLabel]:
    """What was pointed at was seen and is a prompted label; the other slices were accepted with it."""
    ids = act_ids(message.id, len(patches))
    axis = message.axis
    return [
        NewLabel(
            ref=SliceRef(message.image, axis, k),
            patch=patch,
            client_id=each,
            author=user,
            source="prompted" if k == message.index else "accepted",
            seconds=message.seconds / len(patches),
            prompts=message.prompts if each == message.id else {"volume": message.id},
            instance=0 if patch.instances is None else int(patch.instances.max()),
        )
        for (k, patch), each in zip(patches, ids, strict=True)
    ]
