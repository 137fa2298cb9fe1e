"""What was accepted as it was proposed judges no model: it would be judged by its own masks."""

import uuid
from dataclasses import replace

import numpy as np
import pytest

import app
from annotator.learning.quality.core_set import todays_core
from annotator.learning.quality.corrections import Corrections
from annotator.learning.quality.expectations import Expectations
from annotator.learning.quality.model_quality import what_would_judge
from annotator.learning.quality.proposer import quality_words
from annotator.learning.quality.unaided import unaided_of
from annotator.learning.round_inputs import RoundInputs
from learners.spec import Example
from learners.training.data import ImageReader
from learners.training.targets import Classes
from storage.arrays import UNLABELLED, SliceRef
from storage.judging import JudgedRow
from storage.predictions import NewPrediction
from storage.rounds import Finished
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

TRUTH = ball()[1]
DEPTH = TRUTH.shape[0]


@pytest.fixture
def project(store: Store) -> Store:
    """Ten volumes; nobody said anything."""
    store.add_class("one")
    for seed in range(10):
        store.add_image(ball(seed=seed)[0])
    return store


def draw(store: Store, image_id: int, at: tuple[int, int] = (0, 4), *, complete: bool = True) -> None:
    axis, index = at
    store.add_label(drawn(SliceRef(image_id, *at), np.take(TRUTH, index, axis)))
    if complete:
        store.add_label(NewLabel(SliceRef(image_id, *at), None, uuid.uuid4().hex, "ann"))


def accept(store: Store, image_id: int, slices: range = range(DEPTH)) -> None:
    """All of these slices that nobody has completed."""
    done = {(row.axis, row.index) for row in store.labels(image_id) if row.kind == "complete"}
    for index in slices:
        if (0, index) not in done:
            store.add_label(replace(drawn(SliceRef(image_id, 0, index), TRUTH[index]), source="accepted"))


def example_of(store: Store, image_id: int) -> Example:
    inputs = RoundInputs(store, store.rounds).build("supervised", 0)
    return next(e for e in inputs.examples if e.image_id == image_id)


def judging(store: Store, image_id: int) -> set[int]:
    """Slices across the first axis on which a held-out image judges."""
    known = ImageReader(example_of(store, image_id), Classes((1,)), 1).held_out()
    return set() if known is None else {int(z) for z in np.flatnonzero((known != UNLABELLED).any((1, 2)))}


def test_what_was_accepted_is_not_unaided(project: Store) -> None:
    draw(project, 1)
    accept(project, 1)
    assert unaided_of(project, 1) == {(0, 4)}


def test_a_slice_that_was_begun_and_filled_by_an_acceptance_is_not_either(project: Store) -> None:
    draw(project, 1, complete=False)
    accept(project, 1)
    assert not unaided_of(project, 1)


def test_an_acceptance_across_counts_on_every_slice_that_it_filled(project: Store) -> None:
    draw(project, 1, (1, 7), complete=False)
    draw(project, 1, (1, 8))
    accept(project, 1, range(3, 5))
    assert unaided_of(project, 1) == {(1, 8)}


def test_corrected_it_does_not_count_and_cleared_and_drawn_anew_it_does(project: Store) -> None:
    accept(project, 1, range(4, 6))
    draw(project, 1)
    assert not unaided_of(project, 1), "what nobody touched is still the model's outline"
    seen = project.newest_label()
    project.clear(1, SliceRef(1, 0, 4), seen=seen, client_id="clear", author="ann")
    assert not unaided_of(project, 1)
    draw(project, 1)
    assert unaided_of(project, 1) == {(0, 4)}


def test_accepted_slices_of_a_held_out_volume_are_left_out_of_judging(project: Store) -> None:
    for image_id in range(1, 5):
        draw(project, image_id)
        accept(project, image_id)
    assert judging(project, 4) == {4}, "not one slice of background either"
    core = todays_core(project)
    assert core is not None and core.places == {(4, 0, 4)}


def test_a_held_out_image_that_was_only_accepted_judges_nothing_and_calibrates_nothing(
    project: Store,
) -> None:
    for image_id in range(1, 5):
        accept(project, image_id)
    assert example_of(project, 4).all_held and judging(project, 4) == set()
    assert todays_core(project) is None
    assert quality_words(project, "supervised") == (
        "how good they are nobody knows yet; what judges them was accepted as it was proposed: "
        "on a new image label one slice yourself and press K, before you accept anything there."
    )


