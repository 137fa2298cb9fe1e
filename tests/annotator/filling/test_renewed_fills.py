"""Fills where no learner proposes anything: one more slice starts from the fill on screen, and never spoils it."""

# ruff: noqa: F811  (a fixture is imported, then named as an argument)

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.labels.labelled_slices import labelled_slices
from learners.propagate import FilledVolume, LabelledSlice, PropagationInput
from learners.propagate.fused import Prior
from learners.propagate.renewed import FillShown, Trial, next_fill
from storage.arrays import UNLABELLED, SliceRef, plane
from storage.rows import NewLabel
from tests.annotator.filling.test_corrected_proposals import (
    GUIDED,
    ONE_CLASS,
    SECONDS,
    Project,
    dice,
    like_an_atlas,
    mean_dice,
    project,
)
from tests.conftest import drawn

__all__ = ["project"]
FILL = "random_walker"
WORST = 0.02  # of Dice, what one correct slice may cost


def shown(project: Project) -> NDArray[np.uint8]:
    return np.array(project.of(FILL).classes())


def mend(project: Project, axis: int, index: int, patch: NDArray[np.uint8]) -> NewLabel:
    """As Shift+click and Enter do."""
    label = drawn(SliceRef(project.image, axis, index), patch)
    new = NewLabel(label.ref, label.patch, label.client_id, "ann", "refined", prompts={"mends": {}})
    project.folds.add(project.store.add_label(new), new.patch)
    project.settle()
    return new


@pytest.mark.parametrize("places", [((0, GUIDED), (2, 34), (1, 4)), ((1, 21), (2, 5), (0, 15))])
def test_slices_through_the_rim_and_the_middle_never_spoil_a_fill(
    project: Project, places: tuple[tuple[int, int], ...]
):
    project.complete(0, ONE_CLASS)
    before = first = mean_dice(shown(project), project.truth)
    for axis, index in places:
        project.complete(axis, index)
        after = mean_dice(shown(project), project.truth)
        assert after > before - WORST, (axis, index)
        before = after
    assert before > first


def test_a_class_that_the_new_slice_does_not_show_keeps_its_fill(project: Project):
    project.complete(0, GUIDED)
    before = shown(project)
    project.complete(0, ONE_CLASS)
    after = shown(project)
    untouched = np.arange(project.truth.shape[0]) != ONE_CLASS
    assert ((after == 2) == (before == 2))[untouched].all()
    assert dice(after, project.truth, 1) >= dice(before, project.truth, 1)


def test_a_slice_that_is_taken_back_brings_back_the_very_same_fill(project: Project):
    project.complete(0, GUIDED)
    project.complete(1, 12)
    before = shown(project)
    new = project.label(2, 12, plane(project.truth, 2, 12).copy())
    assert (shown(project) != before).any()
    project.undo(new)
    assert (shown(project) == before).all()


def test_a_mended_part_changes_the_volume_beside_it_and_nothing_else(project: Project):
    project.complete(0, ONE_CLASS)
    before, index, truth = shown(project), GUIDED, project.truth[GUIDED]
    at = int(np.nonzero(truth == 2)[0].mean())
    part = (truth == 2) & (np.arange(len(truth)) == at)[:, None]  # a line through what is missing
    patch = np.where(part, 2, UNLABELLED).astype(np.uint8)
    new = mend(project, 0, index, patch)
    after = shown(project)
    assert (after[index][patch != UNLABELLED] == patch[patch != UNLABELLED]).all()
    far = np.abs(np.arange(before.shape[1]) - at) > 6
    assert (after[:, far] == before[:, far]).all()
    slices = labelled_slices(project.store.labels(project.image))
    assert [s.classes for s in slices if s.index == index] == [()], (
        "it says nothing about the rest of the slice"
    )
    project.undo(new)
    assert (shown(project) == before).all()


def test_whether_labels_alone_do_better_is_asked_once_the_correction_is_shown(project: Project):
    project.propose(np.roll(like_an_atlas(project.truth, 0.7), 6, 2))  # poor
    for axis, index in ((0, GUIDED), (1, 12)):
        project.complete(axis, index)
    assert project.of(FILL).prior == "atlas"
    runs: list[tuple[bool, bool]] = []
    real = project.fills._filler.fill

    def noting(spec, cancelled, progress):  # type: ignore[no-untyped-def]
        done = real(spec, cancelled, progress)
        runs.append((spec.decides, done.unchanged))
        return done

    project.fills._filler.fill = noting  # type: ignore[method-assign]
    for axis, index in ((2, 12), (2, 28), (0, 6)):
        project.complete(axis, index)
    assert runs[0] == (False, False) and runs[1][0], "the correction first"
    alone = [not unchanged for decides, unchanged in runs if decides]
    assert any(alone) and project.of(FILL).prior is None
    before = mean_dice(shown(project), project.truth)
    project.complete(0, 14)
    assert mean_dice(shown(project), project.truth) > before - WORST
    assert project.fills.idle(SECONDS)


def test_a_fill_by_labels_alone_takes_over_once_two_new_slices_have_shown_it_to_be_better(project: Project):
    shape, row = project.truth.shape, project.store.image(project.image)
    known = np.full(shape, UNLABELLED, np.uint8)
    known[GUIDED] = project.truth[GUIDED]
    right = FilledVolume(project.truth, np.full(shape, 200, np.uint8), 0.0, True)
    poor = np.where(np.arange(shape[2]) < 20, 0, project.truth).astype(np.uint8)
    before, trial = Prior(poor, right.confidence), Trial(project.truth)
    places, taken = [LabelledSlice(0, GUIDED, True, (1, 2))], []
    for index in (4, 7):
        known[index] = project.truth[index]
        newer = (LabelledSlice(0, index, True, (1,)),)
        places += newer
        image = project.store.pixels(row.id)
        case = PropagationInput(image, known.copy(), tuple(places), row.spacing_mm or (1.0, 1.0, 1.0))
        found, trial = next_fill(case, FillShown(before, newer, trial), right)
        taken.append(found is right)
    assert taken == [False, True]
    worse = Trial(poor, wins=1)
    found, trial = next_fill(case, FillShown(Prior(project.truth, right.confidence), newer, worse), right)
    assert found is not right and trial.wins == 0


def test_a_new_fill_that_loses_a_class_beside_its_slice_is_not_taken():
    shape, at = (20, 20, 24), LabelledSlice(1, 10, True, (1,))
    z, y, x = np.indices(shape)
    truth = ((z - 10) ** 2 + (y - 10) ** 2 + (x - 10) ** 2 < 50).astype(np.uint8)
    before = np.roll(truth, 5, 2)
    thin = np.where(np.abs(y - 10) <= 2, before, 0).astype(np.uint8)
    thin[:, 10] = truth[:, 10]
    known = np.full(shape, UNLABELLED, np.uint8)
    known[:, 10], known[:, 2] = truth[:, 10], 0
    case = PropagationInput(np.zeros(shape, np.float32), known, (LabelledSlice(1, 2, True, ()), at))
    sure = np.full(shape, 200, np.uint8)
    shown = FillShown(Prior(before, sure), (at,))
    found, _ = next_fill(case, shown, FilledVolume(thin, sure, 0.0, True))
    assert thin.sum() < 0.6 * before.sum() < 0.7 * before.sum() < (found.classes == 1).sum()
