"""A model that misses even what it was taught has nothing to say of other images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from learners.prediction.evaluation import Evaluation
from learners.prediction.learnt import ENOUGH, GOOD, FoundAgain, found_again
from learners.prediction.predict import Predicted
from learners.spec import JudgedImage
from learners.training.data import ImageReader
from storage.arrays import UNLABELLED
from tests.learners.prediction.test_sensible import SIDE, cells, project, reader

NOT_JUDGED = Evaluation(None, {})
SURE, UNSURE = 0.9, 0.2


def held_out(*dice: float) -> Evaluation:
    images = tuple(JudgedImage(number, each, 0.5, core=True) for number, each in enumerate(dice, 100))
    return Evaluation(float(np.mean(dice)), {}, images)


def finds_on(*ids: int, asked: list[int] | None = None) -> Callable[[ImageReader], Predicted]:
    """The truth of these images, of which it is sure, and the wrong place on all others."""

    def predict(case: ImageReader) -> Predicted:
        image_id = case.example.image_id
        if asked is not None:
            asked.append(image_id)
        truth = cells(image_id - 1)[1]
        wrong = ((1 - truth) * (np.indices(truth.shape)[2] < 4)).astype(np.uint8)
        values, claimed = (truth, SURE) if image_id in ids else (wrong, UNSURE)
        return Predicted(values, np.ones(truth.shape, np.float32), claimed)

    return predict


@pytest.mark.parametrize(
    ("count", "found", "sure", "unsure"),
    [
        (1, (), False, False),
        (1, (1,), True, True),
        (2, (1,), True, True),
        (3, (3,), False, False),
        (4, (2,), True, False),
        (4, (1, 2, 3, 4), True, True),
        (9, (), False, False),
    ],
)
def test_a_proposal_makes_sense_where_the_model_finds_again_what_it_is_as_sure_of(
    tmp_path: Path, count: int, found: tuple[int, ...], *, sure: bool, unsure: bool
):
    cases = project(tmp_path, cells, count)
    again = found_again(finds_on(*found), cases, (1,), NOT_JUDGED)
    assert again.makes_sense(SURE) is again.anything is sure
    assert again.makes_sense(UNSURE) is again.makes_sense(None) is unsure


def test_held_out_images_tell_first_and_no_more_is_looked_at_than_needed(tmp_path: Path):
    cases, asked = project(tmp_path, cells, 9), list[int]()
    nothing, everything = finds_on(asked=asked), finds_on(*range(1, 10), asked=asked)
    assert found_again(nothing, cases, (1,), held_out(*[0.5] * GOOD)).anything and not asked
    assert not found_again(everything, cases, (1,), held_out(*[0.0] * ENOUGH)).anything and not asked
    assert found_again(everything, cases, (1,), held_out(0.5)).makes_sense(0.5) and len(asked) == GOOD - 1


def test_surer_proposals_are_never_less_likely_to_make_sense():
    again = FoundAgain.of([(0.5, True), (0.3, False), (0.6, False), (0.9, True)])
    assert [again.makes_sense(claimed) for claimed in (0.2, 0.3, 0.55, 0.95)] == [False, False, True, True]


def test_held_out_slices_of_images_that_taught_do_not_tell(tmp_path: Path):
    cases = project(tmp_path, cells, 1)
    judged = Evaluation(0.0, {}, (JudgedImage(1, 0.0, SURE, core=True),))
    assert found_again(finds_on(1), cases, (1,), judged).shares == (1.0,)


def test_one_class_of_many_is_enough(tmp_path: Path):
    cases = project(tmp_path, cells, 2)
    assert found_again(finds_on(1, 2), cases, tuple(range(1, 21)), held_out(0.04)).makes_sense(None)


def test_where_nothing_shows_an_object_nothing_tells(tmp_path: Path):
    empty = np.full((1, SIDE, SIDE), UNLABELLED, np.uint8)
    empty[0, :5] = 0
    cases = [reader(tmp_path, 1, cells(0), known=empty), reader(tmp_path, 2, cells(1))]
    assert found_again(finds_on(), cases, (1,), NOT_JUDGED).makes_sense(None)
