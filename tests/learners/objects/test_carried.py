"""Objects keep their numbers from slice to slice of a volume, and from frame to frame of a film."""

import numpy as np
import pytest

from learners.objects.carried import CarriedFrom, axis_of, carry

SIDE = 48


def discs(*places: tuple[float, float, float]) -> np.ndarray:
    """(rows, columns) 1, 2, ... for discs of (row, column, radius); the first is on top."""
    y, x = np.ogrid[:SIDE, :SIDE]
    out = np.zeros((SIDE, SIDE), np.uint16)
    for number, (row, column, radius) in reversed([*enumerate(places, 1)]):
        out[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return out


def carried(truth: np.ndarray, *labelled: int, **more):
    """What becomes of the true numbers of some slices."""
    stated = np.zeros(truth.shape, np.uint16)
    stated[list(labelled)] = truth[list(labelled)]
    said = CarriedFrom(stated, first=int(truth.max()) + 1, **more)
    return carry((truth > 0).astype(np.uint8), said)


def test_touching_objects_that_wander_keep_their_numbers_from_one_labelled_slice():
    truth = np.stack([discs((14 + k, 12 + k, 7), (14 + k, 26 + k, 7), (36, 36 - k, 5)) for k in range(9)])
    found = carried(truth, 4).numbers
    assert ((found > 0) == (truth > 0)).all() and found.max() == 3
    assert (found == truth)[truth > 0].mean() > 0.97


def test_objects_end_and_others_that_nobody_labelled_get_no_number():
    truth = np.zeros((7, SIDE, SIDE), np.uint16)
    truth[:4] = discs((14, 14, 6))
    truth[4:] = 2 * (discs((36, 36, 6)) > 0)
    found = carried(truth, 1).numbers
    assert (found[:4] == truth[:4]).all() and not found[4:].any()


def test_an_object_of_a_volume_that_forks_stays_one_and_one_of_a_film_divides():
    whole, halves = discs((24, 24, 10)), discs((24, 15, 6), (24, 33, 6))
    between = discs((24, 19, 8), (24, 29, 8))
    truth = np.stack([whole, whole, between > 0, halves > 0, halves > 0]).astype(np.uint16)
    volume = carried(truth, 0)
    assert not volume.parents and set(np.unique(volume.numbers)) == {0, 1}
    film = carried(truth, 0, film=True)
    assert film.parents == {2: 1, 3: 1}
    assert set(np.unique(film.numbers[:3])) == {0, 1}
    for frame in (3, 4):
        left, right = film.numbers[frame][halves == 1], film.numbers[frame][halves == 2]
        assert len(set(left)) == len(set(right)) == 1 and {left[0], right[0]} == {2, 3}


def test_what_came_from_a_division_is_called_as_people_call_it_later():
    whole, halves = discs((24, 24, 10)), discs((24, 15, 6), (24, 33, 6))
    named = np.where(halves > 0, halves + 6, 0).astype(np.uint16)  # 7 and 8
    truth = np.stack([whole, whole, named, named, named])
    found = carried(truth, 0, 4, film=True)
    assert found.parents == {7: 1, 8: 1}
    assert (found.numbers == truth).all()


def test_in_a_film_an_object_that_jumps_is_the_same_one_and_two_do_not_swap():
    frames = [discs((12, 8 + 7 * k, 3), (30, 8 + 7 * k, 3)) for k in range(5)]
    truth = np.stack(frames)
    found = carried(truth, 0, film=True)
    assert (found.numbers == truth).all() and not found.parents
    assert not carried(truth, 0).numbers[2:].any(), "in a volume nothing jumps"


def test_two_labelled_objects_of_one_piece_are_parted_halfway_and_people_are_never_overruled():
    disc = discs((24, 24, 8))
    truth = np.stack([disc] * 3 + [disc * 5] * 3).astype(np.uint16)
    assert (carried(truth, 0, 5).numbers == truth).all()


def test_numbers_go_along_the_axis_that_people_labelled_and_lines_across_a_slice_do():
    truth = np.stack([discs((14, 14, 8), (34, 34, 8))] * 6)
    stated = np.zeros(truth.shape, np.uint16)
    stated[:, 14], stated[:, 34] = truth[:, 14], truth[:, 34]
    assert axis_of(stated) == 1
    found = carry((truth > 0).astype(np.uint8), CarriedFrom(stated, first=3))
    assert (found.numbers == truth).all()


def test_what_a_producer_told_apart_stays_apart_and_two_classes_share_no_object():
    truth = np.stack([discs((24, 18, 8), (24, 32, 8))] * 4)
    stated = np.zeros(truth.shape, np.uint16)
    stated[0] = np.where(truth[0] == 1, 4, 0)
    classes = (truth > 0).astype(np.uint8)
    found = carry(classes, CarriedFrom(stated, first=5, apart=truth)).numbers
    assert (found == np.where(truth == 1, 4, 0)).all()
    classes[truth == 2] = 2
    found = carry(classes, CarriedFrom(stated, first=5)).numbers
    assert (found == np.where(truth == 1, 4, 0)).all()


def test_it_ends_between_two_slices_where_nobody_waits_for_it():
    truth, asked = np.stack([discs((24, 24, 8))] * 9), []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        carried(truth, 0, check=check)
