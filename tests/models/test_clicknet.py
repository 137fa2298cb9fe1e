"""The built-in prompt model: what it answers, and that nothing a person points at can break it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.clicknet import model as clicknet
from models.clicknet.adapter import WEIGHTS
from models.clicknet.frames import cut, paste, place, upright
from models.clicknet.inputs import standardise
from models.clicknet.model import ClickNet
from models.prompt import Embedding, Prompts, Scribble

SHAPE = (150, 210)


@pytest.fixture(scope="module")
def model() -> ClickNet:
    torch.set_num_threads(1)
    return ClickNet(device="cpu")


@pytest.fixture(scope="module")
def disc() -> tuple[np.ndarray, np.ndarray]:
    """A bright off-centre disc on a noisy dark ground, and its truth."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = (rows - 60) ** 2 + (columns - 140) ** 2 < 26**2
    grey = 60 + 110 * truth + np.random.default_rng(3).normal(0, 8, SHAPE)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), truth


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(points_rc=((60, 140),), labels=(1,)),
        Prompts(points_rc=((60, 140),), labels=(1,), view=(20, 80, 110, 200)),
        Prompts(box=(33, 113, 87, 167)),
        Prompts(box=(87, 167, 33, 113)),
        Prompts(scribbles=(Scribble(1, ((50, 130), (62, 141), (70, 150))),)),
    ],
    ids=["click", "click in a view", "box", "box from its far corner", "scribble"],
)
def test_a_plain_object_is_found_from_any_kind_of_prompt(model, disc, prompts):
    image, truth = disc
    assert iou(model.predict(model.encode(image), prompts).mask, truth) > 0.85


def test_a_rough_mask_is_refined(model, disc):
    image, truth = disc
    rough = np.roll(truth, (6, -6), (0, 1))
    mask = model.predict(model.encode(image), Prompts(points_rc=((60, 140),), labels=(1,), mask=rough)).mask
    assert iou(mask, truth) > max(0.85, iou(rough, truth))


def test_a_negative_click_takes_its_object_out_of_the_mask(model, disc):
    image = disc[0].copy()
    image[40:80, 20:60] = image[40:80, 120:160]
    both = model.predict(model.encode(image), Prompts(box=(30, 15, 90, 170))).mask
    without = model.predict(
        model.encode(image),
        Prompts(points_rc=((60, 140), (60, 40)), labels=(1, 0), mask=both if both.any() else None),
    ).mask
    assert without[60, 140] and not without[60, 40]


def test_the_same_prompts_give_the_same_mask(model, disc):
    prompts = Prompts(points_rc=((60, 140), (10, 10)), labels=(1, 0))
    first, again = (model.predict(model.encode(disc[0]), prompts) for _ in range(2))
    assert (first.masks == again.masks).all() and (first.scores == again.scores).all()


def test_an_embedding_may_be_written_and_read_back(model, disc, tmp_path: Path):
    embedding = model.encode(disc[0])
    np.savez(tmp_path / "e.npz", **embedding.arrays)
    with np.load(tmp_path / "e.npz") as arrays:
        read = Embedding(embedding.model_id, embedding.shape, dict(arrays))
    prompts = Prompts(box=(33, 113, 87, 167))
    assert (model.predict(embedding, prompts).masks == model.predict(read, prompts).masks).all()


def test_an_embedding_of_another_model_is_refused(model):
    stranger = Embedding("sam", (8, 8), {"pixels": np.zeros((8, 8, 1), np.uint8)})
    with pytest.raises(ValueError, match="another model"):
        model.predict(stranger, Prompts(points_rc=((1, 1),), labels=(1,)))


@pytest.mark.parametrize(
    "prompts", [Prompts(), Prompts(points_rc=((5, 5),), labels=(0,))], ids=["none", "negative"]
)
def test_nothing_to_go_by_gives_an_empty_mask(model, disc, prompts):
    answer = model.predict(model.encode(disc[0]), prompts)
    assert answer.masks.shape == (1, *SHAPE) and not answer.mask.any() and answer.scores[0] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5), (40, 33)])
@pytest.mark.parametrize("value", [0, 255])
def test_tiny_and_constant_pictures_are_answered(model, shape, value):
    embedding = model.encode(np.full((*shape, 3), value, np.uint8))
    for prompts in (Prompts(points_rc=((0, 0),), labels=(1,)), Prompts(box=(0, 0, *shape))):
        assert model.predict(embedding, prompts).masks.shape[1:] == shape


def test_a_huge_picture_is_kept_smaller_and_answered_at_its_own_size(model, disc, monkeypatch):
    monkeypatch.setattr(clicknet, "MAX_PIXELS", 10_000)
    embedding = model.encode(disc[0])
    assert embedding.arrays["pixels"].size <= 10_000
    mask = model.predict(embedding, Prompts(points_rc=((60, 140),), labels=(1,))).mask
    assert mask.shape == SHAPE and iou(mask, disc[1]) > 0.75


def test_hundreds_of_contradicting_clicks_are_answered(model, disc):
    points = tuple(map(tuple, np.random.default_rng(0).integers(0, 150, (400, 2)).tolist()))
    answer = model.predict(
        model.encode(disc[0]), Prompts(points_rc=points * 2, labels=(1,) * 400 + (0,) * 400)
    )
    assert answer.masks.shape[1:] == SHAPE


coordinate = st.floats(-1e6, 1e6) | st.integers(-20, 220)
point = st.tuples(coordinate, coordinate)
quad = st.tuples(coordinate, coordinate, coordinate, coordinate)


@settings(max_examples=40, deadline=None)
@given(
    points=st.lists(st.tuples(point, st.integers(0, 1)), max_size=6),
    box=st.none() | quad,
    view=st.none() | quad,
    strokes=st.lists(
        st.builds(Scribble, st.integers(0, 1), st.lists(point, max_size=5).map(tuple)), max_size=2
    ),
    speck=st.booleans(),
)
def test_any_prompts_get_masks_of_the_slice_and_falling_scores(
    model, disc, points, box, view, strokes, speck
):
    mask = np.zeros(SHAPE, bool)
    mask[-1, -1] = speck
    prompts = Prompts(
        tuple(p for p, _ in points), tuple(n for _, n in points), box, tuple(strokes), mask, view
    )
    answer = model.predict(model.encode(disc[0]), prompts)
    assert answer.masks.dtype == bool and answer.masks.shape[1:] == SHAPE
    assert ((answer.scores >= 0) & (answer.scores <= 1)).all() and (np.diff(answer.scores) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(30, 120), st.floats(40, 170), st.floats(70, 300), st.sampled_from((96, 128, 192)))
def test_a_crop_pasted_back_lies_where_it_was_cut(row, column, side, size):
    frame = upright((row, column), side, size)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = (rows - row) ** 2 + (columns - column) ** 2 < 18**2
    crop = cut(truth.astype(np.uint8) * np.uint8(255), frame, 0)
    assert iou(paste(crop.astype(np.float32) - 127.5, frame, SHAPE), truth) > 0.9
    assert np.allclose(place(np.array([[row, column]]), frame), (size - 1) / 2)


def test_a_crop_is_standardised_whatever_its_contrast():
    ramp = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, 2)
    assert abs(standardise(ramp).mean()) < 1e-4
    assert np.abs(standardise(ramp) - standardise(ramp * 3 + 20)).max() < 0.4
    assert not standardise(np.full((8, 8, 3), 77, np.uint8)).any()


def test_the_shipped_file_is_small_and_holds_a_card():
    assert WEIGHTS.stat().st_size < 20e6
    assert WEIGHTS.with_name("card.md").exists()
