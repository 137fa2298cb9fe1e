"""Two people in four tabs label, complete, accept, change objects, undo, redo, edit classes and send again, in any
order, against a simple model.

No sequence may fail, block, answer a repeat otherwise than at first, or leave the labels in memory, the labels on disk
and the model apart.
"""

import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray
from scipy import ndimage

from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import (
    AcceptMessage,
    ClearMessage,
    CommitMessage,
    CompleteMessage,
    LabelMessage,
    ObjectsMessage,
    UndoMessage,
)
from annotator.workflow import Refused, Workflow
from storage.arrays import BACKGROUND, ERASED, UNLABELLED, plane, slice_shape
from storage.fold import fold
from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store

SHAPE = (2, 3, 4)
IMAGE = 1
TABS = ("ann", "ann", "bob", "bob")
NAMES = ("one", "two", "three")
CLASSES = st.integers(1, len(NAMES))
VALUES = st.sampled_from([BACKGROUND, 1, 2, 3, ERASED, UNLABELLED])


@dataclass
class Said:
    """One event of the model: what it says on a slice (None: that it is complete), and how often it is taken back."""

    id: int
    axis: int
    index: int
    classes: NDArray[np.uint8] | None
    revokers: list["Said"] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return not any(revoker.live for revoker in self.revokers)


@dataclass
class Act:
    client_id: str
    author: str
    events: list[Said]


