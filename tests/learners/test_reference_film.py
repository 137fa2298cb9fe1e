"""CAV-SAM on a small video model of random weights: the trunk stays, the neck learns, no steps change nothing."""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="the optional extra for SAM 2 is not installed")

from learners.methods.reference.film import Film, aligned, coarse, morph, nearest_shot, neck_of
from learners.methods.reference.film_round import run as work_film
from learners.methods.reference.reference_slices import ReferenceSlice
from learners.prediction.predict import class_map
from learners.spec import Unready
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.targets import Classes
from tests.learners.test_learning import example, spec_of
from tests.learners.test_reference import picture, shot
from tests.models.test_sam2 import propagator  # noqa: F401  the fixture


def test_alignment_changes_the_neck_of_a_copy_and_nothing_else(propagator):  # noqa: F811
    before = {k: v.clone() for k, v in propagator.network.state_dict().items()}
    losses: list[float] = []
    out = aligned(propagator, [shot(1)], (1, 2), steps=12, tell=lambda step, loss: losses.append(loss))
    assert all(torch.equal(v, before[k]) for k, v in propagator.network.state_dict().items())
    inside = {id(p) for p in neck_of(out).parameters()}
    for name, value in out.network.named_parameters():
        assert id(value) in inside or torch.equal(value, before[name]), name
    assert any(not torch.equal(v, before[k]) for k, v in out.network.state_dict().items())
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_without_steps_the_film_is_the_plain_video_model(propagator, tmp_path):  # noqa: F811
    still = aligned(propagator, [shot(1)], (1,), steps=0)
    target = shot(2)
    assert torch.equal(coarse(still, target.picture), coarse(propagator, target.picture))
    clip = np.stack([shot(1).picture, target.picture])
    plain = propagator.propagate(clip, {0: shot(1).values == 1}, lambda done, total: None)[-1]
    film = Film(still, (shot(1),), (1,))
    assert np.array_equal(film._score(1, target.picture, 0.0) > 0, plain > 0.5)


def test_a_class_without_a_reference_is_nowhere_and_a_film_predicts_every_slice(propagator, tmp_path):  # noqa: F811
    grey, truth = picture(1)
    one = example(tmp_path, 1, np.stack([grey] * 2), None)
    spec = spec_of(tmp_path, [one], class_ids=(1, 5))
    classes = Classes((1, 5))
    film = Film(propagator, (shot(1),), (1, 5), frames=2)
    found = class_map(film, ImageReader(one, classes, 1), plan_of(spec), classes)
    assert found.shape == (2, *grey.shape) and 5 not in found


def test_a_morph_ends_near_its_ends():
    a, b = shot(1).picture, shot(2).picture
    frames = morph(a, b, 7)
    assert len(frames) == 7 and morph(a, b, 0) == []
    near, far = (float(np.abs(frames[0].astype(int) - p).mean()) for p in (a, b))
    assert near < far
    tiny = np.zeros((9, 11, 3), np.uint8)
    assert morph(tiny, tiny, 2)[0].shape == tiny.shape


def test_the_reference_slice_nearest_in_the_volume_is_taken():
    shots = [
        ReferenceSlice(1, np.zeros((4, 4, 3), np.uint8), np.full((4, 4), v, np.uint8), at)
        for v, at in ((1, 0.1), (1, 0.9), (2, 0.5))
    ]
    assert nearest_shot(shots, 1, 0.7) is shots[1] and nearest_shot(shots, 3, 0.5) is None


def test_without_weights_a_round_says_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path / "none"))
    grey, truth = picture(1)
    one = example(tmp_path, 1, grey[None], truth[None])
    with pytest.raises((Unready, ValueError), match="SAM 2"):
        work_film(spec_of(tmp_path, [one], learner="reference_film"))
