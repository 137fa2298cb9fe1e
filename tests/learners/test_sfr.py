"""SFR with a small SAM of random weights: the mosaic, the low-rank updates, and a round from start to end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learners import LEARNERS
from learners.methods.sfr import STATE, SURE, pages_of, proposed, restored, sam_here, sure_of, tune
from learners.rounds.train import run as train_network
from learners.spec import Pseudo, RoundSpec, Unready
from learners.training.budget import Budget
from learners.training.data import ImageReader
from learners.training.targets import Classes
from models import PromptChoice
from models.sam.mosaic import Mosaic
from models.sam.mosaic_segmenter import LowRank, MosaicSam
from storage.arrays import UNLABELLED, open_npy, write_npy
from tests.learners.test_sparse_learners import ball
from tests.support.small_models import small_sam


@pytest.mark.parametrize(("depth", "rows", "columns"), [(7, 20, 24), (9, 11, 42), (1, 64, 128), (18, 24, 24)])
def test_the_way_into_a_mosaic_and_back_is_exact_where_slices_fit(depth, rows, columns):
    volume = np.random.default_rng(0).random((depth, rows, columns), np.float32)
    mosaic = Mosaic(depth, rows, columns, 128)
    picture = mosaic.stitch(volume, -1.0)
    assert np.allclose(mosaic.unstitch(picture), volume, atol=1e-6)
    both = np.stack([picture, -picture])
    assert np.allclose(mosaic.unstitch(both)[1], -volume, atol=1e-6)


def test_larger_slices_are_reduced_and_come_back_smooth():
    ramp = np.broadcast_to(np.linspace(0, 1, 200, dtype=np.float32), (9, 150, 200)).copy()
    mosaic = Mosaic(9, 150, 200, 128)
    assert np.abs(mosaic.unstitch(mosaic.stitch(ramp, 0.0)) - ramp).max() < 0.05


def test_every_slice_lands_in_its_own_cell_and_outside_nothing_is_said():
    numbers = np.broadcast_to(np.arange(5, dtype=np.int16)[:, None, None], (5, 10, 12)).copy()
    mosaic = Mosaic(5, 10, 12, 96)
    picture = mosaic.stitch(numbers, UNLABELLED)
    for n in range(5):
        row, column = n // 3 * 32, n % 3 * 32
        cell = picture[row : row + 32, column : column + 32]
        assert set(np.unique(cell)) == {n, UNLABELLED} and (cell == n).sum() == 20 * 24
    assert (picture[32:64, 64:] == UNLABELLED).all() and (picture[64:] == UNLABELLED).all()


def test_low_rank_updates_start_as_nothing_and_train_alone():
    layer = torch.nn.Linear(8, 24)
    updated, x = LowRank(layer), torch.randn(2, 3, 8)
    assert torch.equal(updated(x), layer(x))
    sam = small_sam()
    network = MosaicSam(sam, 3)
    picture = torch.rand(1, network.side, network.side)
    assert network(picture).shape == (1, 3, network.side, network.side)
    frozen = {k: v.clone() for k, v in network.sam.image_encoder.state_dict().items() if ".qkv." not in k}
    page = _page(network.side)
    tune(network, [page], Budget(60, 2), 0)
    after = network.sam.image_encoder.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in frozen.items())
    assert any(bool(v.any()) for k, v in after.items() if ".up." in k)
    assert all(
        not k.startswith("sam.image_encoder") or ".down." in k or ".up." in k for k in network.learned()
    )


def _page(side):
    from learners.methods.sfr import Page

    y = np.zeros((side, side), np.int64)
    y[: side // 2] = 1
    return Page(y.astype(np.float32), y, np.ones((side, side), np.float32))


def test_tuning_learns_what_is_labelled():
    network, page = MosaicSam(small_sam(), 2), _page(128)
    x, y = torch.from_numpy(page.x)[None], torch.from_numpy(page.y)[None]
    before = float((network(x).argmax(1) == y).float().mean())
    torch.manual_seed(0)
    tune(network, [page], Budget(60, 25), 0)
    assert float((network(x).argmax(1) == y).float().mean()) > max(0.8, before)


def test_what_nobody_said_has_no_weight_on_a_page(tmp_path):
    case = ImageReader(replace(ball(tmp_path, 1), fill=None), Classes((1,)), 1)
    (page,) = pages_of(case, 128, Classes((1,)))
    assert (page.y[page.w == 0] == UNLABELLED).all() and set(np.unique(page.y[page.w > 0])) == {0, 1}
    (filled,) = pages_of(ImageReader(ball(tmp_path, 1), Classes((1,)), 1), 128, Classes((1,)))
    assert (filled.w > 0).sum() > (page.w > 0).sum() and ((filled.w == 1) == (page.w == 1)).all()


def test_a_volume_that_the_last_model_was_sure_of_teaches_sam(tmp_path):
    example = ball(tmp_path, 2, labelled=False)
    for value, wanted in ((int(np.ceil(SURE * 255)), True), (int(SURE * 255) - 1, False)):
        write_npy(tmp_path / "sure.npy", np.full(example.shape, value, np.uint8))
        pseudo = Pseudo(tmp_path / "sure.npy", tmp_path / "sure.npy", 1.0)
        assert sure_of(replace(example, pseudo=pseudo)) is wanted
    assert not sure_of(example)


def test_a_round_tunes_sam_asks_it_for_every_unlabelled_volume_and_trains_on_that(tmp_path):
    examples = (ball(tmp_path, 1), ball(tmp_path, 2, labelled=False), ball(tmp_path, 3, labelled=False))
    directory = tmp_path / "round"
    directory.mkdir()
    spec = RoundSpec("sfr", (1,), examples, directory, seconds=60, steps=2, device="cpu", predict=(1, 2, 3))
    after = proposed(spec, small_sam(), "abc")
    assert after.seconds == 30 and after.examples[0].pseudo is None
    for e in after.examples[1:]:
        assert open_npy(e.pseudo.classes).shape == e.shape and 0 < e.pseudo.stability <= 1
        assert set(np.unique(open_npy(e.pseudo.classes))) <= {0, 1}
    result = train_network(after)
    assert result.steps == 2 and len(result.predicted) == 3
    tuned = load_file(directory / STATE)
    for base, goes_on in (
        ({"sam": "abc", "classes": "1"}, True),
        ({"sam": "another", "classes": "1"}, False),
        ({"sam": "abc", "classes": "2"}, False),
    ):
        again = restored(MosaicSam(small_sam(), 2), directory, base).learned()
        assert all(torch.equal(v, tuned[k]) for k, v in again.items() if ".up." in k) is goes_on


def test_without_weights_or_labels_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(Unready, match="download SAM ViT-B"):
        sam_here(PromptChoice())
    spec = RoundSpec("sfr", (1,), (ball(tmp_path, 1, labelled=False),), tmp_path)
    with pytest.raises(Unready, match="label one more"):
        proposed(spec, small_sam(), "abc")
    assert LEARNERS["sfr"].run_round is not None
