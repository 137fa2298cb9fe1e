"""Pictures that objects hardly fill: their statistics, the scale they are seen at, and how much is proposed."""

from dataclasses import replace

import numpy as np
import pytest

from learners.prediction.plausible import plausible
from learners.prediction.predict import class_map
from learners.progress import classes_file, confidence_file
from learners.rounds.train import run
from learners.training.checkpoint import load_network, read_card
from learners.training.data import ImageReader
from learners.training.plan import plan_of, plan_to_predict
from learners.training.rare_objects import RareObjects, rare_objects
from learners.training.resample import SAME, zoom_of
from learners.training.targets import Classes
from storage.arrays import UNLABELLED, open_npy
from tests.learners.test_learning import example, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")
ONE = Classes((1,))


def specks(folder, count: int, side: int = 24, shape: tuple[int, int] = (260, 320), **more):
    """Pictures with one bright square each, off the centre."""
    rng, found = np.random.default_rng(count), []
    for number in range(1, count + 1):
        truth = np.zeros((1, *shape), np.uint8)
        row, column = (int(rng.integers(4, n - side - 4)) for n in shape)
        truth[0, row : row + side, column : column + side] = 1
        pixels = (90 + 90 * truth + rng.normal(0, 12, truth.shape)).clip(0, 255).astype(np.uint8)
        found.append(example(folder, number, pixels, truth, slices=((0, 0),), **more))
    return found


def test_labels_tell_the_size_the_number_and_the_amount_of_small_objects(tmp_path):
    rare = rare_objects(specks(tmp_path, 4, side=24))
    assert rare is not None
    assert rare.side == 24 and rare.shrink == pytest.approx(24 / 15, abs=0.01)
    assert rare.most == 1  # as on each of them
    assert 24**2 / (260 * 320) <= rare.share <= 2 * 24**2 / (260 * 320)
    assert 0 < rare.smallest < 24**2


def test_objects_that_fill_their_pictures_are_no_rare_ones(tmp_path):
    examples = specks(tmp_path, 3, side=90)
    assert rare_objects(examples) is None
    plan = plan_of(spec_of(tmp_path, examples))
    assert plan.rare is None and zoom_of(examples[0], plan) == SAME


def test_pictures_that_nobody_knows_whole_and_held_out_ones_tell_nothing(tmp_path):
    for change in ({"all_held": True}, {"held": ((0, 0),)}):
        assert rare_objects([replace(e, **change) for e in specks(tmp_path, 2)]) is None
    truth = np.full((1, 260, 320), UNLABELLED, np.uint8)
    truth[0, :20, :20] = 1
    drawn = example(tmp_path, 9, np.zeros_like(truth), truth, slices=((0, 0),))
    assert rare_objects([drawn]) is None


def test_the_scale_of_a_model_stays_while_it_is_about_right(tmp_path):
    examples = specks(tmp_path, 3, side=24)
    now = rare_objects(examples)
    assert now is not None
    near, far = replace(now, shrink=2.2), replace(now, shrink=5.0)
    kept, changed = rare_objects(examples, near), rare_objects(examples, far)
    assert kept is not None and kept.shrink == 2.2
    assert changed is not None and changed.shrink == now.shrink


def test_only_as_much_stays_proposed_as_people_labelled():
    classes, sure = np.zeros((1, 60, 80), np.uint8), np.full((1, 60, 80), 250, np.uint8)
    for number, (row, column, side) in enumerate([(5, 5, 10), (5, 40, 10), (30, 5, 10), (30, 40, 2)]):
        classes[0, row : row + side, column : column + side] = 1 + number % 2
        sure[0, row : row + side, column : column + side] = 200 + number
    rare = RareObjects(side=10, shrink=1.0, smallest=20, most=2, share=0.5)
    keep = plausible(classes, sure, rare)
    assert not keep[0, 5:15, 5:15].any()  # the least sure of three
    assert keep[0, 5:15, 40:50].all() and keep[0, 30:40, 5:15].all()
    assert not keep[0, 30:32, 40:42].any()  # too small, though the surest
    assert keep.sum() == 200
    few = plausible(classes, sure, replace(rare, share=100 / classes.size))
    assert few[0, 30:40, 5:15].all() and not few[0, 5:15, 40:50].any()  # no more pixels than on any label


def test_a_round_finds_specks_and_says_in_its_files_what_it_says_in_its_sums(tmp_path):
    examples = specks(tmp_path, 4)
    unlabelled = replace(specks(tmp_path, 5)[4], known=None)
    spec = spec_of(tmp_path, [*examples, unlabelled], steps=60, predict=(5,))
    result = run(spec)
    card = read_card(result.model)
    assert card.rare == plan_of(spec).rare and card.rare is not None
    classes = open_npy(classes_file(spec.directory, 5))
    truth = open_npy(tmp_path / "5-known.npy") > 0
    assert 2 * ((classes > 0) & truth).sum() / ((classes > 0).sum() + truth.sum()) > 0.7
    assert (classes > 0).mean() <= card.rare.share + 0.001
    plan = plan_to_predict(card.network, card.brought_to_mm, "cpu", card.rare)
    case = ImageReader(unlabelled, ONE, 1)
    np.testing.assert_array_equal(class_map(load_network(result.model), case, plan, ONE), classes)
    assert open_npy(confidence_file(spec.directory, 5)).shape == classes.shape
    (score,) = result.predicted
    assert score.claimed is not None and 0 < score.claimed <= 1


def test_a_model_of_another_scale_is_not_gone_on_from(tmp_path):
    first = run(spec_of(tmp_path, specks(tmp_path, 3, side=16), steps=2, predict=()))
    near = run(spec_of(tmp_path, specks(tmp_path, 3, side=18), steps=2, predict=(), parent=first.model))
    assert not near.notes
    far = run(
        spec_of(
            tmp_path,
            specks(tmp_path, 3, side=54, shape=(620, 640)),
            steps=2,
            predict=(),
            parent=first.model,
        )
    )
    assert any("started over" in note for note in far.notes)
