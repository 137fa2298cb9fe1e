"""Bidirectional copy-paste: a big box of a labelled image in an unlabelled one and the other way round.

Bai et al., "Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation", CVPR 2023. Stage 1 (copy-paste
among labels) is what runs until the teacher is good; stage 2 follows in the same job or the next round. Every part of
a mixed image is normalised by itself; pseudo-labels count alpha.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from learners.training.losses import Sample
from learners.training.mix import centre_mask, paste, rolled
from learners.training.trainer import Part, Recipe, StepContext

ALPHA = 0.5
LEAPS = 6  # twice what a smooth piece needs
BIGGEST_SHARE = 0.8  # a class whose biggest piece holds less of it is made of many objects: all are kept


def select(unlabelled: Sample, probabilities: Tensor, context: StepContext) -> Sample:
    """The teacher's classes without stray pieces, all trusted alike."""
    y = largest_pieces(probabilities.argmax(1), context.classes)
    return replace(unlabelled, y=y, w=unlabelled.v * ALPHA)


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """Each labelled patch is the centre of one mixed image and the frame of another, as is each unlabelled one, so a
    step shows all of both: of a batch of two, halves would show one labelled patch. One mask M for all."""
    sides = tuple(labelled.y.shape[1:])
    mask = centre_mask(sides, context.rng, device=labelled.w.device)
    a = context.views.strong(labelled, context.rng)
    b = rolled(a)
    if unlabelled is None:
        return [Part(_regions(paste(a, b, mask), mask))]
    u = context.views.strong(unlabelled, context.rng).trusted(context.weight)
    inward = _regions(paste(u, a, mask), mask)  # unlabelled frame, labelled centre
    outward = _regions(paste(b, u, mask), mask)  # labelled frame, unlabelled centre
    return [Part(inward), Part(outward)]


def largest_pieces(y: Tensor, classes: int) -> Tensor:
    """Per image and class the biggest connected piece, the first of equals; other pieces become background.
    A class that comes in many pieces (nuclei, lesions) is left alone."""
    return _by_processor(y, classes) if y.device.type == "cpu" else pieces_by_device(y, classes)


def _by_processor(y: Tensor, classes: int) -> Tensor:
    out = y.clone()
    for row in range(len(y)):
        for channel in range(1, classes):
            mask = (y[row] == channel).numpy()
            pieces, count = ndimage.label(mask)
            if count < 2:
                continue
            sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
            if sizes.max() < BIGGEST_SHARE * sizes.sum():
                continue
            stray = torch.from_numpy(mask & (pieces != int(sizes.argmax()) + 1))
            out[row][stray] = 0
    return out


def pieces_by_device(y: Tensor, classes: int) -> Tensor:
    """The same without a copy to the processor. Every voxel takes the highest number of its neighbourhood, tells it
    to the voxel whose number it had, and takes what that of its new number was told, so numbers spread by leaps. A
    piece too winding for `LEAPS` counts as several, and then more is left alone."""
    count = y[0].numel()  # numbers are exact in float32 up to 16 million voxels
    kinds = torch.arange(1, classes, device=y.device).view(-1, 1, *[1] * (y.dim() - 1))
    mask = (y == kinds).flatten(0, 1).flatten(1)  # a row for each class and image

    def voxel(number: Tensor) -> Tensor:
        return (count - number).long().clamp_max_(count - 1)

    number = torch.arange(count, 0, -1, device=y.device, dtype=torch.float32) * mask
    for _ in range(LEAPS):
        seen = _highest_around(number.view(-1, *y.shape[1:])).flatten(1) * mask
        told = seen.scatter_reduce(1, voxel(number), seen, "amax")
        number = told.gather(1, voxel(told)) * mask
    sizes = torch.zeros_like(number).scatter_add_(1, voxel(number), mask.float())
    clear = sizes.amax(1, keepdim=True) >= BIGGEST_SHARE * mask.sum(1, keepdim=True)
    stray = mask & clear & (count - number != sizes.argmax(1, keepdim=True))
    return y.masked_fill(stray.view(classes - 1, *y.shape).any(0), 0)


def _highest_around(number: Tensor) -> Tensor:
    """(B, *S) of each voxel and its neighbours across a side."""
    dims, highest = number.dim() - 1, number
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    for axis in range(dims):
        here = [int(a == axis) for a in range(dims)]
        around = pool(number[:, None], [1 + 2 * n for n in here], 1, here)[:, 0]
        highest = torch.maximum(highest, around)
    return highest


def _regions(mixed: Sample, mask: Tensor) -> Sample:
    return replace(mixed, region=mask.expand(len(mixed), *mask.shape[1:]))


def make() -> Recipe:
    return Recipe(mix=mix, select=select, weight=1.0)
