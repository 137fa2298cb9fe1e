"""How a fill reaches a round: as files of its own, with the slices that it came from and its age."""

from pathlib import Path

import numpy as np
import pytest

from annotator.learning.round_inputs import RoundInputs
from learners.training.targets import Classes
from storage.arrays import SliceRef, open_npy
from storage.predictions import NewPrediction
from storage.rounds import Finished
from storage.store import Store
from tests.conftest import ball, drawn


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "p")
    store.add_class("one")
    yield store
    store.close()


def filled(store: Store, image_id: int, seen: int, value: int = 1) -> None:
    shape = store.image(image_id).shape
    classes, sure = np.full(shape, value, np.uint8), np.full(shape, 200, np.uint8)
    store.predictions.add(NewPrediction(image_id, "random_walker", "propagated", seen, classes, sure))


def test_a_round_keeps_its_fill_while_the_volume_is_filled_anew(store):
    image, rounds = store.add_image(ball()[0]), store.rounds
    store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 5), np.uint8)))
    store.add_label(drawn(SliceRef(image, 1, 3), np.ones((5, 5), np.uint8)))
    inputs = RoundInputs(store, rounds)
    assert inputs.build("propagated", 0).examples[0].fill is None
    filled(store, image, 1)
    (example,) = inputs.build("propagated", 0).examples
    assert example.slices == ((0, 4),) and example.fill.rounds == 0
    filled(store, image, 2, value=0)
    assert (open_npy(example.fill.classes) == 1).all() and (open_npy(example.fill.confidence) == 200).all()
    (newer,) = inputs.build("propagated", 0).examples
    assert newer.slices == ((0, 4), (1, 3)) and (open_npy(newer.fill.classes) == 0).all()
    inputs.forget_old()
    assert not example.fill.classes.exists() and newer.fill.classes.exists() and newer.known.exists()


def test_a_fill_ages_with_the_learners_own_rounds(store):
    image, rounds = store.add_image(ball()[0]), store.rounds
    store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 5), np.uint8)))
    filled(store, image, 1)
    inputs = RoundInputs(store, rounds)
    for learner in ("propagated", "propagated", "supervised"):
        started = rounds.start(learner, 1)
        rounds.finish(started.id, Finished(started.id, None, None, None))
    assert inputs.build("propagated", 0).examples[0].fill.rounds == 2
    assert inputs.build("supervised", 0).examples[0].fill.rounds == 1
    store.add_label(drawn(SliceRef(image, 0, 6), np.ones((5, 5), np.uint8)))
    filled(store, image, 2)
    assert inputs.build("propagated", 0).examples[0].fill.rounds == 0


def test_what_a_label_says_is_trusted_and_what_was_propagated_less(store, tmp_path: Path):
    from learners.training.data import ImageReader
    from learners.training.targets import trust_at

    image = store.add_image(ball()[0])
    store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 5), np.uint8)))
    filled(store, image, 1)
    (example,) = RoundInputs(store, store.rounds).build("propagated", 0).examples
    case = ImageReader(example, Classes((1,)), 1)
    z, y, x = (slice(0, n) for n in example.shape)
    whole = (z, y, x)
    target = case.target(whole, lambda rounds: trust_at(rounds))
    said = case.target(whole)
    assert (target.w[said.w == 1] == 1).all() and target.w[said.w == 0].min() > 0
    assert target.w[said.w == 0].max() <= 0.95 * 200 / 255 + 1e-6
