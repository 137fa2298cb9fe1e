"""The built-in model: the network and the graph cut as one."""

import numpy as np

from models.builtin import CANDIDATES, together
from models.prompt import MaskPrediction


def masks(*columns: int) -> np.ndarray:
    out = np.zeros((len(columns), 20, 30), bool)
    for mask, column in zip(out, columns):
        mask[5:15, column : column + 8] = True
    return out


def prediction(scores: list[float], *columns: int) -> MaskPrediction:
    return MaskPrediction(masks(*columns), np.array(scores, np.float32))


def test_a_network_that_is_sure_goes_first_and_the_others_mask_is_the_next_candidate():
    answer = together(prediction([0.95, 0.7], 2, 20), prediction([0.9], 10))
    np.testing.assert_array_equal(answer.masks, masks(2, 10, 20))
    assert (np.diff(answer.scores) <= 0).all()


def test_a_network_in_doubt_lets_the_graph_cut_go_first():
    answer = together(prediction([0.4, 0.3], 2, 20), prediction([0.9], 10))
    np.testing.assert_array_equal(answer.masks[0], masks(10)[0])
    assert (np.diff(answer.scores) <= 0).all()


def test_no_mask_is_offered_twice_and_none_is_empty():
    answer = together(prediction([0.9, 0.8, 0.7, 0.6], 2, 6, 14, 20), prediction([0.9], 2))
    np.testing.assert_array_equal(answer.masks, masks(2, 6, 14, 20))
    blank = MaskPrediction(np.zeros((1, 20, 30), bool), np.array([0.1], np.float32))
    assert together(blank, prediction([0.5], 3)).mask.any()
    assert (
        len(together(prediction([0.9, 0.8, 0.7, 0.6], 2, 6, 14, 20), prediction([0.9], 10)).masks)
        == CANDIDATES
    )
