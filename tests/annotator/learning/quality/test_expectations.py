"""A number on screen is true or not shown: what is expected of proposals, from the project's facts alone."""

import pytest

from annotator.learning.quality.expectations import Expectations, voxel_shares
from storage.judging import JudgedRow
from storage.rounds import Correction, Finished
from storage.store import Store
from tests.conftest import ball


@pytest.fixture
def project(store: Store) -> Store:
    store.add_class("one")
    for seed in range(9):
        store.add_image(ball(seed=seed)[0])
    store.rounds.sweep()
    return store


def judge(store: Store, images: range, off: float = -0.3, learner: str = "supervised") -> int:
    row = store.rounds.start(learner, 0)
    rows = [JudgedRow(i, 0.9 + 0.01 * i + off, 0.9 + 0.01 * i, True) for i in images]
    store.judging.add_judged(row.id, rows)
    return row.id


def test_what_nothing_calibrates_has_no_number(project: Store) -> None:
    told = Expectations(project)
    assert told.of("supervised", 9, 0.95) is None, "the model's own word is no number"
    judge(project, range(1, 4))
    assert told.of("supervised", 9, 0.95) is None, "three images are too few"
    judge(project, range(1, 6))
    assert told.of("supervised", 9, None) is None and told.of("atlas", 9, 0.95) is None


def test_it_is_what_the_newest_model_was_worth_on_held_out_images(project: Store) -> None:
    judge(project, range(1, 6), off=-0.8)
    newest = judge(project, range(1, 6))
    expected = Expectations(project).of("supervised", 9, 0.93)
    assert expected is not None and expected.low < expected.dice < expected.high
    assert expected.dice == pytest.approx(0.63, abs=0.03)
    project.rounds.fail(newest, "it broke")
    older = Expectations(project).of("supervised", 9, 0.93)
    assert older is not None and older.dice < 0.3, "a round that failed left no model"


def test_slices_of_images_that_taught_calibrate_nothing(project: Store) -> None:
    """A model does better there than on the new images of which the number would be read."""
    for image in range(1, 6):
        project.rounds.hold_out(image, 0, 3)
    judge(project, range(1, 6))
    assert Expectations(project).of("supervised", 9, 0.93) is None
    for image in range(1, 6):
        project.rounds.hold_out(image)
    assert Expectations(project).of("supervised", 9, 0.93) is not None


def test_a_word_unlike_every_judged_one_gets_no_number(project: Store) -> None:
    """It would be a guess: such pictures were the worst of all, and the line called them middling."""
    judge(project, range(1, 6))
    told = Expectations(project)
    assert told.of("supervised", 9, 0.93) is not None and told.of("supervised", 9, 0.6) is None


def test_corrections_of_whole_slices_count_as_held_out_images_do(project: Store) -> None:
    for image in range(1, 5):
        project.rounds.add_correction(Correction(image, "supervised", image, 0.95, 0.1, None))
    told = Expectations(project)
    assert told.of("supervised", 9, 0.95) is None, "strokes where something was wrong say nothing of the rest"
    for image in range(1, 5):
        project.rounds.add_correction(Correction(image, "supervised", 9, 0.95, 0.1, 0.7))
    expected = told.of("supervised", 9, 0.95)
    assert expected is not None and expected.dice == pytest.approx(0.7, abs=0.02)


def test_confidence_is_calibrated_by_the_newest_round_that_ended(project: Store) -> None:
    assert voxel_shares(project, "supervised") is None
    row = project.rounds.start("supervised", 0)
    told = {"seen": [0] * 9 + [5000], "right": [0] * 9 + [4000], "images": 300}
    project.rounds.finish(row.id, Finished(row.id, 0.6, 0.6, None, {"reliability": told}))
    shares = voxel_shares(project, "supervised")
    assert shares is not None and shares[9] == pytest.approx(0.8, abs=0.01)
