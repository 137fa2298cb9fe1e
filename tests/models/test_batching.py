"""Prompts that are answered together get the answers that each would get alone."""

import numpy as np
import pytest
import torch

from models import PROMPT_MODELS
from models.batching import MOST_CROPS, SeenCrops, alone, in_step, predict_each
from models.builtin import BuiltIn
from models.prompt import Prompts, correcting
from tests.models.test_builtin import disc_in_noise

CLICKS = [(20.0, 20.0), (40.0, 30.0), (8.0, 50.0), (31.0, 31.0), (55.0, 12.0)]
SCORE = 0.01  # in bf16 another size of a batch may change the last bit
PIXELS = 0.001  # of a mask, at its edge


@pytest.fixture(scope="module")
def model() -> BuiltIn:
    return BuiltIn()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return disc_in_noise(0)[0]


def prompts_on(mask: np.ndarray) -> list[Prompts]:
    """Clicks, corrections with and without a mask, boxes, and what points at nothing."""
    single = [Prompts((click,), (1,)) for click in CLICKS]
    more = [Prompts(tuple(CLICKS[:k]), (1, 0, 1, 0)[:k]) for k in (2, 3, 4)]
    boxes = [Prompts(box=(10.0, 10.0, 40.0, 44.0)), Prompts(box=(0.0, 0.0, 60.0, 20.0))]
    return [*single, *(correcting(one, mask) for one in more), *boxes, Prompts()]


def test_together_each_gets_what_it_gets_alone(model, picture):
    embedding = model.encode(picture)
    asked = [
        (embedding, one) for one in prompts_on(model.predict(embedding, Prompts(((20.0, 20.0),), (1,))).mask)
    ]
    answers = predict_each(model, asked)
    assert len(answers) == len(asked)
    for (_, prompts), answer in zip(asked[:-1], answers):
        expected = model.predict(embedding, prompts)
        assert answer.masks.shape == expected.masks.shape
        assert np.abs(answer.scores - expected.scores).max() <= SCORE
        assert (answer.mask != expected.mask).mean() <= PIXELS
    assert isinstance(answers[-1], ValueError)


def test_a_model_without_batches_answers_one_after_another(picture):
    classical = PROMPT_MODELS["graphcut"].factory(None)
    embedding = classical.encode(picture)
    good, bad = predict_each(classical, [(embedding, Prompts(((20.0, 20.0),), (1,))), (embedding, Prompts())])
    assert good.mask.any() and isinstance(bad, ValueError)


def test_a_batch_never_grows_beyond_its_bound_and_everybody_gets_their_own_part():
    sizes: list[int] = []

    def see(crops):
        sizes.append(len(crops))
        return SeenCrops(crops * 2, crops.reshape(len(crops), -1)[:, :1] * 3)

    def looking(n: int):
        seen = yield np.full((n, 1, 2, 2), n, np.float32)
        assert (seen.logits == 2 * n).all() and seen.logits.shape[0] == n
        if n % 2:
            return n
        again = yield np.full((1, 1, 2, 2), 10 + n, np.float32)
        return float(again.scores[0, 0])

    ends = in_step([looking(n) for n in range(1, 9)], see)
    assert ends == [1, 36.0, 3, 42.0, 5, 48.0, 7, 54.0]
    assert max(sizes) <= MOST_CROPS and sum(sizes) == 36 + 4
    assert alone(looking(3), see) == 3


def test_halved_weights_change_no_answer(model):
    """What autocast would do at each answer is done once."""
    network = model._network
    if not network._half:
        pytest.skip("this processor multiplies in full precision")
    kinds = {
        m.weight.dtype for m in network._network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    }
    assert kinds == {torch.bfloat16}
