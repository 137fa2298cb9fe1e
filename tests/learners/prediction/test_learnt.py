"""A model that misses even what it was taught has nothing to say of other images."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from learners.prediction.evaluation import Evaluation
from learners.prediction.learnt import ENOUGH, has_learnt
from learners.spec import JudgedImage
from learners.training.data import ImageReader
from storage.arrays import UNLABELLED
from tests.learners.prediction.test_sensible import SIDE, cells, project, reader

NOT_JUDGED = Evaluation(None, {})


def held_out(*dice: float) -> Evaluation:
    images = tuple(JudgedImage(number, each, 0.5, core=True) for number, each in enumerate(dice, 100))
    return Evaluation(float(np.mean(dice)), {}, images)


def finds_on(cases: list[ImageReader], *ids: int, asked: list[int] | None = None):
    """The truth of these images, and the wrong place on all others."""

    def map_of(case: ImageReader) -> NDArray[np.uint8]:
        image_id = case.example.image_id
        if asked is not None:
            asked.append(image_id)
        truth = cells(image_id - 1)[1]
        return truth if image_id in ids else ((1 - truth) * (np.indices(truth.shape)[2] < 4)).astype(np.uint8)

    return map_of


@pytest.mark.parametrize(
    ("count", "found", "learnt"),
    [(1, (), False), (1, (1,), True), (2, (1,), True), (4, (2,), False), (4, (2, 3), True), (9, (), False)],
)
def test_it_has_learnt_where_it_finds_half_of_the_images_that_taught_it(
    tmp_path: Path, count: int, found: tuple[int, ...], *, learnt: bool
):
    cases = project(tmp_path, cells, count)
    assert has_learnt(finds_on(cases, *found), cases, (1,), NOT_JUDGED) is learnt


def test_held_out_images_tell_first_and_no_more_is_looked_at_than_decides(tmp_path: Path):
    cases, asked = project(tmp_path, cells, 9), list[int]()
    nothing, everything = finds_on(cases, asked=asked), finds_on(cases, *range(1, 10), asked=asked)
    assert has_learnt(nothing, cases, (1,), held_out(*[0.5] * ENOUGH)) and not asked
    assert not has_learnt(everything, cases, (1,), held_out(*[0.0] * ENOUGH)) and not asked
    assert has_learnt(everything, cases, (1,), held_out(0.0)) and len(asked) == ENOUGH / 2


def test_one_class_of_many_is_enough(tmp_path: Path):
    cases = project(tmp_path, cells, 3)
    assert has_learnt(finds_on(cases, 1, 2, 3), cases, tuple(range(1, 21)), held_out(0.04))


def test_where_nothing_shows_an_object_nothing_tells(tmp_path: Path):
    empty = np.full((1, SIDE, SIDE), UNLABELLED, np.uint8)
    empty[0, :5] = 0
    cases = [reader(tmp_path, 1, cells(0), known=empty), reader(tmp_path, 2, cells(1))]
    assert has_learnt(finds_on(cases), cases, (1,), NOT_JUDGED)
