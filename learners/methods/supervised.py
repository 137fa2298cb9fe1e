"""Supervised training done well: strong looks, labelled copy-paste, averaged weights. The one to beat.

Labelled CutMix is stage 1 of BCP (Bai et al., CVPR 2023) with CutMix's boxes (Yun et al., ICCV 2019).
"""

from learners.training.losses import Sample
from learners.training.mix import cutmix
from learners.training.trainer import Part, Recipe, StepContext


def labelled_part(labelled: Sample, context: StepContext) -> Part:
    """What every method does with the labels: mix them among themselves and change their look."""
    return Part(context.views.strong(cutmix(labelled, context.rng), context.rng))


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    return [labelled_part(labelled, context)]


def make() -> Recipe:
    return Recipe(mix=mix)
