"""DeSCO and cross-teaching: their parts by hand, and that they learn from two slices a volume."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learners import LEARNERS
from learners.methods.cross_teaching import (
    as_slices,
    as_volume,
    confident,
    consistent,
    filled_in,
    planes_of,
    quality,
)
from learners.methods.cross_teaching import exchanged as taught
from learners.methods.desco import PEER, co_train, entropy, exchanged, most_entropy, own_planes
from learners.patches.pools import Pools
from learners.spec import Example, Fill, RoundSpec, Unready
from learners.training.augment import Views
from learners.training.budget import Budget
from learners.training.checkpoint import load_peers, read_card, save_model
from learners.training.data import ImageReader
from learners.training.losses import CEDice, Sample
from learners.training.plan import plan_of
from learners.training.state import TrainingState
from learners.training.targets import LIFE, Classes
from learners.training.trainer import Gate, StepContext, TrainingJob, train
from models.networks import NetworkSpec, UNet
from storage.arrays import UNLABELLED, write_npy

CLASSES = Classes((1,))


def ball(folder: Path, image_id: int, *, filled: bool = True, labelled: bool = True) -> Example:
    """A bright ellipsoid of 18 x 24 x 24 voxels with one slice of two planes labelled, and a fill that is right."""
    rng = np.random.default_rng(image_id)
    z, y, x = np.ogrid[:18, :24, :24]
    truth = ((z - 8) ** 2 * 2 + (y - 11) ** 2 + (x - 12) ** 2 < 70).astype(np.uint8)
    pixels = (90 + 80 * truth + rng.normal(0, 12, truth.shape)).astype(np.float32)
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    known[8], known[:, 11] = truth[8], truth[:, 11]
    paths = {name: folder / f"{image_id}-{name}.npy" for name in ("pixels", "known", "fill", "sure")}
    for name, array in zip(paths, (pixels, known, truth, np.full(truth.shape, 230, np.uint8)), strict=True):
        write_npy(paths[name], array)
    return Example(
        image_id,
        paths["pixels"],
        truth.shape,
        1,
        (1.0, 1.0, 1.0),
        paths["known"] if labelled else None,
        slices=((0, 8), (1, 11)) if labelled else (),
        fill=Fill(paths["fill"], paths["sure"]) if filled and labelled else None,
    )


def job_of(
    folder: Path, learner: str, steps: int = 4, before: int = 0, **more
) -> tuple[TrainingJob, TrainingState]:
    examples = (ball(folder, 1, **more), ball(folder, 2, labelled=False))
    spec = RoundSpec(learner, (1,), examples, folder, steps=steps, device="cpu")
    plan = plan_of(spec)
    make = LEARNERS[learner].make
    assert make is not None
    recipe = make()
    cases = [ImageReader(e, CLASSES, 1) for e in examples]
    pools = Pools(cases, CLASSES, plan, np.random.default_rng(0))
    gate = Gate(recipe.good_teacher, recipe.ramp, recipe.weight, pools.foreground_share())
    job = TrainingJob(recipe, pools, plan, Budget(60, steps), Views(), CEDice(), gate, before=before)
    torch.manual_seed(0)
    state = TrainingState.fresh(UNet(plan.network))
    peers = recipe.peers(plan, pools) if recipe.peers else {}
    state.peers = load_peers(None, peers, (1,), "cpu")
    return job, state


def context_of(job: TrainingJob, weight: float) -> StepContext:
    return StepContext(torch.Generator().manual_seed(0), weight=weight, views=job.views)


# DeSCO


def test_both_networks_agree_on_the_true_slices_and_differ_in_what_they_believe_between(tmp_path):
    job, _ = job_of(tmp_path, "desco")
    planes = own_planes(job.pools.planes())
    assert set(planes) == {0, 1}
    case = ImageReader(ball(tmp_path, 1), CLASSES, 1)
    whole = tuple(slice(0, n) for n in case.example.shape)
    first, second = (case.target(whole, job.trust_schedule((axis,))) for axis in planes)
    people = case.known(whole) != UNLABELLED
    for target in (first, second):
        assert (target.w[people] == 1).all() and np.array_equal(target.y[people], case.known(whole)[people])
        assert (target.w[~people] < 1).all() and (target.w[~people] > 0).all()
    assert not np.array_equal(first.w, second.w) and np.array_equal(first.y, second.y)


def test_where_nothing_takes_their_place_fills_are_trusted_for_good(tmp_path):
    job, _ = job_of(tmp_path, "propagated")
    aged = replace(ball(tmp_path, 1), fill=replace(ball(tmp_path, 1).fill, rounds=int(LIFE)))
    fresh, old = (ImageReader(e, CLASSES, 1) for e in (ball(tmp_path, 1), aged))
    whole = tuple(slice(0, n) for n in fresh.example.shape)
    targets = [case.target(whole, job.trust_schedule()) for case in (fresh, old)]
    assert np.array_equal(targets[0].w, targets[1].w) and (targets[1].w > 0).all()


def test_the_registry_says_of_each_method_whether_fills_last():
    for name, entry in LEARNERS.items():
        if entry.make is not None:
            assert entry.recipe().fills_last == entry.fills_last, name


def test_in_the_end_only_the_labelled_slices_are_left(tmp_path):
    job, _ = job_of(tmp_path, "desco")
    aged = replace(ball(tmp_path, 1), fill=replace(ball(tmp_path, 1).fill, rounds=int(LIFE)))
    case = ImageReader(aged, CLASSES, 1)
    whole = tuple(slice(0, n) for n in case.example.shape)
    aged_target, bare = case.target(whole, job.trust_schedule((0, 1, 2))), case.target(whole)
    assert np.array_equal(aged_target.w, bare.w)
    losses = []
    for filled in (True, False):  # no exchange and no trust in fills: training on two slices and nothing else
        job, state = job_of(tmp_path, "desco", filled=filled)
        cases = [ImageReader(aged if filled else ball(tmp_path, 1, filled=False), CLASSES, 1)]
        pools = Pools(cases, CLASSES, job.plan, np.random.default_rng(0))
        losses.append(co_train(replace(job, pools=pools), state, context_of(job, 0.0)))
    assert torch.equal(losses[0], losses[1])


def test_a_peer_is_asked_without_a_gradient_and_both_networks_get_one(tmp_path):
    job, state = job_of(tmp_path, "desco", before=int(LIFE))
    drawn = job.pools.unlabelled(1)
    answer = exchanged(state.peers[PEER], drawn, job.plan, 1.0, torch.Generator().manual_seed(0))
    assert not answer.y.requires_grad and not answer.w.requires_grad
    co_train(job, state, context_of(job, 0.1)).backward()
    assert all(p.grad is not None for network in state.learning for p in network.parameters())
    assert all(p.grad is None for p in state.teacher.parameters())


def test_pseudo_labels_are_masked_by_entropy_until_the_end(tmp_path):
    p = torch.tensor([[0.5, 0.7, 0.99], [0.5, 0.3, 0.01]]).view(1, 2, 3)
    assert (entropy(p) < most_entropy(2, 0.0)).tolist() == [[False, False, True]]
    assert (entropy(p) < most_entropy(2, 1.0)).all()
    assert most_entropy(2, 1.0) == pytest.approx(math.log(2), abs=1e-5)


# cross-teaching


def test_slices_and_volume_are_the_same_voxels_in_another_order():
    ramp = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    for axis, n in enumerate((4, 5, 6)):
        flat = as_slices(ramp, axis)
        assert flat.shape[0] == 2 * n
        assert torch.equal(as_volume(flat, 2, axis), ramp)
        assert torch.equal(flat[n + 1], ramp[1].select(axis + 1, 1))


def test_two_agreeing_2d_networks_teach_unless_the_3d_one_knows_better():
    l_a = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    l_b = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    l_3 = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    sure = torch.full((8,), 0.8)
    wins = consistent((l_a, l_b, l_3), (sure, sure, sure + 0.1))
    assert wins.tolist() == [True, False, False, False, False, False, False, True]
    loses = consistent((l_a, l_b, l_3), (sure, sure + 0.2, sure + 0.1))
    assert loses.tolist() == [True, True, False, False, False, False, True, True]


def test_the_soft_threshold_is_earned_on_labelled_voxels_alone():
    w = torch.tensor([[1.0, 1.0, 0.5, 0.0]])
    sample = Sample(torch.zeros(1, 1, 4), torch.tensor([[1, 0, 1, 1]]), w, w)
    right, wrong = torch.tensor([[1, 0, 0, 0]]), torch.tensor([[0, 0, 1, 1]])
    assert quality(right, sample).tolist() == [1.0] and quality(wrong, sample).tolist() == [0.5]
    s3 = torch.tensor([[0.6, 0.8, 0.95, 0.71]])
    assert confident(s3, quality(right, sample)).tolist() == [[False, True, True, True]]
    assert confident(s3, quality(wrong, sample)).tolist() == [[False, False, True, False]]
    assert quality(right, replace(sample, w=torch.zeros(1, 4))).tolist() == [0.0]


def test_pseudo_labels_weigh_lambda_and_never_touch_what_is_trusted_more():
    w = torch.tensor([[1.0, 0.5, 0.03, 0.0, 0.0]])
    sample = Sample(torch.zeros(1, 1, 5), torch.tensor([[1, 1, 1, 1, 1]]), w, w)
    chosen = torch.tensor([[True, True, True, True, False]])
    out = filled_in(sample, torch.zeros(1, 5, dtype=torch.int64), chosen, 0.07)
    assert out.w.tolist()[0] == pytest.approx([1.0, 0.5, 0.07, 0.07, 0.0])
    assert out.y.tolist() == [[1, 1, 0, 0, 1]]


def test_no_network_gets_a_gradient_through_what_another_said(tmp_path):
    job, state = job_of(tmp_path, "cross_teaching", before=int(LIFE))
    drawn = job.labelled(1, context_of(job, 0.1))
    logits = [torch.randn(1, 2, *drawn.y.shape[1:], requires_grad=True) for _ in range(3)]
    to_3d, to_2d = taught(drawn, logits[0].detach(), [f.detach() for f in logits[1:]], 0.1)
    job.loss(logits[0], to_3d).backward()
    assert logits[1].grad is None and logits[2].grad is None and logits[0].grad is not None
    assert planes_of((2,)) == (2, 0) and planes_of(()) == (0, 1) and planes_of((1, 0)) == (1, 0)


def test_pictures_are_told_to_learn_another_way(tmp_path):
    job, _ = job_of(tmp_path, "cross_teaching")
    flat = replace(job.plan, network=NetworkSpec(2, 1, 2, (8, 16), ((2, 2),)))
    with pytest.raises(Unready, match="close together"):
        job.recipe.peers(flat, job.pools)


# both in the loop


@pytest.mark.parametrize("name", ["desco", "cross_teaching"])
def test_every_network_learns_and_goes_on_where_it_stopped(tmp_path, name):
    job, state = job_of(tmp_path, name, steps=3, before=int(LIFE))
    before = {key: [p.clone() for p in peer.parameters()] for key, peer in state.peers.items()}
    train(job, state)
    for key, peer in state.peers.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[key], peer.parameters()))
    from learners.training.checkpoint import Card

    save_model(tmp_path, state, Card(job.plan.network, (1,), (1.0, 1.0, 1.0), name, rounds=1))
    again = load_peers(tmp_path, job.recipe.peers(job.plan, job.pools), (1,), "cpu")
    assert read_card(tmp_path).rounds == 1
    for key, peer in state.peers.items():
        assert all(torch.equal(a, b) for a, b in zip(peer.parameters(), again[key].parameters()))
    wider = load_peers(tmp_path, job.recipe.peers(job.plan, job.pools), (1, 7), "cpu")
    assert torch.equal(
        next(iter(wider.values())).down[0][0][0].weight, next(iter(again.values())).down[0][0][0].weight
    )


def test_a_volume_without_a_fill_is_trained_on_its_slices(tmp_path):
    job, state = job_of(tmp_path, "desco", steps=2, filled=False)
    train(job, state)
    assert job.budget.step == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.thorough
def test_fills_teach_more_than_the_two_slices_that_they_came_from(shared_data, tmp_path):
    """Four hippocampi with two slices each, as many steps for every method, unseen volumes. Methods of several networks
    have tests of their parts above and `benchmarks.sparse_models`: their steps take minutes."""
    from benchmarks.sparse_models import Length, prepare, trained, volumes

    train, test = volumes(shared_data, "train", 4, 0), volumes(shared_data, "val", 4, 0)
    examples = [prepare(tmp_path, n, subject, 0).sparse for n, subject in enumerate(train, 1)]
    found = {
        name: trained(tmp_path / name, name, examples, test, Length(9999.0, steps=15), 0)
        for name in ("supervised", "propagated")
    }
    assert found["propagated"] > found["supervised"] + 0.05, found
