"""Undo and redo of one act of a person: a label, that a slice is complete or no longer, a whole acceptance.

What comes to light may be of a class that was removed meanwhile; then the class comes back.
"""

import numpy as np

from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome
from annotator.labels.label_cache import LabelCache
from annotator.protocol.incoming import UndoMessage
from annotator.protocol.outgoing import ack
from storage.events.revoking import FURTHER
from storage.fold import Folded, Region, region_of, slice_region
from storage.rows import Event, LabelRow
from storage.store import Store


class Undoing:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: UndoMessage) -> Outcome:
        """All events of the act or none. Raises LookupError where there is nothing to take back."""
        change = self._store.revoke if message.t == "undo" else self._store.restore
        with self._store.together():
            rows = change(message.target, client_id=message.id, author=user)
            self._store.class_rows.check_meanings()
            if message.t == "redo":
                self._check_said(rows)
            last = rows[-1]
            shape = self._store.image(last.image_id).shape
            region = region_around(shape, rows)
            folded = self._folds.redo(last.image_id, region)
            back = self._store.class_rows.bring_back(classes_in(folded, region))
            reply = ack(
                message.id,
                label=last.id,
                rev=folded.rev,
                instance=last.instance,
                slices=len(rows) if len(rows) > 1 else None,
            )
            self._store.answers.keep(message.id, reply)
        states = self._store.slice_states(last.image_id)
        told = broadcasts(Change(last.image_id, region, user), folded, states)
        return Outcome(reply, told, classes_changed=back)

    def _check_said(self, rows: list[LabelRow]) -> None:
        """Raises LookupError where nothing of a step is said any more."""
        today = {row.id: row.classes for row in self._store.labels(rows[0].image_id)}
        said = [row for row in rows if row.classes]
        if said and not any(today.get(row.id, row.classes) for row in said):
            raise LookupError("the class of that step was deleted with its labels; undo that in Data first")


def without_members(events: list[Event]) -> list[Event]:
    """History events with each act as one: what takes the whole of it back."""
    return [event for event in events if not FURTHER.match(event.client_id)]


def classes_in(folded: Folded, region: Region) -> set[int]:
    """Class values of a box of the volume, as drawn."""
    window = tuple(slice(a, b) for a, b in zip(region[::2], region[1::2], strict=True))
    return set(np.unique(folded.classes[window]).tolist())


def region_around(shape: tuple[int, int, int], rows: list[LabelRow]) -> Region:
    """The smallest box that holds what these events speak about."""
    return _around([_region(shape, row) for row in rows])


def _region(shape: tuple[int, int, int], row: LabelRow) -> Region:
    if row.box is None:
        return slice_region(shape, row.axis, row.index)
    return region_of(row.axis, row.index, row.box)


def _around(regions: list[Region]) -> Region:
    z0, y0, x0 = (min(region[i] for region in regions) for i in (0, 2, 4))
    z1, y1, x1 = (max(region[i] for region in regions) for i in (1, 3, 5))
    return z0, z1, y0, y1, x0, x1
