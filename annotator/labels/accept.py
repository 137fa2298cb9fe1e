"""Accepting a pseudo-label: voxels that nobody spoke about become label events, one a slice, all or none of them."""

from functools import partial

from annotator.labels.acceptance import Acceptance, SlicePatch
from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome, Refused
from annotator.labels.label_cache import LabelCache
from annotator.labels.numbering import count_accepted
from annotator.labels.object_numbers import free_numbers
from annotator.protocol.incoming import AcceptMessage
from annotator.protocol.outgoing import ack
from annotator.replaced import read_newest
from storage.fold import Folded
from storage.store import Store


class Accepting:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def accept(self, user: str, message: AcceptMessage, payload: bytes) -> Outcome:
        """Take an `accept` message; durable when it returns. Raises Refused, ValueError, TornFile."""
        folded = self._folds.get(message.image)
        acceptance, patches = read_newest(
            lambda: Acceptance.read(self._store, message, payload),
            lambda found: (found, self._patches(found, folded)),
            same=lambda one, other: one.prediction.id == other.prediction.id,
        )
        labels = acceptance.labels(user, patches)
        with self._store.together():
            rows = self._store.add_labels(labels)
            voxels, objects = count_accepted(patches)
            clock = rows[-1].id
            reply = ack(
                message.id, label=clock, rev=clock, slices=len(patches), voxels=voxels, objects=objects
            )
            self._store.answers.keep(message.id, reply)
        for stored, new in zip(rows, labels, strict=True):
            folded = self._folds.add(stored, new.patch)
        change = Change(message.image, acceptance.region, user)
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(change.image)))

    def _patches(self, acceptance: Acceptance, folded: Folded) -> list[SlicePatch]:
        patches = acceptance.patches(folded)
        if not patches:
            raise Refused(
                "nothing unlabelled there is as certain as that, or its class was removed; "
                "lower the limit or label more"
            )
        if not acceptance.message.number and not acceptance.is_carried:
            return patches
        free = partial(free_numbers, self._store, folded, acceptance.image.id)
        return acceptance.numbered(patches, folded, free)
