"""Mean Teacher: the student's probabilities should be those of its average on a noisy copy of the same image.

Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, as SSL4MIS has it for segmentation: soft
targets, mean squared error. Here with the strong look for the student (weak to strong), as a soft option beside
UniMatch's hard pseudo-labels. The teacher is in eval mode and never gets a gradient.
"""

from dataclasses import replace

from torch import Tensor

from learners.methods.supervised import labelled_part
from learners.training.losses import Sample
from learners.training.trainer import Part, Recipe, StepContext


def select(unlabelled: Sample, probabilities: Tensor, context: StepContext) -> Sample:
    """The teacher's probabilities, kept whole: y only tells the collapse guard what they amount to."""
    return replace(unlabelled, y=probabilities.argmax(1), w=unlabelled.v, soft=probabilities)


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    parts = [labelled_part(labelled, context)]
    if unlabelled is not None:
        parts.append(Part(context.views.strong(unlabelled, context.rng), context.weight))
    return parts


def consistency(logits: Tensor, sample: Sample) -> Tensor:
    """Mean squared difference of the probabilities over the voxels that count, summed over classes."""
    assert sample.soft is not None
    apart = (logits.float().softmax(1) - sample.soft).square().sum(1)
    return (apart * sample.w).sum() / sample.v.sum().clamp_min(1)


def make() -> Recipe:
    return Recipe(mix=mix, select=select, soft_loss=consistency, weight=1.0)
