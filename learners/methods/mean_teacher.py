"""Mean Teacher: the student's probabilities should be those of its average on a noisy copy of the same image.

Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, as SSL4MIS has it for segmentation: soft
targets, mean squared error. Here with the strong look for the student (weak to strong), as a soft option beside
UniMatch's hard pseudo-labels. The teacher is in eval mode and never gets a gradient.
"""

from dataclasses import replace

from torch import Tensor

from learners.methods.supervised import mix
from learners.training.losses import Sample
from learners.training.trainer import Recipe, StepContext


def select(unlabelled: Sample, probabilities: Tensor, context: StepContext) -> Sample:
    """The teacher's probabilities, kept whole: y only tells the collapse guard what they amount to."""
    return replace(unlabelled, y=probabilities.argmax(1), w=unlabelled.v, soft=probabilities)


def consistency(logits: Tensor, sample: Sample, context: StepContext) -> Tensor:
    """Mean squared difference of the probabilities over the voxels that count, summed over classes."""
    assert sample.soft is not None
    apart = (logits.float().softmax(1) - sample.soft).square().sum(1)
    return (apart * sample.w).sum() / sample.v.sum().clamp_min(1)


def make() -> Recipe:
    return Recipe(mix=mix, select=select, unlabelled_term=consistency, weight=1.0)
