"""Fills in the background, the next slice, and accepting what was filled."""

import errno
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.filling.fill_worker import FillWorker
from annotator.filling.proposals import VolumeProposals
from annotator.labels.changes import Changes
from annotator.labels.commit import Refused
from annotator.labels.label_cache import LabelCache
from annotator.labels.labelled_slices import labelled_slices
from annotator.labels.tagging import Tagging
from annotator.labels.undoing import without_members
from annotator.protocol.incoming import AcceptMessage, UndoMessage
from learners.propagate import PropagationCancelled
from learners.propagate.process import FillDone, Filler, FillSpec, ProcessFiller
from storage.arrays import UNLABELLED, SliceRef, plane
from storage.rows import NewLabel
from storage.store import Store
from storage.tags import TagBatch
from tests.conftest import ball, drawn

SECONDS = 60


class GatedFiller(Filler):
    """The real thing behind a gate; a fill that is cancelled meanwhile stops as any other."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.started, self.runs = threading.Event(), threading.Event(), 0
        self.gate.set()

    def fill(
        self, spec: FillSpec, cancelled: Callable[[], bool], progress: Callable[[float], None]
    ) -> FillDone:
        self.runs += 1
        self.started.set()
        while not self.gate.wait(0.01):
            if cancelled():
                raise PropagationCancelled
        return super().fill(spec, cancelled, progress)


class Bench:
    """A project of one ball, and what is said to the pages."""

    def __init__(self, store: Store, filler: Any) -> None:
        self.store, self.folds, self.filler = store, LabelCache(store), filler
        scan, self.truth = ball()
        store.add_class("one")
        self.image = store.add_image(scan)
        self.said: list[dict[str, Any]] = []
        self.hear: Callable[[dict[str, Any]], None] = self.said.append
        self.fills = FillWorker(store, self.folds, filler, publish=lambda message: self.hear(message))
        self.proposals = VolumeProposals(store, self.fills)
        self.changes = Changes(store, self.folds)

    def label(self, axis: int, index: int, author: str = "ann") -> NewLabel:
        """Draw the truth on a slice, as one commit does."""
        new = drawn(SliceRef(self.image, axis, index), plane(self.truth, axis, index).copy(), author=author)
        self.folds.add(self.store.add_label(new), new.patch)
        self.fills.refresh(self.image)
        return new

    def filled(self) -> None:
        assert self.fills.idle(SECONDS)

    def accept(self, **more: Any) -> Any:
        rest: dict[str, Any] = {"id": uuid.uuid4().hex, "axis": 0, "lo": 0, "hi": 9, **more}
        return self.changes.take("ann", AcceptMessage(t="accept", image=self.image, **rest), b"")

    def known(self) -> np.ndarray:
        with self.folds.lock:
            return self.folds.get(self.image).known()


@pytest.fixture
def bench(store: Store) -> Iterator[Bench]:
    bench = Bench(store, GatedFiller())
    yield bench
    bench.filler.gate.set()
    bench.fills.close()


def test_a_label_fills_the_volume_and_the_pages_hear_of_it(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    row = bench.proposals.newest(bench.image)
    assert (row.kind, row.producer, row.seen_label) == ("propagated", "random_walker", 1)
    fill = row.classes()
    assert 2 * ((fill == 1) & (bench.truth == 1)).sum() / ((fill == 1).sum() + bench.truth.sum()) > 0.7
    assert bench.said[-1]["state"] == "done" and bench.said[-1]["prediction"] == row.id
    state = bench.proposals.describe(bench.image)
    assert not state["running"] and not state["predictions"][-1]["behind"]


def test_whoever_hears_that_a_fill_is_over_is_not_told_that_it_runs(bench: Bench):
    heard = []
    bench.hear = lambda message: heard.append(
        (message["state"], bench.proposals.describe(message["image"])["running"])
    )
    new = bench.label(0, 4)
    bench.filled()
    bench.store.revoke(new.client_id, client_id=uuid.uuid4().hex, author="ann")
    bench.folds.forget(bench.image)
    for _ in range(2):  # the second time there is nothing left to take away, and that is said too
        bench.fills.refresh(bench.image)
        bench.filled()
    ends = [each for each in heard if each[0] != "running"]
    assert ends == [("done", False), ("none", False), ("none", False)]


def test_a_label_during_a_fill_ends_it_and_only_the_newest_state_lands(bench: Bench):
    bench.filler.gate.clear()
    bench.label(0, 4)
    assert bench.filler.started.wait(SECONDS)
    for axis, index in ((1, 7), (2, 9)):
        bench.label(axis, index)
    bench.filler.gate.set()
    bench.filled()
    assert [row.seen_label for row in bench.store.predictions.of(bench.image)] == [3]
    assert 2 <= bench.filler.runs <= 3
    assert [m["rev"] for m in bench.said if m["state"] == "done"] == [3]
    assert len(list(bench.store.predictions.directory.iterdir())) == 2, "classes and confidence, nothing else"


def test_a_volume_of_which_everything_is_said_is_filled_no_more_until_that_is_taken_back(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    outcome = bench.accept()
    runs = bench.filler.runs
    bench.fills.refresh(bench.image)
    bench.filled()
    assert bench.filler.runs == runs and bench.said[-1]["state"] == "none"
    assert not bench.store.predictions.of(bench.image)
    undo = UndoMessage(t="undo", id=uuid.uuid4().hex, target=outcome.ack["id"])
    bench.changes.take("ann", undo, b"")
    bench.fills.refresh(bench.image)
    bench.filled()
    assert bench.filler.runs == runs + 1 and bench.proposals.available(bench.image)


def test_commits_do_not_wait_for_a_fill(bench: Bench):
    bench.filler.gate.clear()
    bench.label(0, 4)
    assert bench.filler.started.wait(SECONDS)
    assert bench.folds.lock.acquire(timeout=1)
    bench.folds.lock.release()
    bench.label(0, 5)
    assert bench.store.newest_label() == 2


def test_when_the_last_label_is_taken_back_the_fill_goes(bench: Bench):
    new = bench.label(0, 4)
    bench.filled()
    bench.store.revoke(new.client_id, client_id=uuid.uuid4().hex, author="ann")
    bench.folds.forget(bench.image)
    bench.fills.refresh(bench.image)
    bench.filled()
    assert bench.store.predictions.of(bench.image) == [] and bench.said[-1]["state"] == "none"
    bench.fills.catch_up(bench.image)
    bench.filled()
    assert [m["state"] for m in bench.said].count("none") == 1
    assert list(bench.store.predictions.directory.iterdir()) == []


def test_an_opened_image_whose_fill_is_behind_is_filled_and_no_other(bench: Bench):
    new = drawn(SliceRef(bench.image, 0, 4), bench.truth[4].copy())
    bench.store.add_label(new)
    bench.fills.catch_up(bench.image)
    bench.filled()
    runs = bench.filler.runs
    bench.fills.catch_up(bench.image)
    bench.filled()
    assert runs == bench.filler.runs == 1


def test_a_failed_fill_is_said_in_a_sentence_and_the_next_one_works(bench: Bench):
    path = bench.store.image(bench.image).path
    aside = path.rename(path.with_suffix(".aside"))
    bench.label(0, 4)
    bench.filled()
    assert bench.said[-1]["state"] == "failed" and bench.said[-1]["message"].endswith(".")
    bench.fills.catch_up(bench.image)  # as every page does that hears of it
    bench.filled()
    assert [m["state"] for m in bench.said].count("failed") == 1
    aside.rename(path)
    bench.label(0, 5)
    bench.filled()
    assert bench.said[-1]["state"] == "done"


def test_a_full_disk_is_said_once_and_leaves_nothing_behind(bench: Bench, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array_header_1_0", full)
        bench.label(0, 4)
        bench.filled()
        bench.fills.catch_up(bench.image)  # as every page does that hears of it
        bench.filled()
    assert [m["message"] for m in bench.said if m["state"] == "failed"] == [
        "The disk is full; free some space and try again, nothing that was saved is lost."
    ]
    assert not list(bench.store.predictions.directory.iterdir())
    bench.label(0, 5)
    bench.filled()
    assert bench.said[-1]["state"] == "done"


def test_another_propagator_takes_the_place_of_the_first(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    bench.fills.choose("shape")
    bench.fills.refresh(bench.image)
    bench.filled()
    assert [row.producer for row in bench.store.predictions.of(bench.image)] == ["shape"]
    with pytest.raises(LookupError, match="there are"):
        bench.fills.choose("sorcery")


def test_the_next_slice_comes_with_a_reason_before_and_after_the_first(bench: Bench):
    first = bench.proposals.next_slice(bench.image)
    assert (first["axis"], first["index"]) == (0, 4) and "Nothing is labelled yet" in first["reason"]
    bench.label(0, 4)
    bench.filled()
    then = bench.proposals.next_slice(bench.image)
    assert (then["axis"], then["index"]) == (0, 2)
    assert "nearest labelled slice of this plane is 4 mm away" in then["reason"]
    with pytest.raises(ValueError, match="there are"):
        bench.proposals.next_slice(bench.image, "dice")


def test_while_the_first_fill_runs_nobody_is_told_that_nothing_is_labelled(bench: Bench):
    bench.filler.gate.clear()
    bench.label(0, 4)
    now = bench.proposals.next_slice(bench.image)
    assert now["axis"] is None and "is filling the volume" in now["reason"]
    bench.filler.gate.set()
    bench.filled()


def test_a_tag_makes_no_fill_older(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    Tagging(bench.store).add([(bench.image, 0, 2)], {1: True}, TagBatch(uuid.uuid4().hex, "ann", seconds=1.0))
    assert bench.proposals.describe(bench.image)["predictions"][0]["behind"] is False
    bench.fills.catch_up(bench.image)
    bench.filled()
    assert bench.filler.runs == 1


def test_a_slab_holds_classes_and_confidence(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    slab, prediction = bench.proposals.slab(bench.image, 3, 6)
    assert slab.shape == (2, 3, 17, 23) and prediction == bench.proposals.newest(bench.image).id
    assert (slab[1, 1] == 255).all()
    with pytest.raises(LookupError):
        bench.proposals.slab(bench.image, 3, 99)


def test_accepting_labels_unknown_voxels_only_and_one_slice_each(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    before, fill = bench.known(), np.array(bench.proposals.newest(bench.image).classes())
    outcome = bench.accept(lo=3, hi=6)
    after = bench.known()
    assert np.array_equal(after[4], before[4])
    assert np.array_equal(after[[3, 5]], fill[[3, 5]]) and (after[6] == UNLABELLED).all()
    assert outcome.ack["slices"] == 2 and outcome.ack["voxels"] == (fill[[3, 5]] > 0).sum() > 0
    assert outcome.ack["objects"] == 2, "one on each side of the labelled slice"
    rows = bench.store.labels(bench.image)[1:]
    assert {(r.index, r.source) for r in rows} == {(3, "accepted"), (5, "accepted")}
    region, payload = outcome.broadcasts[0]
    assert region["box"] == [3, 6, 0, 17, 0, 23]
    assert np.array_equal(np.frombuffer(payload, np.uint8).reshape(3, 17, 23), after[3:6])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_less_certain_voxels_stay_unknown(bench: Bench, axis: int):
    bench.label(0, 4)
    bench.filled()
    confidence = np.array(bench.proposals.newest(bench.image).confidence())
    bench.accept(axis=axis, lo=2, hi=8, min_confidence=0.9)
    known, window = bench.known(), (slice(None),) * axis + (slice(2, 8),)
    sure = confidence[window] >= 0.9 * 255
    assert (known[window] != UNLABELLED).sum() == sure.sum()


def test_the_same_acceptance_twice_is_one(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    first = bench.accept(id="again")
    count = len(bench.store.labels(bench.image))
    second = bench.accept(id="again")
    assert len(bench.store.labels(bench.image)) == count and second.ack == first.ack


def test_one_undo_takes_a_whole_acceptance_back_and_redo_brings_it_again(bench: Bench):
    bench.label(0, 4)
    bench.filled()
    before = bench.known()
    bench.accept(id="all")
    after = bench.known()
    assert [e.client_id for e in without_members(bench.store.history.of("ann")[0])][-1] == "all"
    undone = bench.changes.take("ann", UndoMessage(t="undo", id="u1", target="all"), b"")
    assert np.array_equal(bench.known(), before) and undone.ack["rev"] == bench.store.newest_label()
    bench.changes.take("ann", UndoMessage(t="undo", id="u1", target="all"), b"")
    assert np.array_equal(bench.known(), before)
    bench.changes.take("ann", UndoMessage(t="redo", id="r1", target="all"), b"")
    assert np.array_equal(bench.known(), after)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hi": 10},
        {"lo": 5, "hi": 5},
        {"prediction": 77},
        {"id": "i" * 60},
        {"producer": "x"},
    ],
)
def test_what_cannot_be_accepted_is_refused_in_a_sentence(bench: Bench, wrong: dict[str, Any]):
    bench.label(0, 4)
    bench.filled()
    with pytest.raises(Refused, match="again|yet|reload"):
        bench.accept(**wrong)
    assert len(bench.store.labels(bench.image)) == 1


def test_a_slice_says_which_classes_were_drawn_on_it(bench: Bench):
    bench.label(0, 4)
    bench.store.add_label(NewLabel(SliceRef(bench.image, 1, 7), None, "whole", "ann"))
    found = labelled_slices(bench.store.labels(bench.image))
    assert [(s.axis, s.index, s.complete, s.classes) for s in found] == [
        (0, 4, False, (1,)),
        (1, 7, True, ()),
    ]


def test_a_process_fills_remembers_and_comes_back_after_it_died(store: Store, tmp_path: Path):
    bench = Bench(store, ProcessFiller())
    try:
        bench.label(0, 4)
        bench.filled()
        assert bench.said[-1]["state"] == "done"
        bench.filler._process.kill()
        bench.filler._process.join()
        bench.label(1, 7)
        bench.filled()
        assert bench.said[-1]["state"] == "done" and bench.said[-1]["rev"] == 2
    finally:
        bench.fills.close()
    assert bench.filler._process is None


def test_accepted_objects_are_numbered_and_keep_the_number_of_the_slice_they_go_on_from(bench: Bench):
    one = bench.label(0, 4)
    assert one.patch is not None
    numbers = np.where(one.patch.classes == 1, 7, 0).astype(np.uint16)
    again = NewLabel(one.ref, replace(one.patch, instances=numbers), uuid.uuid4().hex, "ann", instance=7)
    bench.folds.add(bench.store.add_label(again), again.patch)
    bench.fills.refresh(bench.image)
    bench.filled()
    outcome = bench.accept(lo=2, hi=7, number=True)
    assert outcome.ack["objects"] == 1
    folded = bench.folds.get(bench.image)
    assert folded.instances is not None
    there = folded.known()[2:7] == 1
    assert there[0].any() and set(np.unique(folded.instances[2:7][there])) == {7}
    assert not folded.instances[2:7][~there].any()
    bench.accept(lo=7, hi=9)
    assert not folded.instances[7:].any(), "numbers are given to those alone who ask for them"
