"""A wrong part of a proposal is mended in the whole volume before anybody accepts it, and just so when it is."""

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.filling.fill_request import REDRAWN
from annotator.filling.mending import Mending
from annotator.labels.commit import Refused
from annotator.prompting.wrong_part import wrong_parts
from annotator.protocol.frames import pack_bits
from annotator.protocol.incoming import MendMessage
from annotator.workflow import Workflow
from learners.propagate.process import Filler
from models.prompt import MaskPrediction
from storage.arrays import BACKGROUND, UNLABELLED, SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.annotator.filling.test_corrected_proposals import (
    GUIDED,
    SECONDS,
    SHAPE,
    Project,
    dice,
    like_an_atlas,
    mean_dice,
)
from tests.conftest import drawn

BESIDE = (GUIDED - 1, GUIDED + 1)


class Mended(Project):
    """The project of the fills' tests, and the answer to what a part would change."""

    def ask(self, producer: str, part: NDArray[np.bool_], value: int, **more: Any) -> NDArray[np.uint8]:
        """(Z, Y, X) the proposal as it would be, by a part (rows, columns) of the guided slice."""
        row = self.of(producer)
        rows, columns = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        place: dict[str, Any] = {"image": self.image, "axis": 0, "index": GUIDED, "box": box}
        what: dict[str, Any] = {"value": value, "producer": producer, "prediction": row.id, **more}
        message = MendMessage(t="mend", seq=3, **place, **what)
        mask = part[box[0] : box[2], box[1] : box[3]]
        told, payload = Mending(self.store, self.folds).preview(message, mask, lambda: False)
        z0, z1, y0, y1, x0, x1 = told["box"]
        shape = (z1 - z0, y1 - y0, x1 - x0)
        changed = np.frombuffer(payload, np.uint8, math.prod(shape)).reshape(shape)
        assert len(payload) == 2 * changed.size and told["voxels"] == (changed != UNLABELLED).sum()
        after = np.array(row.classes())
        window = after[z0:z1, y0:y1, x0:x1]
        np.copyto(window, changed, where=changed != UNLABELLED)
        return after

    def accept(self, part: NDArray[np.bool_], value: int) -> NewLabel:
        label = drawn(SliceRef(self.image, 0, GUIDED), np.where(part, value, UNLABELLED).astype(np.uint8))
        new = NewLabel(label.ref, label.patch, label.client_id, "ann", "refined", prompts={"mends": {}})
        self.folds.add(self.store.add_label(new), new.patch)
        self.settle()
        return new


@pytest.fixture
def project(store: Store) -> Iterator[Mended]:
    project = Mended(store)
    yield project
    project.fills.close()


