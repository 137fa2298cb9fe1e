"""Learning from scribbles, clicks and boxes: partial cross-entropy, and two priors for what nobody drew.

Where nobody said anything the loss of the labels is silent. A gated CRF (Obukhov et al., "Gated CRF Loss for Weakly
Supervised Semantic Image Segmentation", 2019) asks neighbours of like colour to be of like class. For a tight box a
projection prior (Hsu et al., NeurIPS 2019; Tian et al., "BoxInst", CVPR 2021) asks every row and column of the box to
hold some of its object.
"""

from itertools import product

import torch
from torch import Tensor

from learners.training.losses import Sample
from learners.training.trainer import Part, Recipe, StepContext

COLOUR = 0.1  # intensities (0..1) this far apart are different things
REACH = 3.0  # voxels over which likeness fades
STEPS = (1, 2, 4)
CRF_WEIGHT = 0.3
BOX_WEIGHT = 1.0
FILLED = 0.3  # of a tight box at least


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """No copy-paste: it would cut boxes apart, and scribbles are too thin to lose."""
    return [Part(context.views.strong(labelled, context.rng))]


def gated_crf(logits: Tensor, sample: Sample, context: StepContext) -> Tensor:
    """Grows with the job: before the network knows anything, all of one class would please it best."""
    return CRF_WEIGHT * context.progress * crf_energy(logits.softmax(1), sample.x)


def crf_energy(p: Tensor, x: Tensor) -> Tensor:
    """Mean over pairs of neighbours of likeness x disagreement; (B, K, *S) probabilities, (B, C, *S) pixels."""
    total, weights = p.new_zeros(()), p.new_zeros(())
    for offset in _offsets(p.dim() - 2):
        a, b = _shifted(offset)
        if any(abs(o) >= n for o, n in zip(offset, p.shape[2:])):
            continue
        apart = (x[a] - x[b]).square().mean(1)
        fade = sum(o * o for o in offset) / (2 * REACH**2)
        like = torch.exp(-apart / (2 * COLOUR**2) - fade)
        total = total + (like * (1 - (p[a] * p[b]).sum(1))).sum()
        weights = weights + like.sum()
    return total / weights.clamp_min(1e-6)


def box_projection(logits: Tensor, sample: Sample, context: StepContext) -> Tensor:
    """For each tight box: every row and column holds its class somewhere, and the box is not nearly empty."""
    if sample.box is None:
        return logits.new_zeros(())
    p, losses = logits.softmax(1), []
    for row in range(len(sample)):
        for code in torch.unique(sample.box[row]).tolist():
            if code:
                losses.append(_one_box(p[row, code % 256], sample.box[row] == code))
    return BOX_WEIGHT * torch.stack(losses).mean() if losses else logits.new_zeros(())


def _one_box(p: Tensor, inside: Tensor) -> Tensor:
    """(*S) probabilities of the box's class, (*S) where the box is."""
    held = torch.where(inside, p, 0)
    loss = p.new_zeros(())
    for axis in range(p.dim()):
        others = tuple(a for a in range(p.dim()) if a != axis)
        there = inside.any(dim=others[0]) if len(others) == 1 else inside.amax(dim=others)
        most = held.amax(dim=others)[there]
        loss = loss - torch.log(most.clamp_min(1e-4)).mean() / p.dim()
    return loss + torch.relu(FILLED - p[inside].mean())


def _offsets(dims: int) -> list[tuple[int, ...]]:
    """Each pair of neighbours once: half of the directions, at several distances."""
    directions = [d for d in product((-1, 0, 1), repeat=dims) if d > (0,) * dims]
    if dims == 3:
        directions = [d for d in directions if sum(map(abs, d)) == 1]
    return [tuple(step * n for n in d) for step in STEPS for d in directions]


def _shifted(offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    a = tuple(slice(max(0, o), min(0, o) or None) for o in offset)
    b = tuple(slice(max(0, -o), min(0, -o) or None) for o in offset)
    everything = (slice(None), slice(None))
    return (*everything, *a), (*everything, *b)


def make() -> Recipe:
    return Recipe(mix=mix, extras=(gated_crf, box_projection), axis_aligned=True)
