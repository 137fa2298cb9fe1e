"""Bidirectional copy-paste: a big box of a labelled image in an unlabelled one and the other way round.

Bai et al., "Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation", CVPR 2023. Stage 1 (copy-paste
among labels) is what runs until the teacher is good; stage 2 follows in the same job or the next round. Every part of
a mixed image is normalised by itself; pseudo-labels count alpha.
"""

from dataclasses import replace

import torch
from scipy import ndimage
from torch import Tensor

from learners.training.losses import Sample
from learners.training.mix import centre_mask, paste
from learners.training.trainer import Part, Recipe, StepContext

ALPHA = 0.5
BIGGEST_SHARE = 0.8  # a class whose biggest piece holds less of it is made of many objects: all are kept


def select(unlabelled: Sample, probabilities: Tensor, context: StepContext) -> Sample:
    """The teacher's classes without stray pieces, all trusted alike."""
    y = largest_pieces(probabilities.argmax(1), context.classes)
    return replace(unlabelled, y=y, w=unlabelled.v * ALPHA)


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """a, b: two labelled batches; u_a, u_b: two unlabelled ones; one mask M for all."""
    sides = tuple(labelled.y.shape[1:])
    mask = centre_mask(sides, context.rng).to(labelled.w.device)
    a, b = _halves(context.views.strong(labelled, context.rng))
    if unlabelled is None:
        return [Part(_regions(paste(a, b, mask), mask))]
    u_a, u_b = _halves(context.views.strong(unlabelled, context.rng))
    inward = _regions(paste(u_a, a, mask), mask)  # unlabelled frame, labelled centre
    outward = _regions(paste(b, u_b, mask), mask)  # labelled frame, unlabelled centre
    plain = Part(_regions(paste(a, b, mask), mask), 1 - context.weight)
    return [plain, Part(inward, context.weight), Part(outward, context.weight)]


def largest_pieces(y: Tensor, classes: int) -> Tensor:
    """Per image and class the biggest connected piece, the first of equals; other pieces become background.
    A class that comes in many pieces (nuclei, lesions) is left alone."""
    out = y.clone()
    for row in range(len(y)):
        for channel in range(1, classes):
            mask = (y[row] == channel).cpu().numpy()
            pieces, count = ndimage.label(mask)
            if count < 2:
                continue
            sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
            if sizes.max() < BIGGEST_SHARE * sizes.sum():
                continue
            stray = torch.from_numpy(mask & (pieces != int(sizes.argmax()) + 1)).to(y.device)
            out[row][stray] = 0
    return out


def _halves(sample: Sample) -> tuple[Sample, Sample]:
    """Two batches of the same size; with one image it is its own partner."""
    half = max(1, len(sample) // 2)
    rows = torch.arange(len(sample))
    return sample.of(rows[:half]), sample.of(rows[-half:])


def _regions(mixed: Sample, mask: Tensor) -> Sample:
    return replace(mixed, region=mask.expand(len(mixed), *mask.shape[1:]))


def make() -> Recipe:
    return Recipe(mix=mix, select=select)