def missing(project: Mended) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A proposal that lacks the left part of the first object, and that part of the guided slice."""
    before = project.truth.copy()
    columns = np.arange(SHAPE[2]) < 10
    before[(project.truth == 1) & columns] = BACKGROUND
    return before, (project.truth[GUIDED] == 1) & columns


@pytest.mark.parametrize("by", ["atlas", "random_walker"])
def test_what_is_shown_first_is_what_is_proposed_once_it_is_accepted(project: Mended, by: str):
    before, part = missing(project)
    project.propose(before)
    if by == "random_walker":  # a fill that started from it
        project.label(0, 5, np.where(project.truth[5] == 1, 1, UNLABELLED).astype(np.uint8))
    shown = np.array(project.of(by).classes())
    preview = project.ask(by, part, 1)
    new = project.accept(part, 1)
    assert (project.of(by).classes() == preview).all()
    project.undo(new)
    assert (project.of(by).classes() == shown).all()


def test_a_missing_piece_and_a_spill_are_mended_on_the_slices_beside_it_too(project: Mended):
    before, part = missing(project)
    project.propose(before)
    after = project.ask("atlas", part, 1)
    assert dice(after, project.truth, 1) > dice(before, project.truth, 1) + 0.03
    for z in BESIDE:
        assert (after[z] != project.truth[z]).sum() < 0.5 * (before[z] != project.truth[z]).sum()
    assert (after[:, :, 20:] == before[:, :, 20:]).all(), "the other object is as it was"
    spilt = project.truth.copy()
    spilt[6:14, 3:9, 4:18][project.truth[6:14, 3:9, 4:18] == 0] = 1
    project.propose(spilt)
    mended = project.ask("atlas", (spilt[GUIDED] == 1) & (project.truth[GUIDED] == 0), BACKGROUND)
    assert mean_dice(mended, project.truth) > mean_dice(spilt, project.truth)
    assert (mended[GUIDED] != project.truth[GUIDED]).sum() < 5


def test_in_a_picture_one_object_is_mended_and_the_others_stay(store: Store):
    project = Mended(store)
    try:
        before = project.flat.copy()
        part = (project.flat[0] == 1) & (np.arange(project.flat.shape[2]) < 15)
        before[0][part] = BACKGROUND
        row = project.propose(before, image=project.picture)
        rows, columns = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        place: dict[str, Any] = {"image": project.picture, "axis": 0, "index": 0, "box": box}
        message = MendMessage(t="mend", seq=1, value=1, producer="atlas", prediction=row.id, **place)
        mask = part[box[0] : box[2], box[1] : box[3]]
        told, _ = Mending(store, project.folds).preview(message, mask, lambda: False)
        x1 = told["box"][5]
        assert told["slices"] == 1 and told["voxels"] >= part.sum()
        other = np.flatnonzero((project.flat[0] == 2).any(0))
        assert x1 <= other[0], "nothing of the other object changes"
    finally:
        project.fills.close()


def test_a_fill_of_labels_alone_is_mended_as_it_was_shown(project: Mended):
    project.label(0, 5, np.where(project.truth[5] == 1, 1, UNLABELLED).astype(np.uint8))
    part = project.truth[GUIDED] == 2  # the fill has not heard of it
    preview = project.ask("random_walker", part, 2)
    new = project.accept(part, 2)
    assert (project.of("random_walker").classes() == preview).all() and (preview[BESIDE, :] == 2).any()
    project.undo(new)
    assert not (project.of("random_walker").classes() == 2).any()


def test_labels_stay_and_old_proposals_are_refused(project: Mended):
    before, part = missing(project)
    project.propose(before)
    project.label(0, GUIDED, np.where(part, 2, UNLABELLED).astype(np.uint8))
    after = project.ask("atlas", part, 1)
    assert (after[GUIDED][part] == 2).all(), "what somebody said is not mended"
    with pytest.raises(Refused, match="Shift"):
        project.ask("atlas", part, 1, prediction=project.of("atlas").id + 7)


def test_a_person_without_proposals_is_told_and_a_box_outside_is_refused(store: Store):
    project = Mended(store)
    try:
        workflow = Workflow.__new__(Workflow)
        workflow.store, workflow.background = store, None
        where: dict[str, Any] = {"image": project.image, "axis": 0, "index": 2, "box": (0, 0, 2, 2)}
        message = MendMessage(t="mend", seq=1, value=1, producer="atlas", prediction=1, **where)
        with pytest.raises(Refused, match="--no-fill"):
            workflow.mend(message, pack_bits(np.ones((2, 2), np.bool_)))
    finally:
        project.fills.close()


def test_only_the_part_that_was_pointed_at_changes():
    proposed = np.zeros((12, 16), np.bool_)
    proposed[3:9, 2:10] = True
    better = proposed.copy()
    better[3:9, 10:13] = True  # what is missing
    better[0, 0] = True  # and something else
    other = proposed | np.roll(proposed, 1, 0)
    answer = MaskPrediction(np.stack([better, better, other]), np.array([0.9, 0.8, 0.7], np.float32))
    added = wrong_parts(answer, proposed, (5, 11))
    assert len(added.masks) == 1 and added.masks[0].sum() == 18 and added.masks[0, 3:9, 10:13].all()
    smaller = proposed.copy()
    smaller[3:5], smaller[8, 2] = False, False
    taken = wrong_parts(MaskPrediction(smaller[None], np.array([0.5], np.float32)), proposed, (3, 4))
    assert taken.masks[0].sum() == 16 and taken.masks[0, 3:5, 2:10].all()
    nothing = wrong_parts(answer, proposed, (11, 15))
    assert not nothing.masks.any() and nothing.scores[0] == 0


def test_new_outlines_stand_beside_the_old_ones_and_labels_are_laid_over_them(project: Mended):
    project.propose(like_an_atlas(project.truth, 0.75))
    before = np.array(project.of("atlas").classes())
    project.fills.redraw(project.image, "atlas")
    project.settle()
    found = project.of(REDRAWN).classes()
    assert mean_dice(found, project.truth) > mean_dice(before, project.truth) + 0.05
    assert (project.of("atlas").classes() == before).all()
    project.label(0, GUIDED, np.where(project.truth[GUIDED] == 1, 1, UNLABELLED).astype(np.uint8))
    assert (project.of(REDRAWN).classes()[GUIDED][project.truth[GUIDED] == 1] == 1).all()
    assert mean_dice(project.of("random_walker").classes(), project.truth) > 0.85


class Gated(Filler):
    """Redraws when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def fill(self, spec, cancelled, progress):
        self.began.release()
        assert self.go.acquire(timeout=60)
        return super().fill(spec, cancelled, progress)


def test_volumes_are_filled_while_one_is_redrawn_and_asking_again_does_not_begin_it_anew(project: Mended):
    project.fills._wishes._filler = gated = Gated()
    project.propose(like_an_atlas(project.truth, 0.75))
    project.fills.redraw(project.image, "atlas")
    assert gated.began.acquire(timeout=60)
    project.fills.redraw(project.image, "atlas")
    assert project.fills.under_way(project.image)
    label = drawn(SliceRef(project.image, 0, GUIDED), project.truth[GUIDED].copy())
    project.folds.add(project.store.add_label(label), label.patch)
    project.fills.refresh(project.image)
    assert project.fills._queue.idle(SECONDS)
    assert mean_dice(project.of("random_walker").classes(), project.truth) > 0.5
    assert project.store.predictions.newest(project.image, REDRAWN) is None
    gated.go.release()
    assert project.fills.idle(SECONDS) and not gated.began.acquire(blocking=False)
    drawn_over = project.of(REDRAWN).classes()[GUIDED] == project.truth[GUIDED]
    assert drawn_over[project.truth[GUIDED] > 0].all(), "labels of meanwhile are laid over it"


def test_what_cannot_be_redrawn_says_why(project: Mended):
    with pytest.raises(LookupError, match="label an object"):
        project.fills.redraw(project.image, "atlas")
    project.propose(project.flat, image=project.picture)
    with pytest.raises(ValueError, match="too far apart"):
        project.fills.redraw(project.picture, "atlas")


def test_objects_are_found_in_pictures_of_a_class_that_is_there(project: Mended):
    with pytest.raises(ValueError, match="found in pictures"):
        project.fills.find_objects(project.image, 1)
    with pytest.raises(LookupError, match="not in this project"):
        project.fills.find_objects(project.picture, 99)
