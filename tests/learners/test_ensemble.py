"""Where the stages of one training disagree: the card's laws, and the way from a round into the ranking."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.learning.label_queue import LabelQueue
from learners.prediction.ensemble import SnapshotEnsemble, mutual_information
from learners.prediction.metrics import stability
from learners.rankers import rank
from learners.rankers.contract import RankRequest
from learners.rankers.pool import Pool, read_pool, write_pool
from learners.rounds.train import run
from learners.training.checkpoint import snapshot_file
from tests.annotator.learning.test_scheduler import label, project, scheduler_of  # noqa: F401
from tests.learners.test_learning import discs, spec_of
from tests.learners.test_rankers import pool_of


def test_members_that_agree_leave_nothing_to_learn_however_unsure_they_are():
    p = torch.full((3, 2, 4, 5), 1 / 3)
    assert np.allclose(mutual_information([p, p, p]), 0, atol=1e-6)


def test_two_members_that_are_sure_of_different_things_disagree_by_ln_2():
    one = torch.zeros(2, 1, 2, 3)
    one[0] = 1
    assert np.allclose(mutual_information([one, one.flip(0)]), np.log(2), atol=1e-5)


def test_the_information_of_a_slice_is_the_sum_over_its_voxels_in_every_plane():
    rng = np.random.default_rng(0)
    p, other = (torch.from_numpy(rng.dirichlet((1, 1, 1), (4, 5, 6))).float().movedim(3, 0) for _ in "ab")
    whole = mutual_information([p, other])
    members = SnapshotEnsemble((4, 5, 6), 3, 1)
    for cut in (slice(0, 3), slice(3, 4)):  # tile by tile
        members.add((cut, slice(0, 5), slice(0, 6)), p[:, cut], [other[:, cut]])
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        assert np.allclose(members.information[axis], whole.sum(others), rtol=1e-5)
    maps = [each.argmax(0).numpy().astype(np.uint8) for each in (p, other)]
    assert members.stability == pytest.approx(stability(*maps))


def test_stability_of_snapshots_is_1_for_copies_and_does_not_ask_for_their_order():
    rng = np.random.default_rng(1)
    p, a, b = (torch.from_numpy(rng.dirichlet((1, 1), (2, 5, 6))).float().movedim(3, 0) for _ in "pab")
    at = (slice(0, 2), slice(0, 5), slice(0, 6))

    def score(*others: torch.Tensor) -> float:
        members = SnapshotEnsemble((2, 5, 6), 2, len(others))
        members.add(at, p, others)
        return members.stability

    assert score(p, p) == 1 and score(a, b) == score(b, a) < 1


def test_a_round_that_is_asked_tells_where_its_stages_disagree_and_so_does_the_model_later(tmp_path):
    examples = discs(tmp_path, 5, labelled=3, held=1)
    spec = replace(spec_of(tmp_path, examples, steps=12), members=True)
    result = run(spec)
    assert (result.model / snapshot_file(1)).exists()
    pool = read_pool(spec.directory / "pool.npz")
    assert np.isfinite(pool.information).all() and pool.information.max() > 0
    again = replace(spec_of(tmp_path, examples, parent=result.model), seconds=0, members=True)
    run(again)
    assert np.allclose(read_pool(again.directory / "pool.npz").information, pool.information, rtol=1e-4)
    unasked = spec_of(tmp_path, examples, steps=2)
    run(unasked)
    assert np.isnan(read_pool(unasked.directory / "pool.npz").information).all()


def test_bald_asks_where_stages_disagree_and_by_entropy_where_that_is_not_known():
    pool = pool_of(30)
    picks = rank("bald", pool, RankRequest(5))
    assert picks[0].image == 1 + int(np.argmax(pool.information)) and "disagree" in picks[0].why
    unknown = replace(pool, information=np.full(30, np.nan, np.float32))
    picks = rank("bald", unknown, RankRequest(5))
    assert picks[0].image == 1 + int(np.argmax(pool.entropy)) and "its next round tells more" in picks[0].why


def test_a_pool_of_an_older_project_is_read_and_says_nothing_about_stages(tmp_path):
    pool = pool_of(4)
    write_pool(tmp_path / "new.npz", pool)
    with np.load(tmp_path / "new.npz") as arrays:
        old = {name: arrays[name] for name in arrays.files if name != "information"}
    np.savez(tmp_path / "old.npz", **old)
    read: Pool = read_pool(tmp_path / "old.npz")
    assert np.isnan(read.information).all() and np.array_equal(read.entropy, pool.entropy)


def test_a_project_that_ranks_by_bald_asks_its_rounds_for_it(project):  # noqa: F811
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store)
    LabelQueue(scheduler).choose("bald")
    scheduler.run_until_idle(30)
    assert np.isfinite(scheduler.pool().information).all()
    assert LabelQueue(scheduler).next(3)["ranker"] == "bald"