class Sequences(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "project")
        for name in NAMES:
            self.store.add_class(name)
        pixels = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
        self.store.add_image(Scan("small", pixels, None, None))
        self.proposed = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
        sure = np.full(SHAPE, 255, np.uint8)
        self.store.predictions.add(NewPrediction(IMAGE, "x", "predicted", 1, self.proposed, sure))
        self.workflow = Workflow(self.store, PromptService(self.store))
        self.acts: list[Act] = []
        self.said: list[Said] = []
        self.answers: list[tuple[str, CommitMessage, bytes, dict[str, Any]]] = []
        self.relabels: list[tuple[int, int, int]] = []  # (event, class before, class after)
        self.seen = [0] * len(TABS)  # the revision that each tab has seen

    def teardown(self) -> None:
        if hasattr(self, "workflow"):
            self.workflow.close()
            self.folder.cleanup()

    # what people do

    @rule(tab=st.integers(0, 3), axis=st.integers(0, 2), data=st.data())
    def label(self, tab: int, axis: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, SHAPE[axis] - 1))
        rows, columns = slice_shape(SHAPE, axis)
        flat = data.draw(st.lists(VALUES, min_size=rows * columns, max_size=rows * columns))
        classes = np.array(flat, np.uint8).reshape(rows, columns)
        message = LabelMessage(
            **self._about(axis, index),
            t="label",
            box=(0, 0, rows, columns),
            source="drawn",
            base_rev=self.seen[tab],
        )
        said = self._without_conflict(tab, axis, index, classes)
        gone = {int(v) for v in np.unique(classes) if 0 < v < ERASED} - self._classes()
        ack = self._send(tab, message, encode_runs(classes), expect=not gone)
        if ack is not None:
            self._keep(message.id, tab, [Said(ack["label"], axis, index, said)])

    @rule(tab=st.integers(0, 3), axis=st.integers(0, 2), on=st.booleans(), data=st.data())
    def complete(self, tab: int, axis: int, on: bool, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, SHAPE[axis] - 1))
        message = CompleteMessage(**self._about(axis, index), t="complete", on=on)
        standing = [
            e for e in self.said if e.live and e.classes is None and (e.axis, e.index) == (axis, index)
        ]
        ack = self._send(tab, message)
        assert ack is not None
        if on and not standing:
            self._keep(message.id, tab, [Said(self.store.find_label(message.id) or 0, axis, index, None)])
        if not on and standing:
            self._revoke(standing, self._keep_revocation(message.id, tab, standing))

    @rule(tab=st.integers(0, 3), axis=st.integers(0, 2), whole=st.booleans(), data=st.data())
    def clear(self, tab: int, axis: int, whole: bool, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, SHAPE[axis] - 1))
        about = self._about(axis, index) | ({"index": None} if whole else {})
        message = ClearMessage(**about, t="clear", base_rev=self.store.newest_label(IMAGE))
        standing = [e for e in self.said if e.live and (whole or (e.axis, e.index) == (axis, index))]
        if self._send(tab, message, expect=bool(standing)) is not None:
            standing.sort(key=lambda event: event.id)
            self._revoke(standing, self._keep_revocation(message.id, tab, standing))

    @rule(tab=st.integers(0, 3), axis=st.integers(0, 2))
    def accept(self, tab: int, axis: int) -> None:
        message = AcceptMessage(id=uuid.uuid4().hex, t="accept", image=IMAGE, axis=axis, lo=0, hi=SHAPE[axis])
        there = (self._known() == UNLABELLED) & np.isin(self.proposed, [BACKGROUND, *self._classes()])
        taken = np.where(there, self.proposed, np.uint8(UNLABELLED))
        indices = [k for k in range(SHAPE[axis]) if (plane(taken, axis, k) != UNLABELLED).any()]
        ack = self._send(tab, message, expect=bool(indices))
        if ack is not None:
            first = ack["label"] - len(indices) + 1
            events = [Said(first + n, axis, k, plane(taken, axis, k).copy()) for n, k in enumerate(indices)]
            self._keep(message.id, tab, events)

    @rule(tab=st.integers(0, 3), axis=st.integers(0, 2), value=st.none() | CLASSES, data=st.data())
    def change_object(self, tab: int, axis: int, value: int | None, data: st.DataObject) -> None:
        """Delete the object at a voxel, or give it another class."""
        at = tuple(data.draw(st.integers(0, size - 1)) for size in SHAPE)
        what = {"t": "objects", "do": "class" if value else "delete", "value": value, "at": (at,)}
        about = self._about(axis, at[axis]) | {"base_rev": self.store.newest_label()}
        message = ObjectsMessage.model_validate(about | what)
        drawn = self._drawn()
        pieces, _ = ndimage.label(drawn == drawn[at], np.ones((3, 3, 3)))
        there = BACKGROUND < drawn[at] < ERASED and value in {None, *self._classes()}
        said = np.where(pieces == pieces[at], np.uint8(value or ERASED), np.uint8(UNLABELLED))
        indices = [k for k in range(SHAPE[axis]) if (plane(said, axis, k) != UNLABELLED).any()]
        ack = self._send(tab, message, expect=bool(there))
        if ack is not None:
            first = ack["label"] - len(indices) + 1
            events = [Said(first + n, axis, k, plane(said, axis, k).copy()) for n, k in enumerate(indices)]
            self._keep(message.id, tab, events)

    @precondition(lambda self: self.acts)
    @rule(tab=st.integers(0, 3), data=st.data())
    def undo(self, tab: int, data: st.DataObject) -> None:
        act = data.draw(st.sampled_from(self.acts))
        message = UndoMessage(t="undo", id=uuid.uuid4().hex, target=act.client_id)
        living = [event for event in act.events if event.live]
        if self._send(tab, message, expect=bool(living) and act.author == TABS[tab]) is not None:
            self._revoke(living)

    @precondition(lambda self: self.acts)
    @rule(tab=st.integers(0, 3), data=st.data())
    def redo(self, tab: int, data: st.DataObject) -> None:
        act = data.draw(st.sampled_from(self.acts))
        message = UndoMessage(t="redo", id=uuid.uuid4().hex, target=act.client_id)
        revokers = [revoker for event in act.events for revoker in event.revokers if revoker.live]
        if self._send(tab, message, expect=bool(revokers) and act.author == TABS[tab]) is not None:
            self._revoke(revokers)

    @rule(value=CLASSES)
    def remove_class(self, value: int) -> None:
        used = bool((self._drawn() == value).any())
        expect = value in self._classes() and not used
        self._edit({"op": "remove", "id": value}, expect=expect)

    @rule(value=CLASSES)
    def add_class_again(self, value: int) -> None:
        self._edit({"op": "add", "name": NAMES[value - 1]}, expect=value not in self._classes())

    @rule(value=CLASSES, into=st.sampled_from([1, 2, 3, UNLABELLED]))
    def merge_or_delete_class(self, value: int, into: int) -> None:
        there = self._classes()
        change = {"op": "delete"} if into == UNLABELLED else {"op": "merge", "into": into}
        expect = value in there and into != value and into in {*there, UNLABELLED}
        if self._edit({"id": value, **change}, expect=expect):
            self.relabels.append((self.store.newest_label(), value, into))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """After a lost answer, also much later."""
        user, message, payload, answer = data.draw(st.sampled_from(self.answers))
        clock = self.store.newest_label()
        assert self.workflow.commit(user, message, payload).ack == answer
        assert self.store.newest_label() == clock

    @rule(tab=st.integers(0, 3))
    def look(self, tab: int) -> None:
        self.seen[tab] = self.store.newest_label(IMAGE)

    @rule()
    def restart(self) -> None:
        self.workflow.close()
        self.store = Store(self.store.root)
        self.workflow = Workflow(self.store, PromptService(self.store))

    # what must hold

    @invariant()
    def memory_disk_and_model_agree(self) -> None:
        if not hasattr(self, "workflow"):
            return
        on_disk = fold(SHAPE, self.store.labels(IMAGE)).known()
        in_memory, _ = self.workflow.labels(IMAGE, 0, SHAPE[0])
        assert np.array_equal(on_disk, self._known()) and np.array_equal(in_memory, on_disk)
        named = {int(value) for value in np.unique(on_disk) if 0 < value < ERASED}
        assert named <= self._classes(), "no label is of a class that is gone"

    # the model

    def _classes(self) -> set[int]:
        return {row.id for row in self.store.classes()}

    def _edit(self, change: dict[str, Any], *, expect: bool) -> bool:
        try:
            self.workflow.edit_classes("ann", change)
        except (ValueError, LookupError) as error:
            assert not expect, str(error)
            return False
        assert expect, f"{change} was taken"
        return True

    def _about(self, axis: int, index: int) -> dict[str, Any]:
        return {"id": uuid.uuid4().hex, "image": IMAGE, "axis": axis, "index": index}

    def _send(
        self, tab: int, message: CommitMessage, payload: bytes = b"", *, expect: bool = True
    ) -> dict[str, Any] | None:
        """The acknowledgement; None where it is refused for good, which must be `expect`ed."""
        try:
            ack = self.workflow.commit(TABS[tab], message, payload).ack
        except Refused as refusal:
            assert not expect and not refusal.retry, refusal.message
            return None
        assert expect, "it was taken although there was nothing to take"
        self.answers.append((TABS[tab], message, payload, ack))
        return ack

    def _keep(self, client_id: str, tab: int, events: list[Said]) -> None:
        self.said += events
        self.acts.append(Act(client_id, TABS[tab], events))

    def _keep_revocation(self, client_id: str, tab: int, standing: list[Said]) -> list[Said]:
        """That slices are complete no longer can be undone like any act: its events are the revocations."""
        made = [Said(0, event.axis, event.index, None) for event in standing]
        self.acts.append(Act(client_id, TABS[tab], made))
        return made

    def _revoke(self, events: list[Said], by: list[Said] | None = None) -> None:
        by = by or [Said(0, event.axis, event.index, None) for event in events]
        for event, revoker in zip(events, by, strict=True):
            event.revokers.append(revoker)

    def _said(self, event: Said) -> NDArray[np.uint8]:
        """(rows, columns) of a patch in the classes of today."""
        assert event.classes is not None
        classes = event.classes.copy()
        for at, before, after in self.relabels:
            if at > event.id:
                classes[classes == before] = after
        return classes

    def _drawn(self) -> NDArray[np.uint8]:
        drawn = np.full(SHAPE, UNLABELLED, np.uint8)
        for event in sorted(self.said, key=lambda event: event.id):
            if event.live and event.classes is not None:
                here, classes = plane(drawn, event.axis, event.index), self._said(event)
                spoken = classes != UNLABELLED
                here[spoken] = np.where(classes == ERASED, UNLABELLED, classes)[spoken]
        return drawn

    def _known(self) -> NDArray[np.uint8]:
        known = self._drawn()
        for event in self.said:
            if event.live and event.classes is None:
                here = plane(known, event.axis, event.index)
                here[here == UNLABELLED] = BACKGROUND
        return known

    def _without_conflict(
        self, tab: int, axis: int, index: int, classes: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Where somebody else spoke since this tab looked, theirs stands."""
        authors = {id(event): act.author for act in self.acts for event in act.events}
        theirs = np.full(SHAPE, UNLABELLED, np.uint8)
        for event in sorted(self.said, key=lambda event: event.id):
            others = authors[id(event)] != TABS[tab] and event.id > self.seen[tab]
            if others and event.live and event.classes is not None:
                here = plane(theirs, event.axis, event.index)
                said = self._said(event)
                here[:] = np.where(said == UNLABELLED, here, said)
        there = plane(theirs, axis, index)
        contested = (there != UNLABELLED) & (classes != UNLABELLED) & (there != classes)
        return np.where(contested, np.uint8(UNLABELLED), classes)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
