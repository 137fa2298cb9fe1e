"""ST++: train again on what the last model wrote about the images it is most settled on.

Yang et al., "ST++: Make Self-training Work Better for Semi-supervised Semantic Segmentation", CVPR 2022. The rounds
are its stages, so nothing is squeezed into one job: the first round is supervised and predicts every image with its
snapshots at a third and two thirds; the stability of the three predictions ranks the images (`reliable` in
learners/training/data.py), and the next rounds train on the more stable half, with strong looks and holes (Cutout).
Where the paper starts each stage from scratch, a round here goes on from the last weights: there are minutes, not
hours.
"""

from dataclasses import replace

from learners.methods.supervised import labelled_part
from learners.training.losses import Sample
from learners.training.mix import cutmix_masks
from learners.training.trainer import Part, Recipe, StepContext


def select(unlabelled: Sample, probabilities: object, context: StepContext) -> Sample:
    """The targets were made offline and come with the sample."""
    return unlabelled


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    parts = [labelled_part(labelled, context)]
    if unlabelled is not None:
        parts.append(Part(cutout(context.views.strong(unlabelled, context.rng), context), context.weight))
    return parts


def cutout(sample: Sample, context: StepContext) -> Sample:
    """A hole of 2 to 40 per cent in every other image; nothing is learned inside it."""
    keep = cutmix_masks(sample, context.rng)
    keep[1::2] = 1
    fill = sample.x.mean(list(range(2, sample.x.dim())), keepdim=True)
    x = sample.x * keep[:, None] + fill * (1 - keep[:, None])
    return replace(sample, x=x, w=sample.w * keep, v=sample.v * keep)


def make() -> Recipe:
    return Recipe(mix=mix, select=select, source="pseudo", weight=1.0)
