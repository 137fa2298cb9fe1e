"""A proposal gets new outlines: better where they were off by a little, and never by a single direction's word."""

import time
from dataclasses import replace

import numpy as np
import pytest

from learners.propagate.contract import PropagationCancelled, PropagationInput, RunControl
from learners.propagate.fused import Prior
from learners.propagate.redrawn import redraw, redrawable
from models.builtin import BuiltIn
from storage.arrays import UNLABELLED
from tests.annotator.filling.test_corrected_proposals import SHAPE, SPACING, like_an_atlas, mean_dice, scan_of


def case() -> tuple[PropagationInput, np.ndarray, Prior]:
    scan, truth = scan_of(SHAPE, "volume")
    bent = like_an_atlas(truth, 0.75)
    known = np.full(SHAPE, UNLABELLED, np.uint8)
    given = PropagationInput(scan.pixels, known, (), SPACING)
    return given, truth, Prior(bent, np.full(SHAPE, 128, np.uint8))


def test_outlines_that_are_off_by_a_little_are_better_after_it():
    given, truth, prior = case()
    shares: list[float] = []
    found = redraw(given, prior, BuiltIn(), RunControl(progress=shares.append))
    assert mean_dice(found.classes, truth) > mean_dice(prior.classes, truth) + 0.05
    assert set(np.unique(found.classes)) <= {0, 1, 2} and found.finished
    assert shares == sorted(shares) and shares[-1] > 0.9


def test_what_there_is_no_time_for_stays():
    given, _, prior = case()
    found = redraw(given, prior, BuiltIn(), RunControl(deadline=time.monotonic() - 1))
    assert (found.classes == prior.classes).all() and not found.finished
    with pytest.raises(PropagationCancelled):
        redraw(given, prior, BuiltIn(), RunControl(cancelled=lambda: True))


def test_thick_slices_and_pictures_are_refused():
    given, _, prior = case()
    assert not redrawable((1, 40, 60), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="too far apart"):
        redraw(replace(given, spacing_mm=(7.5, 0.5, 0.5)), prior, BuiltIn())