def test_who_does_on_a_new_image_what_the_page_says_gets_a_number(project: Store) -> None:
    for image_id in range(1, 5):
        accept(project, image_id)
    assert judging(project, 4) == set()
    project.rounds.start("supervised", project.newest_label())
    draw(project, 5)
    accept(project, 5)
    assert judging(project, 5) == {4}


def test_where_no_new_image_would_judge_the_page_says_what_to_clear(project: Store) -> None:
    for image_id in range(1, 11):
        accept(project, image_id)
    RoundInputs(project, project.rounds).build("supervised", 0)
    assert what_would_judge(project).endswith(
        "clear one slice of 'ball (10)' (Del), label it yourself and press K"
    ), "every image is labelled"


def test_the_command_line_says_the_same(project: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for image_id in range(1, 5):
        accept(project, image_id)
    RoundInputs(project, project.rounds).build("supervised", 0)
    assert app.main(["status", "--project", str(project.root)]) == 0
    assert (
        "to_get_one: what judges them was accepted as it was proposed: on a new image"
        in capsys.readouterr().out
    )


def test_where_the_last_slice_that_judged_goes_nothing_judges_any_more(project: Store) -> None:
    for image_id in range(1, 5):
        draw(project, image_id)
    first = RoundInputs(project, project.rounds).build("supervised", 0).core
    project.clear(4, None, seen=project.newest_label(), client_id="clear", author="ann")
    accept(project, 4)
    core = todays_core(project)
    assert core is not None and core.id != first and not core.places
    assert todays_core(project) == core, "until somebody draws"
    assert "on a new image label one slice" in what_would_judge(project)
    project.clear(4, SliceRef(4, 0, 4), seen=project.newest_label(), client_id="anew", author="ann")
    draw(project, 4)
    again = todays_core(project)
    assert again is not None and again.places == {(4, 0, 4)}


def test_slices_of_images_that_teach_judge_only_until_whole_images_do(project: Store) -> None:
    for index in range(2, 7):
        draw(project, 1, (0, index))
    RoundInputs(project, project.rounds).build("supervised", 0)
    judging_now = todays_core(project)
    assert judging_now is not None and judging_now.places == {(1, 0, 6)}
    row = project.rounds.start("supervised", 0, core=judging_now.id)
    project.judging.add_judged(row.id, [JudgedRow(1, 0.9, 0.9, True)])
    project.rounds.finish(row.id, Finished(row.id, 0.9, 0.9, None, {}))
    assert quality_words(project, "supervised") == (
        "how good they are on new images nobody knows before 4 are labelled; "
        "on 1 held-out slice of images that taught, Dice 0.90."
    )
    for image_id in range(2, 5):
        draw(project, image_id)
    RoundInputs(project, project.rounds).build("supervised", 0)
    judging_now = todays_core(project)
    assert judging_now is not None and judging_now.places == {(4, 0, 4)}


def test_images_are_held_out_that_can_judge(project: Store) -> None:
    for image_id in range(1, 4):
        draw(project, image_id)
    accept(project, 4)
    RoundInputs(project, project.rounds).build("supervised", 0)
    assert {image for image, *_ in project.rounds.held_out()} == {3}


def test_one_is_held_out_to_ask_for_where_none_can_judge_and_not_all(project: Store) -> None:
    for image_id in range(1, 9):
        accept(project, image_id)
        RoundInputs(project, project.rounds).build("supervised", 0)
    assert {image for image, *_ in project.rounds.held_out()} == {4}


def test_images_that_cease_to_judge_do_not_take_all_others_with_them(project: Store) -> None:
    for image_id in range(1, 11):
        draw(project, image_id, complete=False)
        RoundInputs(project, project.rounds).build("supervised", 0)
        accept(project, image_id)
    assert len({image for image, *_ in project.rounds.held_out()}) == 2


def test_an_accepted_proposal_calibrates_nothing(project: Store) -> None:
    """Five images that one accepts as they are would say that the model is as good as it claims."""
    zeros = np.zeros(TRUTH.shape, np.uint8)
    for image_id in range(1, 6):
        new = NewPrediction(image_id, "supervised", "predicted", 0, TRUTH, zeros, claimed=0.9)
        project.predictions.add(new)
        accept(project, image_id)
    inputs = RoundInputs(project, project.rounds).build("supervised", 0)
    Corrections(project, project.rounds).note("supervised", inputs)
    noted = project.rounds.corrections("supervised")
    assert len(noted) == 5 and all(each.dice == 1 and each.whole_dice is None for each in noted)
    assert Expectations(project).of("supervised", 9, 0.9) is None
