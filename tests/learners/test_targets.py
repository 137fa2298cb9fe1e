"""Trust in what was propagated: how it falls with distance and rounds, and that people's word stands."""

import numpy as np
import pytest

from learners.training.targets import (
    LIFE,
    PER_SLICE,
    Classes,
    TrustAt,
    down,
    propagated_trust,
    slices_away,
    target_of,
    trust_at,
    up,
    with_fill,
)
from storage.arrays import UNLABELLED

WHOLE = (slice(0, 9), slice(0, 11), slice(0, 13))


def test_the_schedules_have_the_values_of_the_paper():
    assert [round(down(t, 40), 3) for t in (6, 13, 20, 26, 33)] == [0.946, 0.761, 0.5, 0.273, 0.074]
    assert [round(0.1 * up(t, 40), 5) for t in (0, 20, 40)] == [0.00067, 0.02865, 0.1]
    assert down(50, 40) == 0 and up(50, 40) == 1


def test_trust_is_the_same_on_both_sides_of_a_slice_and_falls_by_the_same_share_with_each():
    trust = propagated_trust(WHOLE, [(0, 4)], [], TrustAt(0.9))
    along = trust[:, 0, 0]
    assert np.array_equal(along, along[::-1])
    assert np.allclose(along[5:] / along[4:-1], [1, 0.9, 0.9, 0.9])
    assert (trust == trust[:, :1, :1]).all()


def test_the_nearest_slice_of_the_planes_that_count_decides():
    slices = [(0, 4), (1, 2)]
    both = slices_away(WHOLE, slices)
    assert both[0, 2, 0] == 0 and both[4, 10, 5] == 0 and both[0, 10, 0] == 4
    one = propagated_trust(WHOLE, slices, [], TrustAt(0.5, (1,)))
    assert (one == one[:1, :, :1]).all() and one[0, 4, 0] == 0.25
    assert not propagated_trust(WHOLE, slices, [], TrustAt(0.5, (2,))).any()


def test_a_region_has_the_trust_that_it_has_in_the_whole_volume():
    slices, region = [(0, 4), (2, 6)], (slice(1, 7), slice(3, 8), slice(2, 12))
    whole = propagated_trust(WHOLE, slices, [], TrustAt(0.8))
    assert np.array_equal(propagated_trust(region, slices, [], TrustAt(0.8)), whole[region])


def test_what_was_propagated_from_a_held_out_slice_teaches_nothing():
    trust = propagated_trust(WHOLE, [(0, 1), (0, 7)], [(0, 7)], TrustAt(0.9))
    assert not trust[5:].any() and trust[:5].all()
    assert not propagated_trust(WHOLE, [(0, 7)], [(0, 7)], TrustAt(0.9)).any()


def test_trust_in_a_fill_ends_after_so_many_rounds():
    bases = [trust_at(rounds).base for rounds in np.linspace(0, LIFE, 7)]
    assert bases[0] == PER_SLICE and bases == sorted(bases, reverse=True) and bases[-1] == 0
    assert not propagated_trust(WHOLE, [(0, 4)], [], trust_at(LIFE)).any()


def test_what_people_said_stands_whatever_was_propagated():
    classes = Classes((5, 9))
    known = np.full((9, 11, 13), UNLABELLED, np.uint8)
    known[4], known[:, 2] = 0, 0
    known[4, 3:6, 3:6] = 9
    rng = np.random.default_rng(0)
    filled = rng.choice(np.array([0, 5, 9], np.uint8), known.shape)
    confidence = rng.integers(0, 256, known.shape).astype(np.uint8)
    said = target_of(known, classes)
    trust = propagated_trust(WHOLE, [(0, 4), (1, 2)], [], TrustAt(0.9))
    target = with_fill(said, filled, confidence, trust, classes)
    people = known != UNLABELLED
    assert np.array_equal(target.y[people], said.y[people]) and (target.w[people] == 1).all()
    assert (target.w[~people] < 1).all()
    assert target.w[0, 5, 5] == pytest.approx(0.9**3 * confidence[0, 5, 5] / 255)
    assert np.array_equal(target.y[~people], classes.to_channels()[filled][~people])
    nothing = with_fill(said, filled, confidence, trust * 0, classes)
    assert np.array_equal(nothing.w, said.w)
