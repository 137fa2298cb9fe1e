"""Numbers that models say about themselves, and what they are worth."""

import numpy as np
import pytest

from learners.prediction.calibration import (
    BINS,
    LEAST,
    Evidence,
    calibrate,
    calibration_error,
    count_right,
    shares_right,
)

CLAIMS = (0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


def boastful(claimed: float) -> float:
    """The true Dice of a model that always promises too much."""
    return 4 * claimed - 3.3


def evidence(count: int = 8, **more: str) -> list[Evidence]:
    return [Evidence(c, boastful(c), **more) for c in CLAIMS[:count]]


def test_where_few_images_were_judged_no_number_is_said():
    assert calibrate([]) is None and calibrate(evidence(LEAST - 1)) is None
    assert calibrate(evidence(LEAST)) is not None


def test_a_boast_becomes_what_such_boasts_were_worth():
    found = calibrate(evidence())
    assert found is not None
    for claimed in (0.93, 0.965, 0.985):
        middle, low, high = found.expected(claimed)
        assert middle == pytest.approx(boastful(claimed), abs=0.05) and low < middle < high
        assert low <= boastful(claimed) <= high


def test_images_keep_their_order_and_stay_between_0_and_1():
    found = calibrate([*evidence(), Evidence(0.2, 0.0), Evidence(0.999, 1.0)])
    assert found is not None
    middles = [found.expected(c)[0] for c in np.linspace(0, 1, 60)]
    assert all(a <= b for a, b in zip(middles, middles[1:])) and middles[0] >= 0 and middles[-1] <= 1


def test_few_images_move_a_word_and_many_turn_it():
    rng = np.random.default_rng(0)

    def slope(count: int) -> float:
        claims = rng.uniform(0.6, 0.9, count)
        found = calibrate([Evidence(c, 3 * c - 1.6 + rng.normal(0, 0.08)) for c in claims])
        assert found is not None
        return (found.expected(0.8)[0] - found.expected(0.7)[0]) / 0.1

    few, many = np.mean([slope(4) for _ in range(30)]), np.mean([slope(100) for _ in range(10)])
    assert 1 < few < many == pytest.approx(3, abs=0.25)


def test_one_failure_among_the_judged_images_does_not_spoil_the_others():
    good = [Evidence(c, c - 0.05) for c in np.linspace(0.8, 0.95, 7)]
    found = calibrate([*good, Evidence(0.93, 0.2)])
    assert found is not None and found.expected(0.9)[0] == pytest.approx(0.85, abs=0.03)


def test_claims_unlike_all_judged_ones_are_not_covered():
    found = calibrate([Evidence(c, c) for c in (0.80, 0.84, 0.9, 1.0)])
    assert found is not None and all(found.covers(c) for c in (0.76, 0.8, 0.87, 1.0))
    assert not any(found.covers(c) for c in (0.1, 0.6, 0.74))
    alike = calibrate([Evidence(0.9, 0.8)] * LEAST)
    assert alike is not None and alike.covers(0.86) and not alike.covers(0.8)


def test_a_range_is_as_wide_as_the_word_is_unreliable():
    rng = np.random.default_rng(0)
    truths = [boastful(c) for c in CLAIMS for _ in range(3)]
    widths = []
    for noise in (0.01, 0.2):
        told = [Evidence(c, t + rng.normal(0, noise)) for c, t in zip(np.repeat(CLAIMS, 3), truths)]
        found = calibrate(told)
        assert found is not None
        _, low, high = found.expected(0.95)
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_a_group_of_images_on_which_the_model_is_worse_is_expected_to_be_worse():
    here = [Evidence(c, boastful(c), "site a") for c in CLAIMS]
    there = [Evidence(c, boastful(c) - 0.3, "site b") for c in CLAIMS]
    found = calibrate([*here, *there])
    assert found is not None
    a, b, unknown = (found.expected(0.97, group)[0] for group in ("site a", "site b", "site c"))
    assert a - b > 0.2 and b < unknown < a


def test_confidence_of_voxels_becomes_the_share_that_was_right():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 20_000).astype(np.float32)
    right = rng.random(20_000) < confidence / 2  # twice as sure as it may be
    seen, hits = count_right(confidence, right)
    assert seen.sum() == 20_000 and len(seen) == BINS
    shares = shares_right(seen.tolist(), hits.tolist(), images=300)
    assert shares is not None and shares[9] == pytest.approx(0.475, abs=0.03)
    assert all(a <= b for a, b in zip(shares, shares[1:]))
    said = (np.arange(BINS) + 0.5) / BINS
    assert calibration_error(seen.tolist(), hits.tolist(), said.tolist()) == pytest.approx(0.375, abs=0.02)
    assert calibration_error(seen.tolist(), hits.tolist(), shares) < 0.01
    few = shares_right(seen.tolist(), hits.tolist(), images=3)
    assert few is not None and shares[9] < few[9] < said[9], "three images do not outweigh its own word"


def test_one_image_or_a_few_voxels_calibrate_no_confidence():
    assert shares_right([0] * 9 + [9000], [0] * 9 + [8000], images=1) is None
    assert shares_right([0] * 9 + [90], [0] * 9 + [80], images=3) is None
