"""The built-in model: the network and the graph cut as one."""

import numpy as np
import pytest

import models.builtin as builtin
from models.builtin import (
    CANDIDATES,
    DOUBT,
    BuiltIn,
    Candidate,
    candidates,
    distinct,
    in_doubt,
    misplaced,
    together,
)
from models.clicks import clicks_of
from models.prompt import MaskPrediction, Prompts, Scribble, tighter


def masks(*columns: int) -> np.ndarray:
    out = np.zeros((len(columns), 20, 30), bool)
    for mask, column in zip(out, columns):
        mask[5:15, column : column + 8] = True
    return out


def some(score: float, column: int, wrong: int = 0) -> Candidate:
    return Candidate(masks(column)[0], score, wrong)


def click(*points: tuple[int, int, int]) -> Prompts:
    return Prompts(tuple((float(r), float(c)) for r, c, _ in points), tuple(label for *_, label in points))


def shown(ranked: list[Candidate]) -> np.ndarray:
    return distinct(ranked).masks


def test_the_one_that_expects_clearly_more_of_its_mask_goes_first_and_the_other_is_the_next_candidate():
    network = [some(0.4, 2), some(0.3, 20)]
    np.testing.assert_array_equal(shown(together(network, some(0.49, 10))), masks(2, 10, 20))
    np.testing.assert_array_equal(shown(together(network, some(0.51, 10))), masks(10, 2, 20))


def test_a_mask_that_leaves_a_click_on_the_wrong_side_steps_back():
    wrong, right = some(0.9, 2, wrong=1), some(0.3, 10)
    np.testing.assert_array_equal(shown(together([wrong], right)), masks(10, 2))
    np.testing.assert_array_equal(shown(together([right], wrong)), masks(10, 2))
    answer = MaskPrediction(masks(2, 10), np.array([0.9, 0.4], np.float32))
    ranked = candidates(answer, clicks_of(click((10, 12, 1), (10, 3, 0)), (20, 30)))
    assert [one.wrong for one in ranked] == [0, 2]
    np.testing.assert_array_equal(ranked[0].mask, masks(10)[0])


def test_of_a_place_that_was_said_to_be_both_the_last_word_counts():
    inside = masks(2)[0]
    assert misplaced(inside, clicks_of(click((10, 4, 0), (10, 4, 1)), inside.shape)) == 0
    assert misplaced(inside, clicks_of(click((10, 4, 1), (10, 4, 0)), inside.shape)) == 1


@pytest.mark.parametrize(
    ("prompts", "score", "asked"),
    [
        (click((10, 4, 1)), DOUBT - 0.01, True),
        (click((10, 4, 1)), DOUBT, False),
        (click((10, 4, 1), (10, 20, 0)), DOUBT - 0.01, True),
        (click((10, 4, 1), (10, 20, 0), (9, 5, 1)), 0.1, False),
        (Prompts(box=(5, 2, 15, 10)), 0.1, False),
        (Prompts(scribbles=(Scribble(1, ((10, 4), (10, 6))),)), 0.1, False),
    ],
)
def test_the_other_is_asked_only_while_few_clicks_leave_the_network_in_doubt(prompts, score, asked):
    assert in_doubt(some(score, 2), prompts) is asked
    assert in_doubt(some(0.99, 2, wrong=1), prompts)


def test_scores_fall_no_mask_is_offered_twice_and_none_is_empty():
    ranked = [some(0.6, 2), some(0.9, 2), some(0.8, 6), some(0.7, 14), some(0.6, 20), some(0.2, 11)]
    answer = distinct(ranked)
    assert len(answer.masks) == CANDIDATES and (np.diff(answer.scores) <= 0).all()
    empty = Candidate(np.zeros((20, 30), bool), 0.9, 0)
    np.testing.assert_array_equal(shown([empty, some(0.1, 3)]), masks(3))
    assert not shown([empty]).any()


def test_a_sure_network_answers_alone(monkeypatch):
    rows, columns = np.indices((121, 163))
    truth = (rows - 50) ** 2 + (columns - 90) ** 2 <= 23**2
    picture = np.repeat(np.where(truth, 190, 60).astype(np.uint8)[..., None], 3, 2)
    model = BuiltIn()

    def never(*_):
        raise AssertionError("the graph cut was asked")

    monkeypatch.setattr(builtin.GraphCut, "predict", never)
    points = click((50, 90, 1), (5, 5, 0), (40, 95, 1))
    assert model.predict(model.encode(picture), points).mask[50, 90]
    assert model.predict(model.encode(picture), Prompts(box=(26, 66, 75, 115))).mask[50, 90]


def disc_in_noise(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) picture of a bright disc and (H, W) where it is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((160, 200))
    radius = int(rng.integers(14, 32))
    truth = (rows - rng.integers(60, 100)) ** 2 + (columns - rng.integers(70, 130)) ** 2 <= radius**2
    grey = np.clip(90 + 70 * truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2), truth


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("loose", [0.0, 0.25])
def test_a_box_that_was_drawn_loosely_is_tried_tighter_and_an_exact_one_is_no_worse_for_it(loose: float):
    model, alone, both = BuiltIn(), [], []
    for seed in range(6):
        picture, truth = disc_in_noise(seed)
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        box = tighter((float(rows[0]), float(columns[0]), float(rows[-1]), float(columns[-1])), -loose)
        network = model._network.predict(model._network.encode(picture), Prompts(box=box))
        alone.append(overlap(network.masks[0], truth))
        both.append(overlap(model.predict(model.encode(picture), Prompts(box=box)).masks[0], truth))
    assert np.mean(both) > np.mean(alone) + 0.05 if loose else np.mean(both) > np.mean(alone) - 0.02


def test_a_box_with_clicks_and_clicks_alone_are_asked_once(monkeypatch):
    model, asked = BuiltIn(), []
    picture, _ = disc_in_noise(0)
    embedding, predict = model.encode(picture), model._network.looking
    monkeypatch.setattr(model._network, "looking", lambda e, p: asked.append(p) or predict(e, p))
    monkeypatch.setattr(builtin, "DOUBT", 0.0)
    model.predict(embedding, Prompts(((80.0, 100.0),), (1,), (40.0, 60.0, 120.0, 140.0)))
    model.predict(embedding, Prompts(((80.0, 100.0),), (1,)))
    assert len(asked) == 2
    model.predict(embedding, Prompts(box=(80.0, 100.0, 80.0, 100.0)))  # no extent, and no error
    assert 4 <= len(asked) <= 3 + len(builtin.TIGHTER)
