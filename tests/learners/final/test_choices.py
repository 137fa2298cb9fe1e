"""What is asked mirrored and mended: only what does better on labels that a network did not see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learners.final import choices
from learners.final.choices import Unseen, choose
from learners.prediction.committee import Committee, answered
from learners.training.data import ImageReader
from learners.training.plan import plan_to_predict
from learners.training.targets import Classes
from learners.training.tidying import ClassTidying, Tidying, tidied
from models.networks import NetworkSpec, UNet
from tests.learners.test_every_learner import volume

pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = NetworkSpec(3, 1, 2, (8, 16), ((2, 2, 2),))


def map_of(*boxes: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
    found = np.zeros((6, 12, 14), np.uint8)
    for box in boxes:
        found[box] = 1
    return found


LARGE, SPECK = (slice(1, 5), slice(2, 8), slice(2, 9)), (slice(0, 1), slice(10, 11), slice(12, 14))


def test_holes_are_filled_and_small_pieces_left_out():
    hollow = map_of(LARGE, SPECK)
    hollow[2:4, 4:6, 4:6] = 0
    assert (tidied(hollow, Tidying({1: ClassTidying(fill=True, smallest=3)})) == map_of(LARGE)).all()
    assert (tidied(hollow, Tidying({1: ClassTidying(largest=True)})) != hollow).sum() == 2
    assert (
        tidied(map_of(LARGE, SPECK), Tidying({1: ClassTidying(smallest=1)}), scale=3) == map_of(LARGE)
    ).all()
    assert (tidied(hollow, Tidying({2: ClassTidying(largest=True)})) == hollow).all()


def test_a_hole_that_another_class_fills_is_its_own():
    two = map_of(LARGE)
    two[2:4, 4:6, 4:6] = 2
    assert (tidied(two, Tidying({1: ClassTidying(fill=True)})) == two).all()


def test_a_ring_on_a_picture_is_filled():
    ring = np.ones((1, 7, 7), np.uint8)
    ring[0, 2:5, 2:5] = 0
    assert tidied(ring, Tidying({1: ClassTidying(fill=True)})).all()


def test_mirrored_answers_are_turned_back_and_averaged():
    torch.manual_seed(0)
    network, x = UNet(SPEC).eval(), torch.rand(1, 1, 4, 8, 6)
    with torch.no_grad():
        plain = network(x).softmax(1)
        turned = network(x.flip(-2)).softmax(1).flip(-2)
        both = answered(Committee((network,), (1,)), x).p
        alone, features, _ = answered(network, x)
    assert torch.allclose(both, (plain + turned) / 2, atol=1e-6) and torch.allclose(alone, plain)
    assert not torch.allclose(plain, turned, atol=1e-3) and features.shape == (1, 16, 2, 4, 3)


def test_a_picture_has_no_slices_to_mirror():
    asked = []
    network = UNet(NetworkSpec(2, 1, 2, (8,), ()))
    network.encode = lambda x: asked.append(x) or [x.repeat(1, 8, 1, 1)]  # type: ignore[assignment,method-assign]
    answered(Committee((network,), (0, 1, 2)), torch.rand(2, 1, 4, 4))
    assert len(asked) == 4


def test_what_is_chosen_mends_more_images_than_it_harms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The network finds each object, and a speck beside it; one that nobody drew is as small."""
    cases = [ImageReader(volume(tmp_path, n, known=True), Classes((1,)), 1) for n in (1, 2, 4, 5)]
    known = [case.example.known for case in cases]
    truths = [np.load(path) for path in known if path is not None]

    def wrong(committee, case, plan, classes):
        out = truths[cases.index(case)].copy()
        out[0, 0] = 1
        return out

    monkeypatch.setattr(choices, "class_map", wrong)
    unseen = [Unseen(case, truth, UNet(SPEC)) for case, truth in zip(cases, truths)]
    plan = plan_to_predict(SPEC, (1.0, 1.0, 1.0), "cpu")
    found = choose(unseen, plan, Classes((1,)), (0, 1))
    mended = tidied(wrong(None, cases[0], plan, None), found.tidy)
    assert found.mirror == (0, 1) and (mended == truths[0]).all()
    assert any("of class 1" in note for note in found.notes)
    few = choose(unseen[:2], plan, Classes((1,)), (0, 1))
    assert few.mirror == (0, 1) and not few.tidy.classes, "two images decide nothing"
    truths[:] = [wrong(None, case, plan, None) for case in cases]  # now people drew the specks too
    right = [Unseen(case, truth, UNet(SPEC)) for case, truth in zip(cases, truths)]
    assert not choose(right, plan, Classes((1,)), ()).tidy.classes


def test_a_deep_network_is_taught_on_coarser_levels_by_the_middle_of_each_block():
    from learners.training.losses import Sample
    from learners.training.trainer import coarser_sample

    spec = NetworkSpec(3, 1, 2, (8, 16, 16), ((1, 2, 2), (2, 2, 2)), residual=(1, 2, 2), deep=True)
    levels = UNet(spec).decode_all(UNet(spec).encode(torch.rand(1, 1, 4, 8, 8)))
    assert [tuple(each.shape[2:]) for each in levels] == [(4, 8, 8), (4, 4, 4)]
    y = torch.arange(4 * 8 * 8).view(1, 4, 8, 8)
    part = coarser_sample(
        Sample(torch.zeros(1, 1, 4, 8, 8), y, torch.ones_like(y), torch.ones_like(y)), (4, 4, 4)
    )
    assert part.y.shape == (1, 4, 4, 4) and int(part.y[0, 0, 0, 0]) == 9
    assert NetworkSpec.from_json(spec.as_json()) == spec
