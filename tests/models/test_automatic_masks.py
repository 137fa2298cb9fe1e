"""Automatic masks: objects of a picture found by a grid of clicks, each once, and nothing where people labelled."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import PromptChoice, opened
from models.automatic_masks import FoundObject, automatic_masks
from models.prompt import PromptModel

SIDE = 96
DISCS = [(24, 24, 11), (24, 70, 12), (70, 26, 12), (68, 70, 10)]  # row, column, radius


@pytest.fixture(scope="module")
def model() -> PromptModel:
    return opened(PromptChoice())


def picture() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bright discs on a dark noisy ground, and their numbers."""
    rows, columns = np.indices((SIDE, SIDE))
    numbers = np.zeros((SIDE, SIDE), np.uint8)
    for number, (row, column, radius) in enumerate(DISCS, 1):
        numbers[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    grey = 50 + 110 * (numbers > 0) + np.random.default_rng(0).normal(0, 5, numbers.shape)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2), numbers


def whole(one: FoundObject) -> NDArray[np.bool_]:
    out = np.zeros((SIDE, SIDE), bool)
    out[one.rows, one.columns] = one.mask
    return out


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_every_object_is_found_once_and_labelled_places_are_left_alone(model: PromptModel) -> None:
    pixels, numbers = picture()
    free = np.ones((SIDE, SIDE), bool)
    free[:, SIDE // 2 :] = False  # people labelled the right half
    shares: list[float] = []

    def go_on(share: float) -> bool:
        shares.append(share)
        return True

    found = automatic_masks(pixels, model, free, go_on)
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
    for number in (1, 3):
        like = [one for one in found if iou(whole(one), numbers == number) > 0.8]
        assert len(like) == 1
    assert all((whole(one) & ~free).sum() == 0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    pairs = [(a, b) for n, a in enumerate(found) for b in found[n + 1 :]]
    assert all(a.shared(b) <= 0.2 * min(a.area, b.area) for a, b in pairs)
    assert all(a.shared(b) == (whole(a) & whole(b)).sum() for a, b in pairs)


def test_it_ends_at_once_when_time_is_up(model: PromptModel) -> None:
    pixels, _ = picture()
    assert automatic_masks(pixels, model, np.ones((SIDE, SIDE), bool), lambda share: False) == []
