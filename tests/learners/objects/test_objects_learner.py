"""The learner of objects: it tells apart what touches, from numbered labels, in pictures and volumes, also in part."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learners.objects.cutting import number_objects
from learners.objects.scale import FLOWS
from learners.objects.scores import ObjectCounts, count_objects
from learners.progress import classes_file, confidence_file, objects_file
from learners.rounds.train import run
from learners.spec import Example, RoundSpec
from learners.training.checkpoint import load_network, read_card
from storage.arrays import UNLABELLED, open_npy, write_npy
from tests.learners.test_learning import example, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 110


def bars(seed: int, shape: tuple[int, int, int] = (1, 48, 48)) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and numbers: bars of eight pixels with a dim line between them, which no shape of their union tells."""
    rng = np.random.default_rng(seed)
    numbers = np.zeros(shape, np.uint16)
    number = 0
    for row in range(2, shape[1] - 11, 15):
        column = int(rng.integers(1, 8))
        while column < shape[2] - 8:
            number += 1
            numbers[:, row : row + 12, column : column + 8] = number
            column += 8 if rng.random() < 0.7 else 13
    edge = np.zeros(shape, bool)
    edge[..., 1:] = (numbers[..., 1:] != numbers[..., :-1]) & (numbers[..., 1:] > 0) & (numbers[..., :-1] > 0)
    pixels = np.where(numbers > 0, 170, 60) - 70 * edge + rng.normal(0, 6, shape)
    return pixels.clip(0, 255).astype(np.uint8), numbers


def numbered(
    folder: Path, image_id: int, shape: tuple[int, int, int] = (1, 48, 48), **more: object
) -> Example:
    pixels, numbers = bars(image_id, shape)
    write_npy(folder / f"{image_id}-numbers.npy", numbers)
    made = example(folder, image_id, pixels, (numbers > 0).astype(np.uint8), slices=((0, 0),), **more)
    return replace(made, numbers=folder / f"{image_id}-numbers.npy")


def told_apart(spec: RoundSpec, image_id: int) -> tuple[ObjectCounts, ObjectCounts]:
    """The proposed objects against the true ones; and the same mask cut as before."""
    truth = open_npy(spec.examples[0].pixels.with_name(f"{image_id}-numbers.npy"))
    classes = np.array(open_npy(classes_file(spec.directory, image_id)))
    own = np.array(open_npy(objects_file(spec.directory, image_id)))
    assert own.dtype == np.uint16 and own.shape == classes.shape
    assert np.array_equal(own > 0, classes > 0)
    known = np.ones(truth.shape, bool)
    return count_objects(own, truth, known), count_objects(number_objects(classes, (1, 1, 1)), truth, known)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RoundSpec:
    folder = tmp_path_factory.mktemp("objects")
    examples = [numbered(folder, n, all_held=n == 4) for n in range(1, 5)]
    spec = spec_of(folder, examples, learner="objects", steps=STEPS, predict=(4,), seed=1)
    result = run(spec)
    assert result.objects.keys() == {1} and result.objects[1].images == 1
    return spec


def test_it_tells_apart_what_no_shape_tells(trained: RoundSpec):
    own, cut = told_apart(trained, 4)
    assert own.ap50 is not None and cut.ap50 is not None
    assert own.ap50 > 0.7 and own.ap50 > cut.ap50 + 0.2
    confidence = open_npy(confidence_file(trained.directory, 4))
    assert confidence.dtype == np.uint8


def test_flows_tell_apart_what_no_shape_tells_and_rounds_go_on_from_them(tmp_path: Path):
    examples = [numbered(tmp_path, n, all_held=n == 4) for n in range(1, 5)]
    spec = spec_of(tmp_path, examples, learner="flows", steps=60, predict=(4,), seed=1)
    run(spec)
    own, cut = told_apart(spec, 4)
    assert own.ap50 is not None and cut.ap50 is not None
    assert own.ap50 > 0.7 and own.ap50 > cut.ap50 + 0.2
    card = read_card(spec.directory)
    assert card.objects is not None and card.objects.told_by == FLOWS and not card.objects.by_shape
    again = replace(spec, directory=tmp_path / "on", parent=spec.directory, steps=1)
    again.directory.mkdir()
    assert run(again).parent_dice
    other = replace(again, directory=tmp_path / "other", learner="objects")
    other.directory.mkdir()
    result = run(other)
    assert any("started over" in note for note in result.notes), "depth is not to be begun at flows"


