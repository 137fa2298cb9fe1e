"""Accepting a pseudo-label: voxels that nobody spoke about become label events, one a slice, all or none of them."""

import contextlib
import re
from typing import Any

import numpy as np

from annotator.labels.acceptance import Acceptance, SlicePatch, slab
from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome, Refused
from annotator.labels.label_cache import LabelCache
from annotator.protocol.incoming import AcceptMessage, UndoMessage
from annotator.protocol.outgoing import Message, ack
from storage.arrays import UNLABELLED
from storage.fold import Folded
from storage.store import Store

MEMBER = re.compile(r"^(.+)--\d+$")


class Accepting:
    """Thread-safe; commits on the same project wait meanwhile."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def accept(self, user: str, message: AcceptMessage) -> Outcome:
        """Take an `accept` message; durable when it returns, and the same again changes nothing. Raises Refused."""
        with self._folds.lock:
            if (
                self._store.find_label(message.id) is not None
            ):  # first: its proposal may be another one by now
                return Outcome(self._ack(message.id, message.image, 0, 0))
            acceptance = Acceptance.read(self._store, message)
            folded = self._folds.get(message.image)
            patches = self._patches(acceptance, folded)
            labels = acceptance.labels(user, patches)
            for stored, new in zip(self._store.add_labels(labels), labels, strict=True):
                folded = self._folds.add(stored, new.patch)
            voxels, objects = _voxels(patches), len(_numbers(patches))
            reply = self._ack(message.id, message.image, len(patches), voxels, objects)
            return self._outcome(reply, Change(message.image, acceptance.region, user), folded)

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
            box = slab(self._store.image(row.image_id).shape, row.axis, low, high)
            folded = self._folds.redo(row.image_id, box)
            reply = self._ack(message.id, row.image_id, count + 1, 0)
            return self._outcome(reply, Change(row.image_id, box, user), folded)

    def _patches(self, acceptance: Acceptance, folded: Folded) -> list[SlicePatch]:
        patches = acceptance.patches(folded)
        if not patches:
            raise Refused("nothing unlabelled there is as certain as that; lower the limit or label more")
        if not acceptance.message.number:
            return patches
        return acceptance.numbered(patches, folded, self._store.next_instance(acceptance.image.id))

    def _ack(self, id: str, image_id: int, slices: int, voxels: int, objects: int | None = None) -> Message:
        """As any acknowledgement, and how much it was."""
        label, rev = self._store.find_label(id), self._store.newest_label(image_id)
        return ack(id, label=label, rev=rev, slices=slices, voxels=voxels, objects=objects)

    def _outcome(self, reply: Message, change: Change, folded: Folded) -> Outcome:
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(change.image)))


def without_members(events: list[Any]) -> list[Any]:
    """History events with each acceptance as one: what takes the whole of it back. Each has a `client_id`."""
    return [event for event in events if not MEMBER.match(event.client_id)]


def _voxels(patches: list[SlicePatch]) -> int:
    return sum(int((patch.classes != UNLABELLED).sum()) for _, patch in patches)


def _numbers(patches: list[SlicePatch]) -> set[int]:
    """Of the objects in them."""
    numbered = [p.instances for _, p in patches if p.instances is not None]
    return {int(n) for one in numbered for n in np.unique(one)} - {0}
