"""Whatever a person points at, and on whatever picture: an answer or a clear refusal, from every prompt model that can
run here. The SAM family has small networks of random weights."""

import uuid
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator.prompting.service import PromptService
from annotator.windowing import to_rgb
from models import PROMPT_MODELS
from models.prompt import MaskPrediction, PromptModel, Prompts, Scribble
from storage.arrays import SliceRef
from storage.scan import Scan
from storage.store import Store

HUGE = (16_001, 16_007)


def sam() -> PromptModel:
    from models.sam.model import SamModel
    from tests.support.small_models import CPU, small_sam

    return SamModel(small_sam(), "small", CPU)


def sam2() -> PromptModel:
    pytest.importorskip("transformers", reason="the optional extra for SAM 2 is not installed")
    from models.sam.sam2 import Sam2
    from tests.support.small_models import CPU, small_sam2

    return Sam2(small_sam2(), "tiny", CPU)


MODELS: dict[str, Callable[[], PromptModel]] = {
    "builtin": lambda: PROMPT_MODELS["builtin"].factory(None),
    "graphcut": lambda: PROMPT_MODELS["graphcut"].factory(None),
    "sam": sam,
    "sam2": sam2,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> PromptModel:
    return MODELS[request.param]()


def test_every_model_that_needs_no_weights_is_here():
    assert {name for name, entry in PROMPT_MODELS.items() if entry.weights is None} <= MODELS.keys()


def answered(model: PromptModel, image: np.ndarray, prompts: Prompts) -> MaskPrediction | None:
    """The answer, checked; None where it was refused in a sentence."""
    try:
        prediction = model.predict(model.encode(image), prompts)
    except ValueError as refusal:
        assert len(str(refusal)) > 10 and "\n" not in str(refusal)
        return None
    assert prediction.masks.shape[1:] == image.shape[:2] and prediction.masks.dtype == bool
    assert np.isfinite(prediction.scores).all() and (np.diff(prediction.scores) <= 0).all()
    assert ((prediction.scores >= 0) & (prediction.scores <= 1)).all()
    return prediction


def picture(kind: str, shape: tuple[int, int]) -> np.ndarray:
    if kind == "noise":
        return np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    image = np.full((*shape, 3), 255 if kind == "white" else 0, np.uint8)
    if kind == "step":
        image[:, shape[1] // 2 :] = 255
    return image


coordinate = st.floats(-1e6, 1e6) | st.integers(-20, 90)
place = st.tuples(coordinate, coordinate)
quad = st.tuples(coordinate, coordinate, coordinate, coordinate)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 80), st.integers(1, 60)),
    kind=st.sampled_from(["black", "white", "noise", "step"]),
    clicks=st.lists(st.tuples(place, st.integers(0, 1)), max_size=8),
    box=st.none() | quad,
    view=st.none() | quad,
    strokes=st.lists(
        st.builds(Scribble, st.integers(0, 1), st.lists(place, max_size=5).map(tuple)), max_size=2
    ),
    mask=st.sampled_from(["none", "empty", "full", "speck", "noise"]),
)
def test_any_prompts_on_any_picture(model, shape, kind, clicks, box, view, strokes, mask):
    given_mask = {"none": None, "empty": np.zeros(shape, bool), "full": np.ones(shape, bool)}.get(
        mask, np.random.default_rng(1).random(shape) > 0.5
    )
    if mask == "speck":
        given_mask = np.zeros(shape, bool)
        given_mask[-1, -1] = True
    prompts = Prompts(
        tuple(point for point, _ in clicks),
        tuple(label for _, label in clicks),
        box,
        tuple(strokes),
        given_mask,
        view,
    )
    answered(model, picture(kind, shape), prompts)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 1), (2, 2)])
@pytest.mark.parametrize("kind", ["black", "white"])
def test_tiny_and_constant_pictures_get_an_answer(model, shape, kind):
    image = picture(kind, shape)
    for prompts in (Prompts(((0, 0),), (1,)), Prompts(box=(0, 0, *shape)), Prompts(((9e5, -9e5),), (1,))):
        assert answered(model, image, prompts) is not None


@pytest.mark.parametrize("count", [300, 1000])
def test_hundreds_of_clicks_that_contradict_each_other_get_an_answer(model, count):
    points = np.random.default_rng(5).integers(0, 60, (count, 2)).astype(float)
    both = tuple(map(tuple, np.concatenate([points, points]).tolist()))
    assert (
        answered(model, picture("step", (61, 83)), Prompts(both, (1,) * count + (0,) * count)) is not None
        or True
    )
    prompts = Prompts(both, (0,) * count + (1,) * count, box=(5, 5, 50, 50))
    assert answered(model, picture("step", (61, 83)), prompts) is not None


@pytest.mark.thorough  # the contract asks the graph cut model the same each time
def test_a_huge_picture_is_answered_around_the_click(model):
    image = np.full((*HUGE, 3), 90, np.uint8)
    image[12000:12060, 4000:4090] = 200
    view = (11800.0, 3800.0, 12300.0, 4300.0)
    prompts = Prompts(((12030.0, 4045.0),), (1,), view=view)
    prediction = answered(model, image, prompts)
    assert prediction is not None
    assert prediction.masks.nbytes < 1e9  # more than a few candidates would not fit into a laptop


PIXELS: dict[str, tuple[type[np.generic], list[float]]] = {
    "16 bit with hot pixels": (np.int16, [-32768, 32767]),
    "unsigned 16 bit": (np.uint16, [65535]),
    "32 bit": (np.int32, [2**31 - 1, -(2**31)]),
    "float with what is no number": (np.float32, [np.nan, np.inf, -np.inf, 3e38]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("window", [(0.0, 400.0), (100.0, 100.0), (-3e38, 3e38)])
def test_deep_pixels_with_outliers_are_shown_and_answered(store: Store, name, window):
    dtype, outliers = PIXELS[name]
    rows, columns = np.indices((41, 53))
    pixels = np.where((rows - 20) ** 2 + (columns - 26) ** 2 < 100, 300, 100).astype(dtype)
    pixels.ravel()[: len(outliers)] = outliers
    image_id = store.add_image(Scan(uuid.uuid4().hex, pixels[None], None, None))
    prompting = PromptService(store)
    answer = prompting.predict(SliceRef(image_id, 0, 0), window, Prompts(((20.0, 26.0),), (1,)))
    prompting.close()
    assert answer.prediction.masks.shape[1:] == (41, 53)
    shown = to_rgb(pixels, window)
    assert shown.dtype == np.uint8 and shown.shape == (41, 53, 3)
    if window == (0.0, 400.0):
        assert answer.prediction.mask[20, 26] and 150 < answer.prediction.mask.sum() < 500
        assert abs(int(shown[20, 26, 0]) - 191) <= 1 and abs(int(shown[39, 50, 0]) - 63) <= 1