def test_its_card_says_what_it_tells_apart_and_rounds_go_on_from_it(trained: RoundSpec, tmp_path: Path):
    card = read_card(trained.directory)
    assert card.objects is not None and card.objects.class_ids == (1,) and card.network.apart == 2
    assert not card.objects.by_shape, "here the network tells more apart than shapes do"
    before = load_network(trained.directory)
    spec = replace(trained, directory=tmp_path / "on", parent=trained.directory, steps=1)
    spec.directory.mkdir()
    run(spec)
    after = load_network(spec.directory)
    assert after.apart is not None and before.apart is not None
    moved = (after.apart.weight - before.apart.weight).detach().abs().max()
    assert float(moved) < 0.02, "it began anew"


def test_it_starts_from_a_network_of_areas_and_the_other_way_round(trained: RoundSpec, tmp_path: Path):
    spec = replace(trained, learner="supervised", directory=tmp_path / "a", parent=trained.directory, steps=1)
    spec.directory.mkdir()
    result = run(spec)
    assert not any("started over" in note for note in result.notes) and result.parent_dice
    assert not objects_file(spec.directory, 4).exists() and read_card(spec.directory).objects is None
    back = replace(trained, directory=tmp_path / "b", parent=spec.directory, steps=1)
    back.directory.mkdir()
    assert not any("started over" in note for note in run(back).notes)


def test_a_round_that_only_predicts_says_the_same_again(trained: RoundSpec, tmp_path: Path):
    spec = replace(trained, directory=tmp_path, parent=trained.directory, seconds=0)
    run(spec)
    for name in (classes_file, objects_file):
        assert np.array_equal(open_npy(name(tmp_path, 4)), open_npy(name(trained.directory, 4)))


def test_objects_without_numbers_are_unknown_and_do_not_teach_that_there_is_none(tmp_path: Path):
    """Half of each picture's objects have no number; the learner finds them all."""
    examples = []
    for n in range(1, 5):
        made = numbered(tmp_path, n, all_held=n == 4)
        assert made.numbers is not None
        numbers = np.array(open_npy(made.numbers))
        if n < 4:
            numbers[numbers % 2 == 0] = 0
            write_npy(tmp_path / f"{n}-half.npy", numbers)
            made = replace(made, numbers=tmp_path / f"{n}-half.npy")
        examples.append(made)
    spec = spec_of(tmp_path, examples, learner="objects", steps=STEPS, predict=(4,), seed=1)
    run(spec)
    own, _ = told_apart(spec, 4)
    assert own.ap50 is not None and own.ap50 > 0.5 and (own.count_error or 0) < 0.3


def test_volumes_and_several_classes_of_which_one_is_an_area(tmp_path: Path):
    """Class 2 has no numbers: it is proposed as an area, and no object is of it."""
    shape, examples = (12, 36, 36), []
    for n in range(1, 3):
        made = numbered(tmp_path, n, shape)
        assert made.known is not None
        known = np.array(open_npy(made.known))
        known[:, -4:] = 2
        known[:3, -8:] = UNLABELLED
        write_npy(made.known, known)
        examples.append(replace(made, slices=tuple((0, z) for z in range(12))))
    spec = spec_of(tmp_path, examples, learner="objects", steps=3, predict=(1,), class_ids=(1, 2))
    result = run(spec)
    card = read_card(result.model)
    assert card.network.dims == 3 and card.objects is not None and card.objects.class_ids == (1,)
    own, classes = open_npy(objects_file(spec.directory, 1)), open_npy(classes_file(spec.directory, 1))
    assert np.array_equal(own > 0, classes == 1)
    assert card.objects.by_shape, "after three steps a network tells nothing apart"


def test_without_numbers_it_learns_areas_alone(tmp_path: Path):
    examples = [replace(numbered(tmp_path, n), numbers=None) for n in range(1, 3)]
    spec = spec_of(tmp_path, examples, learner="objects", steps=2, predict=(1,))
    result = run(spec)
    assert result.objects == {} and not objects_file(spec.directory, 1).exists()
    assert read_card(result.model).objects is None and read_card(result.model).network.apart == 0
