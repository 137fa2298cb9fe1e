"""The set of held-out labels that judges: the same from round to round, and renewed only at marked points."""

import numpy as np
import pytest

from annotator.learning.quality.core_set import todays_core
from annotator.learning.round_inputs import RoundInputs
from storage.arrays import UNLABELLED, SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

ONES = np.ones((2, 3), np.uint8)


@pytest.fixture
def project(store: Store) -> Store:
    """Twenty images, of which the first four are labelled on one slice."""
    store.add_class("one")
    for seed in range(20):
        store.add_image(ball(seed=seed)[0])
    for image_id in range(1, 5):
        label(store, image_id)
    return store


def label(store: Store, image_id: int, index: int = 4) -> NewLabel:
    new = drawn(SliceRef(image_id, 0, index), ONES)
    store.add_label(new)
    return new


def core_of(store: Store) -> int | None:
    return RoundInputs(store, store.rounds).build("supervised", 0).core


def test_while_nothing_is_held_out_nothing_judges(store: Store) -> None:
    assert todays_core(store) is None and core_of(store) is None


def test_labels_elsewhere_leave_the_set_as_it_is(project: Store) -> None:
    first = core_of(project)
    core = todays_core(project)
    assert core is not None and core.id == first and core.places == {(4, 0, 4)}
    for image_id in range(5, 9):
        label(project, image_id)
        assert core_of(project) == first
    label(project, 1, 5)
    assert core_of(project) == first


def test_newly_held_out_images_wait_until_the_set_has_doubled(project: Store) -> None:
    cores = []
    for image_id in range(5, 19):
        cores.append(core_of(project))
        label(project, image_id)
    cores.append(core_of(project))
    held = {image for image, *_ in project.rounds.held_out()}
    assert len(held) == 3 and len(set(cores)) == 2, "at two held-out images, and not at three"
    examples = {e.image_id: e for e in RoundInputs(project, project.rounds).build("supervised", 0).examples}
    assert [examples[i].core for i in sorted(held)] == [True, True, False]


def test_a_label_of_the_set_that_is_changed_or_taken_back_starts_a_new_one(project: Store) -> None:
    first = core_of(project)
    corrected = label(project, 4)
    second = core_of(project)
    assert second != first
    project.revoke(corrected.client_id, client_id="undo", author="ann")
    third = core_of(project)
    assert third not in (first, second) and core_of(project) == third


def test_it_judges_by_the_labels_of_then(project: Store) -> None:
    core_of(project)
    label(project, 4, 7)  # one slice more: not twice as many, were there more than one
    example = next(
        e for e in RoundInputs(project, project.rounds).build("supervised", 0).examples if e.all_held
    )
    assert example.judge is not None
    known = np.load(example.judge)
    assert (known[4] != UNLABELLED).any() and (known[7] != UNLABELLED).any(), "it has doubled"
    label(project, 4, 2)
    inputs = RoundInputs(project, project.rounds)
    again = next(e for e in inputs.build("supervised", 0).examples if e.all_held)
    assert again.judge == example.judge and (np.load(again.judge)[2] == UNLABELLED).all()
    inputs.forget_old()
    assert again.judge is not None and again.judge.exists()
