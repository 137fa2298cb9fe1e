"""Which slice to label next."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.propagate import LabelledSlice, fill
from learners.propagate.next_slice import SLICE_RULES, Volume, next_slice
from tests.learners.test_propagate import SHAPE, dice, labelled, scene


def doubtful(at: tuple[int, int, int], slices: tuple[LabelledSlice, ...] = ()) -> Volume:
    """Certain everywhere but in a small box around a place."""
    confidence = np.full(SHAPE, 255, np.uint8)
    z, y, x = at
    confidence[z - 1 : z + 2, y - 3 : y + 4, x - 5 : x + 6] = 140
    confidence[z, y, x] = 128
    classes = np.zeros(SHAPE, np.uint8)
    classes[z - 2 : z + 3, y - 4 : y + 5, x - 6 : x + 7] = 1
    return Volume(classes, confidence, slices, (2.0, 1.0, 1.0))


def test_the_plane_with_most_doubt_is_chosen_and_the_reason_says_so():
    volume = doubtful((6, 9, 12), (LabelledSlice(0, 2), LabelledSlice(1, 2)))
    proposal = next_slice(volume)
    assert (proposal.axis, proposal.index) == (0, 6)  # a slice across z holds 7 x 11 of the doubtful voxels
    assert (
        "77 uncertain voxels" in proposal.reason
        and "The nearest labelled slice of this plane is 8 mm away." in proposal.reason
    )
    assert proposal.gain > 0 and proposal.seconds > 6


def test_the_second_slice_crosses_the_first_where_an_object_goes_on_and_is_parallel_in_thick_slices():
    confidence = np.full((20, 30, 30), 255, np.uint8)
    confidence[:, 14:17, 12:20] = 140  # a tube along z
    classes = np.ones(confidence.shape, np.uint8)
    tube = next_slice(Volume(classes, confidence, (LabelledSlice(0, 10),)))
    assert tube.axis == 1 and "is labelled yet" in tube.reason
    confidence[:9] = 140
    thick = next_slice(Volume(classes, confidence, (LabelledSlice(0, 10),), (7.5, 0.5, 0.5)))
    assert thick.axis == 0


def test_of_slices_as_unsure_as_each_other_one_among_them_is_chosen_and_not_the_last():
    confidence = np.full((40, 30, 30), 140, np.uint8)
    confidence[12:] = 255
    proposal = next_slice(Volume(np.ones(confidence.shape, np.uint8), confidence, (LabelledSlice(0, 20),)))
    assert proposal.axis == 0 and 3 <= proposal.index <= 8


def test_a_slice_through_more_classes_is_worth_its_doubt_for_each_of_them():
    confidence = np.full((20, 30, 30), 255, np.uint8)
    confidence[:, 12:20, 15] = 140
    confidence[:, 15, 12:19] = 140  # a cross along z: a little less of it lies on the coronal slice
    classes = np.ones(confidence.shape, np.uint8)
    across = (LabelledSlice(0, 10),)
    assert next_slice(Volume(classes, confidence, across)).axis == 2
    classes[:, :, 18:] = 2
    assert next_slice(Volume(classes, confidence, across)).axis == 1
    classes[5:8, 20, 15] = 3, 4, 5  # strayed voxels of larger classes are no sight of them
    classes[0, 22:, :10], classes[1, 22:, :10], classes[2, 22:, :10] = 3, 4, 5
    assert next_slice(Volume(classes, confidence, across)).axis == 1


@pytest.mark.parametrize("rule", SLICE_RULES)
def test_a_labelled_slice_is_never_proposed_again(rule: str):
    slices = tuple(LabelledSlice(a, k) for a in range(3) for k in range(SHAPE[a]) if k % 5)
    proposal = next_slice(doubtful((6, 9, 12), slices), rule)
    assert proposal is None or LabelledSlice(proposal.axis, proposal.index) not in slices


def test_where_nothing_is_in_doubt_nothing_is_proposed():
    sure = Volume(np.ones(SHAPE, np.uint8), np.full(SHAPE, 250, np.uint8), (LabelledSlice(0, 1),))
    assert next_slice(sure) is None


def test_a_rule_for_one_axis_stays_on_it_and_bisects_its_largest_gap():
    volume = doubtful((6, 9, 12), (LabelledSlice(2, 3), LabelledSlice(2, 20), LabelledSlice(0, 5)))
    assert next_slice(volume, "axis").axis == 2
    assert (next_slice(volume, "gap").axis, next_slice(volume, "gap").index) == (2, 12)


@given(seed=st.integers(0, 999), rule=st.sampled_from(sorted(SLICE_RULES)))
@settings(max_examples=30, deadline=None)
def test_whatever_the_fill_a_proposal_lies_in_the_volume(seed: int, rule: str):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    volume = Volume(
        rng.integers(0, 3, shape).astype(np.uint8),
        rng.integers(0, 256, shape).astype(np.uint8),
        (LabelledSlice(0, 0),),
    )
    proposal = next_slice(volume, rule)
    assert proposal is None or 0 <= proposal.index < shape[proposal.axis]


def test_following_the_proposals_makes_the_fill_better_each_time():
    image, truth = scene()
    image = np.random.default_rng(1).normal(0, 60, SHAPE).astype(np.float32) + image
    at, found = [(0, 3)], []
    for _ in range(4):
        case = labelled(image, truth, at)
        filled = fill("random_walker", case)
        found.append(dice(filled.classes, truth))
        proposal = next_slice(Volume(filled.classes, filled.confidence, case.slices, case.spacing_mm))
        at = [*at, (proposal.axis, proposal.index)]
    assert found[-1] > found[0] + 0.03 and found[-1] > 0.9
