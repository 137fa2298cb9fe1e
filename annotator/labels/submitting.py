"""A whole label map that a person saved in another tool: the slices that changed become label events of that person,
one act, which undo takes back as a whole.

A slice that changed was looked at: what is empty on it is background from then on. Of all others nothing is said.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.labels.acceptance import MAX_ID
from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome
from annotator.labels.label_cache import LabelCache
from annotator.labels.undoing import region_around
from annotator.protocol.outgoing import ack, conflict
from storage.arrays import BACKGROUND, UNLABELLED, Patch, SliceRef, box_around, plane
from storage.fold import said
from storage.rows import ImageRow, LabelRow, NewLabel
from storage.store import Store


@dataclass(frozen=True)
class Submission:
    """What was saved. Raises ValueError for a map of another size."""

    id: str  # client id of the act
    image: ImageRow
    axis: int  # along which its slices become events
    classes: NDArray[np.uint8]  # (Z, Y, X), 0 where it is empty
    seen: int  # the newest event that this person saw there: newer ones of others stand
    offered: NDArray[np.bool_] | None = (
        None  # (slices,) on which the tool showed something that nobody had said
    )
    note: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.classes.shape != self.image.shape:
            raise ValueError(f"the label has {self.classes.shape} voxels and the image {self.image.shape}")
        if len(self.id) > MAX_ID:
            raise ValueError(f"the id of a label has at most {MAX_ID} characters")


class Submitting:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, submission: Submission) -> Outcome:
        """Durable when it returns; the same id again changes nothing. Raises StorageFull."""
        if kept := self._store.answers.of(submission.id):
            return Outcome(kept)
        image = submission.image
        before = self._folds.get(image.id).known()
        theirs, lost = self._stands(user, submission, before)
        wanted = np.where(theirs, before, submission.classes)
        changed = _changed_slices(wanted, before, submission)
        labels = self._labels(user, submission, wanted, before, changed)
        with self._store.together():
            rows = self._store.add_labels(labels) if labels else []
            clock = rows[-1].id if rows else self._store.newest_label(image.id)
            label = clock if rows else None
            reply = ack(submission.id, label=label, rev=clock, slices=len(changed), conflict=lost)
            self._store.answers.keep(submission.id, reply)
            self._store.tool_notes.note_seen(user, {image.id: clock})
        return self._outcome(reply, user, rows, labels)

    def _outcome(self, reply: Any, user: str, rows: list[LabelRow], labels: list[NewLabel]) -> Outcome:
        if not rows:
            return Outcome(reply)
        for stored, new in zip(rows, labels, strict=True):
            folded = self._folds.add(stored, new.patch)
        image = rows[0].image_id
        change = Change(image, region_around(self._store.image(image).shape, rows), user)
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(image)))

    def _stands(
        self, user: str, submission: Submission, before: NDArray[np.uint8]
    ) -> tuple[NDArray[np.bool_], Any]:
        """(Z, Y, X) where somebody else spoke after this person looked and it says otherwise; and what to tell."""
        others = self._store.labels_since(submission.image.id, submission.seen, user)
        if not others:
            return np.zeros(before.shape, np.bool_), None
        z, y, x = before.shape
        spoke = said(others, (z, y, x), (0, z, 0, y, 0, x)) != UNLABELLED
        stands = spoke & (before != UNLABELLED) & (before != submission.classes)
        count = int(stands.sum())
        return stands, conflict(others[-1].author, count) if count else None

    def _labels(
        self,
        user: str,
        submission: Submission,
        wanted: NDArray[np.uint8],
        before: NDArray[np.uint8],
        changed: list[int],
    ) -> list[NewLabel]:
        """Events of the slices, and that each of them is complete. The event that undo names comes last."""
        axis, image = submission.axis, submission.image
        row = self._store.predictions.newest(image.id)
        proposed = row.classes() if row is not None else None
        found: list[tuple[int, Patch | None, str]] = []
        for k in changed:
            new, old = plane(wanted, axis, k), plane(before, axis, k)
            proposal = plane(proposed, axis, k) if proposed is not None else None
            if (patch := _patch(new, old)) is not None:
                found.append((k, patch, _source(new, old, proposal)))
            if (old == UNLABELLED).any():
                found.append((k, None, "drawn"))
        ids = [f"{submission.id}--{n}" for n in range(1, len(found))] + [submission.id]
        return [
            NewLabel(SliceRef(image.id, axis, k), patch, each, user, source=source, prompts=submission.note)
            for (k, patch, source), each in zip(found, ids)
        ]


def _changed_slices(
    wanted: NDArray[np.uint8], before: NDArray[np.uint8], submission: Submission
) -> list[int]:
    """Where the map differs from what people said, nothing being as good as background; and where it is empty although
    the tool showed something there."""
    across = tuple(d for d in range(3) if d != submission.axis)
    drawn = np.where(before == UNLABELLED, np.uint8(BACKGROUND), before)
    changed = (wanted != drawn).any(across)
    if submission.offered is not None:
        unsaid = (before == UNLABELLED).any(across)
        changed |= submission.offered & unsaid & ~(wanted != BACKGROUND).any(across)
    return np.flatnonzero(changed).tolist()


def _patch(new: NDArray[np.uint8], old: NDArray[np.uint8]) -> Patch | None:
    """What is said otherwise than before in the smallest rectangle that holds it; None where only background is new."""
    drawn = np.where(old == UNLABELLED, np.uint8(BACKGROUND), old)
    box = box_around(new != drawn)
    if box is None:
        return None
    window = np.s_[box.r0 : box.r1, box.c0 : box.c1]
    said_anew = new[window] != old[window]
    return Patch(box, np.where(said_anew, new[window], np.uint8(UNLABELLED)))


def _source(new: NDArray[np.uint8], old: NDArray[np.uint8], proposal: NDArray[np.uint8] | None) -> str:
    """How a slice came about, by what was proposed for it where nobody had spoken."""
    if proposal is None:
        return "drawn"
    free = old == UNLABELLED
    if not (proposal[free] != BACKGROUND).any():
        return "drawn"
    return "accepted" if (new[free] == proposal[free]).all() else "refined"
