"""Scores of objects: hand-made cases whose answers can be counted on fingers, and a plain second way to count."""

import numpy as np
import pytest

from learners.objects.scores import LIMITS, ObjectCounts, count_objects


def picture(*boxes: tuple[int, int, int, int], shape: tuple[int, ...] = (20, 30)) -> np.ndarray:
    out = np.zeros(shape, np.uint16)
    for number, (r0, c0, r1, c1) in enumerate(boxes, start=7):
        out[..., r0:r1, c0:c1] = number
    return out


def counted(proposed: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> ObjectCounts:
    return count_objects(proposed, truth, np.ones(truth.shape, bool) if known is None else known)


TWO = picture((2, 2, 8, 8), (10, 12, 16, 22))


def test_the_same_objects_under_other_numbers_are_perfect():
    found = counted(np.where(TWO == 7, 300, TWO).astype(np.uint16), TWO)
    assert found.ap50 == found.mean_ap == found.f1 == found.panoptic == 1
    assert found.count_error == 0 and found.split == found.merged == 0


def test_two_true_objects_in_one_are_a_merge_and_no_match():
    found = counted(picture((0, 0, 20, 30)), TWO)
    assert (found.true, found.proposed, found.merged, found.split) == (2, 1, 1, 0)
    assert found.ap50 == found.panoptic == 0 and found.count_error == 0.5


def test_an_object_in_halves_is_a_split_and_a_speck_inside_is_not():
    halves = picture((2, 2, 8, 5), (2, 5, 8, 8), (10, 12, 16, 22))
    found = counted(halves, TWO)
    assert (found.split, found.merged, found.matched[0]) == (1, 0, 1)
    assert found.ap50 == pytest.approx(1 / 4) and found.f1 == pytest.approx(2 / 5)
    speck = TWO.copy()
    speck[3, 3] = 99
    assert counted(speck, TWO).split == 0 and counted(speck, TWO).proposed == 3


def test_a_half_is_not_enough_and_more_than_that_counts_at_the_limits_below():
    truth = picture((0, 0, 10, 10))
    assert counted(picture((0, 0, 10, 5)), truth).matched[0] == 0
    found = counted(picture((0, 0, 10, 7)), truth)  # IoU 0.7
    assert found.matched[:4] == (1, 1, 1, 1) and found.matched[5:] == (0,) * 5
    assert found.panoptic == pytest.approx(0.7)


def test_what_nobody_knows_about_is_not_counted():
    known = np.ones(TWO.shape, bool)
    known[:, 11:] = False
    found = counted(TWO, TWO, known)
    assert (found.true, found.proposed, found.ap50) == (1, 1, 1)
    assert counted(picture((0, 12, 5, 22)), np.zeros_like(TWO), known).proposed == 0


def test_empty_pictures_say_nothing_and_missed_or_invented_objects_are_wrong():
    nothing = np.zeros_like(TWO)
    empty = counted(nothing, nothing)
    assert empty.ap50 is empty.f1 is empty.panoptic is empty.count_error is None
    assert counted(nothing, TWO).ap50 == counted(TWO, nothing).ap50 == 0


def test_counts_of_images_add_up_and_come_back_from_json():
    both = counted(TWO, TWO) + counted(picture((0, 0, 20, 30)), TWO)
    assert (both.true, both.proposed, both.miscounted, both.images) == (4, 3, 1, 2)
    assert both.ap50 == pytest.approx(2 / 5) and both.count_error == 0.25
    assert ObjectCounts.from_json(both.as_json()) == both
    with pytest.raises(ValueError, match="limits"):
        ObjectCounts.from_json({**both.as_json(), "matched": [1]})


def test_many_odd_objects_are_counted_as_by_comparing_every_pair():
    rng = np.random.default_rng(3)
    for _ in range(5):
        corners = rng.integers(0, 25, (2, 12, 3))
        mine, theirs = (
            picture(*((r, c, r + 4 + s % 9, c + 6) for r, c, s in part), shape=(3, 40, 40))
            for part in corners
        )
        found = counted(mine, theirs)
        slow = [
            [
                ((mine == a) & (theirs == b)).sum() / ((mine == a) | (theirs == b)).sum()
                for b in objects(theirs)
            ]
            for a in objects(mine)
        ]
        pairs = np.array(slow)
        assert found.matched == tuple(int((pairs > limit).sum()) for limit in LIMITS)
        assert found.iou == pytest.approx(pairs[pairs > 0.5].sum())
        assert (found.true, found.proposed) == (pairs.shape[1], pairs.shape[0])


def objects(numbers: np.ndarray) -> list[int]:
    return [int(n) for n in np.unique(numbers) if n]
