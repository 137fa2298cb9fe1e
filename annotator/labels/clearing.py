"""Everything said of a slice or an image is taken back in one act, which undo brings again."""

from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome, check_ref
from annotator.labels.label_cache import LabelCache
from annotator.labels.undoing import region_around
from annotator.protocol.incoming import ClearMessage
from annotator.protocol.outgoing import ack
from storage.arrays import SliceRef
from storage.store import Store


class Clearing:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: ClearMessage) -> Outcome:
        """All labels there or none. Raises LookupError where there are none."""
        shape = self._store.image(message.image).shape
        ref = SliceRef(message.image, message.axis, message.index) if message.index is not None else None
        if ref is not None:
            check_ref(shape, ref)
        with self._store.together():
            rows = self._store.clear(
                message.image, ref, seen=message.base_rev, client_id=message.id, author=user
            )
            rev, slices = self._store.newest_label(message.image), len({(r.axis, r.index) for r in rows})
            reply = ack(message.id, label=rev, rev=rev, slices=slices, cleared=len(rows))
            self._store.answers.keep(message.id, reply)
        region = region_around(shape, rows)
        folded = self._folds.redo(message.image, region)
        states = self._store.slice_states(message.image)
        return Outcome(reply, broadcasts(Change(message.image, region, user), folded, states))
