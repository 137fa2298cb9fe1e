"""Whether the labels of a volume have come to say more than what was proposed for it, judged on slices left out."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from learners.propagate.contract import FilledVolume, LabelledSlice, PropagationInput, RunControl
from learners.propagate.fused import Prior, fuse
from storage.arrays import UNLABELLED, plane

MIN_SLICES = 3  # labelled slices: with fewer a fill from the labels alone cannot be judged
MIN_JUDGES = 2
JUDGES = 3  # slices that are left out, one at a time; all must agree
BETTER = 0.8  # of the other's wrong pixels, on each of them: less is chance
FillAlone = Callable[[PropagationInput, RunControl], FilledVolume]


def labels_suffice(
    case: PropagationInput,
    prior: Prior,
    fill_alone: FillAlone,
    run: RunControl,
    *,
    before: bool,
    judges: tuple[LabelledSlice, ...] | None = None,
) -> bool:
    """Whether a fill by the labels alone is closer to slices that it does not know than the corrected proposal is.

    `before` is the last answer, which holds where the slices disagree. `judges`: slices that whoever made the proposal
    has not learned from, None for all; of fewer than MIN_JUDGES nothing is learned, and the last answer holds too.
    Costs as many fills and corrections as there are judges, and half of the time at most. Raises PropagationCancelled.
    """
    judges = case.slices if judges is None else judges
    if len(case.slices) < MIN_SLICES or len(judges) < MIN_JUDGES:
        return before  # what is on screen stays until something was shown to be better
    now = time.monotonic()
    run = replace(run, deadline=now + (run.deadline - now) / 2)  # the rest is for the fill itself
    wrong = []  # per judge, of labels alone and of the corrected proposal
    for judge in _spread(judges):
        left = without(case, judge)
        if not left.classes or run.out_of_time:
            return before
        truth = plane(case.known, judge.axis, judge.index)
        asked = (plane(left.known, judge.axis, judge.index) == UNLABELLED) & (truth != UNLABELLED)
        tried = fill_alone(left, run).classes, fuse(left, prior, run).classes
        wrong.append([int((plane(t, judge.axis, judge.index) != truth)[asked].sum()) for t in tried])
    if before:
        return not all(corrected < BETTER * alone for alone, corrected in wrong)
    return all(alone < BETTER * corrected for alone, corrected in wrong)


def without(case: PropagationInput, left_out: LabelledSlice) -> PropagationInput:
    """The case before somebody labelled this slice."""
    known, rest = case.known.copy(), tuple(s for s in case.slices if s != left_out)
    plane(known, left_out.axis, left_out.index)[...] = UNLABELLED
    for s in rest:
        plane(known, s.axis, s.index)[...] = plane(case.known, s.axis, s.index)
    return replace(case, known=known, slices=rest)


def _spread(slices: tuple[LabelledSlice, ...]) -> list[LabelledSlice]:
    """Some of them, not all beside one another."""
    at = np.linspace(0, len(slices) - 1, min(JUDGES, len(slices))).round().astype(int)
    return [slices[k] for k in dict.fromkeys(at.tolist())]
