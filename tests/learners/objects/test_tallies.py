"""How sure a model is of each object: what a tenth of its voxels is below, of all objects together."""

import numpy as np

from learners.objects.tallies import LOWEST, least_sure


def test_what_a_tenth_of_each_object_is_below_is_as_sorting_finds_it():
    rng = np.random.default_rng(3)
    numbers = rng.choice([0, 1, 2, 7, 60_000], (3, 40, 50)).astype(np.uint16)
    confidence = rng.integers(0, 256, numbers.shape).astype(np.uint8)
    found, lowest = least_sure(numbers, confidence)
    assert found.tolist() == [1, 2, 7, 60_000]
    for number, value in zip(found, lowest, strict=True):
        sure = np.sort(confidence[numbers == number])
        assert value == sure[int(LOWEST * len(sure))]


def test_where_no_object_is_there_is_nothing_to_say():
    found, lowest = least_sure(np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.uint8))
    assert not len(found) and not len(lowest)
