"""The contract of a prompt model, over every registered one that can be made here, and what each is good at."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models import PROMPT_MODELS
from models.prompt import Embedding, MaskPrediction, Prompts, Scribble, correcting

ROOT = Path(__file__).resolve().parents[2]


def disc_image(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> tuple[NDArray, NDArray]:
    """A bright, noisy disc on a darker, noisy ground and its true mask."""
    rows, columns = np.indices(shape)
    truth = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    noise = np.random.default_rng(3).normal(0, 8, shape)
    grey = np.clip(np.where(truth, 170, 80) + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2), truth


def iou(a: NDArray, b: NDArray) -> float:
    return np.count_nonzero(a & b) / max(int(np.count_nonzero(a | b)), 1)


@pytest.fixture(
    scope="module", params=[name for name, entry in PROMPT_MODELS.items() if entry.weights is None]
)
def model(request: pytest.FixtureRequest):
    entry = PROMPT_MODELS[request.param]
    for package in entry.packages:
        pytest.importorskip(package)
    return entry.factory(None)


def answer(model, image: NDArray, prompts: Prompts) -> MaskPrediction:
    return model.predict(model.encode(image), prompts)


def test_importing_the_registry_loads_no_torch():
    code = "import sys, models; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_one_click_finds_a_disc(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    assert iou(answer(model, image, Prompts(points_rc=((50, 90),), labels=(1,))).mask, truth) > 0.85


def test_a_box_finds_a_disc_and_stays_inside(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    mask = answer(model, image, Prompts(box=(26, 66, 75, 115))).mask
    assert iou(mask, truth) > 0.85
    assert not mask[:20].any() and not mask[:, 125:].any()


def test_a_stroke_finds_a_disc(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    strokes = Scribble(1, ((50, 75), (50, 105))), Scribble(0, ((85, 60), (85, 120)))
    assert iou(answer(model, image, Prompts(scribbles=strokes)).mask, truth) > 0.8


def test_a_mask_is_refined_not_thrown_away(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    rough = np.roll(truth, (3, -3), (0, 1))
    assert iou(answer(model, image, Prompts(mask=rough)).mask, truth) > 0.75


def test_a_click_that_says_nothing_new_keeps_the_mask(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    one = answer(model, image, Prompts(points_rc=((50, 90),), labels=(1,))).mask
    two = answer(model, image, Prompts(points_rc=((50, 90), (110, 15)), labels=(1, 0))).mask
    assert iou(one, two) > 0.9


def test_from_the_third_prompt_on_the_shown_mask_goes_along():
    shown = np.ones((4, 5), bool)
    two = Prompts(points_rc=((1, 1), (2, 2)), labels=(1, 0))
    boxed = replace(two, box=(0, 0, 3, 3))
    assert correcting(two, shown).mask is None
    assert correcting(boxed, shown).mask is shown and correcting(boxed, shown).points_rc == two.points_rc
    assert correcting(replace(two, scribbles=(Scribble(1, ((0, 0), (1, 1))),)), shown).mask is shown
    assert correcting(boxed, np.zeros((4, 5), bool)).mask is None, "nothing on screen corrects nothing"


def test_a_click_that_corrects_the_mask_on_screen_changes_it_there(model):
    image, truth = disc_image((121, 163), (50, 90), 23)
    bitten = truth & ~disc_image((121, 163), (60, 100), 8)[1]
    clicks = Prompts(points_rc=((45, 85), (110, 15), (60, 100)), labels=(1, 0, 1))
    mended = answer(model, image, correcting(clicks, bitten)).mask
    assert iou(mended, truth) > max(0.8, iou(bitten, truth)) and mended[60, 100]


def test_the_same_prompt_gives_the_same_mask(model):
    image, _ = disc_image((61, 83), (30, 40), 12)
    prompts = Prompts(points_rc=((30, 40), (5, 5)), labels=(1, 0))
    first, second = (answer(model, image, prompts) for _ in range(2))
    assert np.array_equal(first.masks, second.masks) and np.array_equal(first.scores, second.scores)


def test_predicting_leaves_no_trace_in_the_embedding(model):
    image, _ = disc_image((61, 83), (30, 40), 12)
    embedding = model.encode(image.copy())
    before = {name: array.copy() for name, array in embedding.arrays.items()}
    model.predict(embedding, Prompts(points_rc=((30, 40),), labels=(1,)))
    assert all(np.array_equal(before[name], array) for name, array in embedding.arrays.items())


def test_another_models_embedding_is_refused(model):
    with pytest.raises(ValueError, match="made by"):
        model.predict(Embedding("someone-else", (10, 12), {}), Prompts(points_rc=((1, 1),), labels=(1,)))


def test_nothing_pointed_at_is_a_clear_refusal(model):
    image, _ = disc_image((41, 53), (20, 20), 9)
    with pytest.raises(ValueError, match="click"):
        answer(model, image, Prompts())


places = st.tuples(st.floats(-60, 160), st.floats(-60, 160))
shapes = st.tuples(st.integers(1, 70), st.integers(1, 50))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    shape=shapes,
    kind=st.sampled_from(["flat", "noise", "step"]),
    clicks=st.lists(st.tuples(places, st.integers(0, 1)), max_size=12),
    box=st.none() | st.tuples(places, places),
    stroke=st.none() | st.lists(places, min_size=1, max_size=6),
    with_mask=st.booleans(),
)
def test_any_prompt_gets_an_answer_or_a_refusal(model, shape, kind, clicks, box, stroke, with_mask):
    rng = np.random.default_rng(0)
    image = np.zeros((*shape, 3), np.uint8)
    if kind == "noise":
        image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    if kind == "step":
        image[:, shape[1] // 2 :] = 255
    prompts = Prompts(
        points_rc=tuple(point for point, _ in clicks),
        labels=tuple(label for _, label in clicks),
        box=(*box[0], *box[1]) if box else None,
        scribbles=(Scribble(1, tuple(stroke)),) if stroke else (),
        mask=rng.random(shape) > 0.5 if with_mask else None,
    )
    try:
        prediction = answer(model, image, prompts)
    except ValueError as refusal:
        assert len(str(refusal)) > 10
        return
    assert prediction.masks.shape[1:] == shape and prediction.masks.dtype == bool
    assert np.isfinite(prediction.scores).all() and (np.diff(prediction.scores) <= 0).all()
    assert ((prediction.scores >= 0) & (prediction.scores <= 1)).all()


def test_hundreds_of_contradictory_clicks_are_answered(model):
    image, _ = disc_image((61, 83), (30, 40), 12)
    rng = np.random.default_rng(5)
    points = tuple((float(r), float(c)) for r, c in rng.uniform(0, 60, (400, 2)))
    labels = tuple(int(v) for v in rng.integers(0, 2, 400))
    assert answer(model, image, Prompts(points_rc=points, labels=labels)).mask.shape == (61, 83)


def test_a_huge_picture_is_answered_around_the_click():
    image = np.broadcast_to(np.full(3, 90, np.uint8), (16001, 16007, 3)).copy()
    image[12000:12060, 4000:4090] = 200
    model = PROMPT_MODELS["graphcut"].factory(None)
    prediction = answer(model, image, Prompts(points_rc=((12030, 4045),), labels=(1,)))
    assert prediction.masks.shape == (1, 16001, 16007)
    found = prediction.mask[11900:12160, 3900:4190]
    assert found[100:160, 100:190].mean() > 0.9 and found.sum() < 1.1 * 60 * 90


def test_graph_cut_keeps_every_click_on_its_side():
    image, _ = disc_image((121, 163), (50, 90), 23)
    points = ((50.0, 90.0), (40.0, 80.0), (100.0, 20.0), (50.0, 100.0), (55.0, 85.0))
    labels = (1, 1, 1, 0, 0)
    mask = answer(
        PROMPT_MODELS["graphcut"].factory(None), image, Prompts(points_rc=points, labels=labels)
    ).mask
    assert [bool(mask[int(r), int(c)]) for r, c in points] == [bool(label) for label in labels]
