"""The training of the built-in model: samples, simulated people, and a run that is interrupted."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy import ndimage

from models.clicknet.adapter import WEIGHTS
from models.clicknet.inputs import draw_clicks, standardise
from models.clicknet.model import ClickNet
from models.clicknet.network import Network
from models.clicknet_training import corrections, crops, objective, simulate
from models.clicknet_training.cache import Cache, open_cache
from models.clicknet_training.examples import Batch, stacked
from models.clicknet_training.loop import (
    FROM_SCRATCH,
    WARM_UP_STEPS,
    Schedule,
    TrainingPlan,
    schedule_for,
    train,
)
from models.clicknet_training.objective import generator, standardised
from models.clicknet_training.samples import Sampler
from models.clicknet_training.ship import ship
from models.clicknet_training.simulate import BOX, LAST, NEGATIVE, POSITIVE


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set in the layout of the real ones: discs as nuclei, one picture for validation."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "dsb2018-nuclei"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    rows = ["file,split"]
    for n, split in enumerate(("train", "train", "val")):
        labels = np.zeros((90, 130), np.uint16)
        for value in range(1, 5):
            cv2.circle(labels, tuple(rng.integers(15, 75, 2).tolist()), int(rng.integers(6, 14)), value, -1)
        image = np.where(labels > 0, 180, 50) + rng.normal(0, 9, labels.shape)
        cv2.imwrite(str(folder / "images" / f"{n}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "labels" / f"{n}.png"), labels)
        rows.append(f"{n}.png,{split}")
    (folder / "split.csv").write_text("\n".join(rows))
    place = tmp_path_factory.mktemp("cache")
    open_cache(data, place)
    return place


def test_the_cache_keeps_pixels_labels_and_the_split(cache: Path):
    opened = Cache(cache)
    assert [e.split for e in opened.entries] == ["train", "train", "val"]
    for entry in opened.entries:
        assert opened.pixels(entry).shape == (90, 130, 1)
        for value, area, r0, c0, r1, c1 in entry.objects:
            found = opened.labels(entry) == value
            assert found.sum() == area == found[r0:r1, c0:c1].sum()


def test_a_folder_without_sets_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="--data"):
        open_cache(tmp_path, tmp_path / "cache")


def test_a_sample_is_made_again_from_its_seed(cache: Path):
    one, other = (Sampler(Cache(cache)).sample((0, 5, 2), 96) for _ in range(2))
    assert (one.crop == other.crop).all() and (one.board == other.board).all()
    assert (one.truth == other.truth).all()


def test_samples_come_from_the_training_split_only(cache: Path):
    sampler = Sampler(Cache(cache))
    assert {e.split for entries in sampler._by_set.values() for e in entries} == {"train"}


def test_every_sample_shows_its_object_and_a_prompt(cache: Path):
    sampler = Sampler(Cache(cache))
    for n in range(40):
        sample = sampler.sample((1, n), 96)
        assert sample.crop.shape == (96, 96, 3) and sample.truth.sum() >= 16
        assert sample.board[[POSITIVE, BOX, LAST]].any()
        assert np.isfinite(sample.board).all() and sample.board.min() >= 0 and sample.board.max() <= 1


masks = st.tuples(st.integers(0, 2**31), st.integers(8, 30)).map(
    lambda s: simulate.smooth_noise(np.random.default_rng(s[0]), (64, 80), s[1]) > 0.6
)


@settings(max_examples=30, deadline=None)
@given(masks, st.integers(0, 1000))
def test_strokes_touch_the_region_they_mean(region: np.ndarray, seed: int):
    rng = np.random.default_rng(seed)
    for draw in (simulate.click, simulate.scribble):
        canvas = np.zeros(region.shape, np.float32)
        draw(rng, canvas, region)
        assert canvas.any() == region.any() and (canvas > 0)[region].any() == region.any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(masks, masks), min_size=1, max_size=4), st.integers(0, 1000))
def test_corrections_fall_where_the_prediction_is_wrong(pairs: list, seed: int):
    truths, answers = (
        torch.from_numpy(np.stack([pad(m) for m in side])) for side in zip(*pairs, strict=True)
    )
    boards = torch.zeros(len(pairs), 4, 80, 80)
    corrections.correct(boards, truths, answers, generator("cpu", seed))
    for board, truth, answer in zip(boards, truths, answers, strict=True):
        missed, extra = truth & ~answer, answer & ~truth
        assert not board[POSITIVE].any() or (board[POSITIVE] > 0)[missed].any()
        assert not board[NEGATIVE].any() or (board[NEGATIVE] > 0)[extra].any()
        assert board[[POSITIVE, NEGATIVE]].any() == (truth != answer).any()


def pad(mask: np.ndarray) -> np.ndarray:
    return np.pad(mask, ((0, 16), (0, 0)))


@settings(max_examples=30, deadline=None)
@given(masks)
def test_depth_is_the_exact_distance_to_the_border(region: np.ndarray):
    found = corrections.depth(torch.from_numpy(region)[None])[0].numpy()
    exact = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    assert found == pytest.approx(exact, abs=1e-4)


def test_a_correction_is_the_click_that_is_drawn_in_use():
    truth = torch.zeros(1, 64, 64, dtype=torch.bool)
    truth[0, 20:25, 30:35] = True
    drawn = np.zeros((64, 64), np.float32)
    draw_clicks(drawn, [(22, 32)])
    same = 0
    for seed in range(20):
        board = torch.zeros(1, 4, 64, 64)
        corrections.correct(board, truth, torch.zeros_like(truth), generator("cpu", seed))
        same += bool((board[0, POSITIVE].numpy() == drawn).all())
    assert same >= 4, "the deepest point, nearly half of the time, where no further click follows"


def test_crops_are_standardised_as_in_use():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    pixels[1] = 7
    expected = np.stack([standardise(crop).transpose(2, 0, 1) for crop in pixels])
    found = standardised(torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_a_straight_crop_keeps_the_grid_and_the_proportions_of_the_picture():
    rng = np.random.default_rng(0)
    for n in range(50):
        turn = crops.around(rng, (10, 20, 30, 60), 128, upright=n % 2 == 0, straight=True).turn
        sides = np.abs(turn).max(0)
        assert sides[0] == pytest.approx(sides[1])
        assert sorted(np.abs(turn / sides).round(9).ravel()) == [0, 0, 1, 1]
        assert n % 2 or turn[1, 1] > 0, "what is up in a photograph stays up"


@pytest.fixture(scope="module")
def drawn(cache: Path) -> Batch:
    """Eight samples with boards as they are trained on."""
    sampler = Sampler(Cache(cache))
    return stacked([sampler.sample((4, n), 128) for n in range(8)]).to("cpu")


@pytest.mark.parametrize("coarse", [0, 1])
def test_a_second_look_has_the_answer_to_the_same_prompts(
    drawn: Batch, coarse: int, monkeypatch: pytest.MonkeyPatch
):
    for name, value in dict(ROUNDS=(1.0,), SECOND_LOOK=1, COARSE=coarse, FORGET=0).items():
        monkeypatch.setattr(objective, name, value)
    batch = drawn._replace(boards=drawn.boards.clone())
    batch.boards[:, LAST] = 0  # a rough mask would be corrected first
    network = shipped_network()
    boards = objective.corrected(network, batch, generator("cpu", 0), half=False)
    assert torch.equal(boards[:, :LAST], batch.boards[:, :LAST]), "nobody said anything new"
    with torch.inference_mode():
        told = objective.forward(network, batch.crops, batch.boards, half=False).logits[:, 0].sigmoid()
    off = (boards[:, LAST] - told).abs().mean((1, 2))
    assert (off < 1e-6).all() if not coarse else off.median() < 0.05 and off.max() > 1e-3


@pytest.mark.parametrize("cut", [0, 1])
def test_an_answer_comes_back_as_it_was_given_or_cut_as_the_page_returns_it(
    drawn: Batch, cut: int, monkeypatch: pytest.MonkeyPatch
):
    for name, value in dict(ROUNDS=(0.0, 1.0), CUT=cut, SECOND_LOOK=0, FORGET=0).items():
        monkeypatch.setattr(objective, name, value)
    last = objective.corrected(shipped_network(), drawn, generator("cpu", 0), half=False)[:, LAST]
    assert last.amax() > 0.9 and bool(((last == 0) | (last == 1)).all()) == bool(cut)


def shipped_network() -> Network:
    network = Network().eval()
    network.load_state_dict(load_file(WEIGHTS))
    return network


def test_runs_from_one_start_are_averaged(tmp_path: Path):
    states = [
        {"kernel": torch.full((2, 2), v), "norm": torch.full((3,), v / 2), "count": torch.tensor(7)}
        for v in (1.0, 2.0)
    ]
    for n, state in enumerate(states):
        torch.save({"average": state}, tmp_path / f"{n}.pt")
    ship([tmp_path / "0.pt", tmp_path / "1.pt"], tmp_path / "mean.safetensors")
    mean = load_file(tmp_path / "mean.safetensors")
    assert mean["kernel"].dtype == torch.float16 and (mean["kernel"] == 1.5).all()
    assert mean["norm"].dtype == torch.float32 and (mean["norm"] == 0.75).all() and mean["count"] == 7


@pytest.mark.slow
@pytest.mark.thorough
def test_an_interrupted_training_gives_the_same_model_and_ships_it(cache: Path, tmp_path: Path):
    out, again = tmp_path / "run.pt", tmp_path / "again.pt"
    small = Schedule(
        stages=((0.6, 64, 6), (1, 96, 4))
    )  # the crops grow between the two checkpoints, as in earnest
    whole = train(TrainingPlan(cache, out, steps=10, schedule=small), resume=False)
    shutil.copy(out.with_suffix(".middle.pt"), again)  # as a run leaves it that is stopped at step 7
    resumed = train(TrainingPlan(cache, again, steps=10, schedule=small), resume=True)
    assert whole.step == resumed.step == 10
    for one, other in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["main"]) for row in rows)
    ship([out], tmp_path / "weights.safetensors")
    model = ClickNet(tmp_path / "weights.safetensors", device="cpu")
    assert model.model_id.startswith("clicknet-") and torch.isfinite(next(model._network.parameters())).all()


def test_trained_weights_learn_at_a_lower_rate_and_slow_down_at_once():
    further = schedule_for("cpu", WEIGHTS)
    assert further.rate(WARM_UP_STEPS, 1000) < FROM_SCRATCH.rate(WARM_UP_STEPS, 1000) / 2
    rates = [further.rate(step, 1000) for step in range(WARM_UP_STEPS, 1001, 50)]
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(0.01 * further.peak)
    assert FROM_SCRATCH.rate(500, 1000) == FROM_SCRATCH.peak, "from scratch the rate is held first"


def test_a_run_goes_on_from_shipped_weights(cache: Path, tmp_path: Path):
    run = train(
        TrainingPlan(
            cache, tmp_path / "more.pt", steps=1, start=WEIGHTS, schedule=schedule_for("cpu", WEIGHTS)
        ),
        resume=False,
    )
    shipped = load_file(WEIGHTS)
    kernels = [name for name, value in shipped.items() if value.ndim == 4]
    apart = max(
        float((run.network.state_dict()[name] - shipped[name].float()).abs().max()) for name in kernels
    )
    assert 0 < apart < 1e-4, "one step of a rate that only begins to rise"
