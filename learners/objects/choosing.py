"""Whether a network tells objects apart better than the shape of its masks does: seen on what it was taught.

After few steps depth and nearness are vague, and cutting masks by shape finds more of the true objects; where shape
tells nothing the network is ahead soon. Held-out labels have no part in this: they judge what comes of it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learners.objects.assemble import assemble
from learners.objects.judging import HeldObjects, added
from learners.objects.scale import ObjectScale
from learners.objects.scores import ObjectCounts
from learners.prediction.predict import proposed_and_apart
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import OPEN_BACKGROUND, Classes, without_slices
from models.networks import UNet
from storage.arrays import BACKGROUND, open_npy

VOXELS = 600_000  # looked at in all, the first image always
GAIN = 0.02  # of AP that the network must be ahead


def chosen_assembly(
    network: UNet, cases: Sequence[ImageReader], plan: Plan, classes: Classes
) -> ObjectScale | None:
    """The plan's scale with the better way; None where the plan tells nothing apart."""
    scale = plan.objects
    if scale is None:
        return None
    counts: dict[bool, dict[int, ObjectCounts]] = {True: {}, False: {}}
    for case in _some(cases):
        held = _taught(case)
        proposed, apart = proposed_and_apart(network, case, plan, classes)
        for by_shape in counts:
            found = assemble(proposed, apart, replace(scale, by_shape=by_shape), case.example.spacing_mm)
            judged = held.judge(found.classes, found.numbers, scale.class_ids)
            counts[by_shape] = added(counts[by_shape], judged)
    shape, own = (_mean_ap(counts[by_shape]) for by_shape in (True, False))
    return replace(scale, by_shape=own <= shape + GAIN)


def _some(cases: Sequence[ImageReader]) -> list[ImageReader]:
    """Images with numbered objects that may be learned from, the newest first."""
    numbered = [
        c for c in cases if c.labelled and c.example.numbers is not None and c.example.known is not None
    ]
    found: list[ImageReader] = []
    voxels = 0
    for case in reversed(numbered):
        voxels += int(np.prod(case.example.shape))
        if not found or voxels <= VOXELS:
            found.append(case)
    return found


def _taught(case: ImageReader) -> HeldObjects:
    example = case.example
    assert example.known is not None and example.numbers is not None
    known = np.array(without_slices(open_npy(example.known), example.held))
    known[known == OPEN_BACKGROUND] = BACKGROUND
    return HeldObjects(known, open_npy(example.numbers), example.spacing_mm)


def _mean_ap(counts: dict[int, ObjectCounts]) -> float:
    scores = [each.mean_ap for each in counts.values() if each.mean_ap is not None]
    return float(np.mean(scores)) if scores else 0.0
