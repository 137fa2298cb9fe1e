"""Cross-teaching between one 3D network and two 2D networks that look at the volume slice by slice in two planes.

Cai et al., "3D Medical Image Segmentation with Sparse Annotation via Cross-Teaching between 3D and 2D Networks",
MICCAI 2023. Kept: consistent label fusion (2D to 3D), the hard-soft threshold by how well the 3D network does on the
labelled voxels of the patch (3D to 2D), labels before pseudo-labels, a weight that grows. Changed: the planes are the
two with most labelled slices; what was propagated counts where it is trusted more than a pseudo-label; the 2D networks
are the 3D one without its third axis, and see all slices of the patch as one batch.
"""

from dataclasses import replace

import torch
from torch import Tensor

from learners.methods.desco import own_planes
from learners.patches.pools import Pools
from learners.spec import Unready
from learners.training.losses import Sample
from learners.training.plan import Plan
from learners.training.state import TrainingState
from learners.training.targets import LIFE, up
from learners.training.trainer import Recipe, StepContext, TrainingJob, forward_logits
from models.networks import NetworkSpec

FIRST, SECOND = "first-plane", "second-plane"
WEIGHT = 0.1
HARD, SOFT = 0.9, 0.7  # how sure the 3D network must be, and how sure once it is right about the labels
RIGHT = 0.98  # share of the labelled voxels of a patch


def cross_teach(job: TrainingJob, state: TrainingState, context: StepContext) -> Tensor:
    """Three networks on the same labelled patches; each learns from what the others are sure of."""
    planes = planes_of(job.pools.planes())
    drawn = job.views.strong(job.labelled(job.plan.batch, context), context.rng)
    p3 = forward_logits(state.student, drawn.x, job.plan)
    flat = []
    for name, axis in zip((FIRST, SECOND), planes, strict=True):
        logits = forward_logits(state.peers[name], as_slices(drawn.x, axis), job.plan)
        flat.append(as_volume(logits, len(drawn), axis))
    lam = context.weight * up(job.rounds, LIFE)
    to_3d, to_2d = exchanged(drawn, p3.detach(), [f.detach() for f in flat], lam)
    job.gate.watch(replace(drawn, y=p3.detach().argmax(1)), context.progress, drawn)
    return job.loss(p3, to_3d) + sum((job.loss(f, to_2d) for f in flat), p3.new_zeros(()))


def exchanged(drawn: Sample, p3: Tensor, flat: list[Tensor], lam: float) -> tuple[Sample, Sample]:
    """What the 3D network and what both 2D networks learn from, given everybody's logits (B, K, *S)."""
    (s3, l3), (s_a, l_a), (s_b, l_b) = (logits.softmax(1).max(1) for logits in (p3, *flat))
    sure = confident(s3, quality(l3, drawn))
    return (
        filled_in(drawn, l_a, consistent((l_a, l_b, l3), (s_a, s_b, s3)), lam),
        filled_in(drawn, l3, sure, lam),
    )


def consistent(labels: tuple[Tensor, Tensor, Tensor], sure: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Where both 2D networks agree, unless the 3D one disagrees and is surer than either."""
    l_a, l_b, l3 = labels
    s_a, s_b, s3 = sure
    return (l_a == l_b) & ~((l_a != l3) & (s3 > s_a) & (s3 > s_b))


def confident(s3: Tensor, q: Tensor) -> Tensor:
    """Where the 3D network is surer than the hard threshold, or than the soft one in patches it has earned it in."""
    threshold = torch.where(q > RIGHT, SOFT, HARD).to(s3)
    return s3 > threshold.view(-1, *[1] * (s3.dim() - 1))


def quality(l3: Tensor, drawn: Sample) -> Tensor:
    """(B,) share of the voxels that people labelled on which the 3D network is right; 0 without any."""
    human = (drawn.w == 1).flatten(1)
    right = (l3 == drawn.y).flatten(1) & human
    return right.sum(1) / human.sum(1).clamp_min(1)


def filled_in(drawn: Sample, labels: Tensor, chosen: Tensor, lam: float) -> Sample:
    """The labels, and pseudo-labels of weight `lam` where nothing is trusted more."""
    here = chosen & (drawn.w < lam)
    w = torch.where(here, torch.full_like(drawn.w, lam), drawn.w)
    return replace(drawn, y=torch.where(here, labels, drawn.y), w=w, v=w)


def as_slices(x: Tensor, axis: int) -> Tensor:
    """(B, C, z, y, x) to (B * n, C, rows, columns): the n slices along an axis of the volume."""
    return x.movedim(axis + 2, 1).flatten(0, 1)


def as_volume(x: Tensor, count: int, axis: int) -> Tensor:
    """The way back, for a batch of `count`."""
    return x.unflatten(0, (count, -1)).movedim(1, axis + 2)


def planes_of(planes: tuple[int, ...]) -> tuple[int, int]:
    """Two different ones: those with most labelled slices, then any."""
    first, second = own_planes(planes)
    return first, second if second != first else next(a for a in (0, 1, 2) if a != first)


def flat_networks(plan: Plan, pools: Pools) -> dict[str, NetworkSpec]:
    """The 3D network's shape without the axis across each plane. Raises Unready for pictures."""
    if plan.dims != 3:
        raise Unready("cross-teaching needs volumes whose slices lie close together; choose another learner")
    axes = dict(zip((FIRST, SECOND), planes_of(pools.planes()), strict=True))
    return {name: without_axis(plan.network, axis) for name, axis in axes.items()}


def without_axis(network: NetworkSpec, axis: int) -> NetworkSpec:
    strides = tuple((*stride[:axis], *stride[axis + 1 :]) for stride in network.strides)
    return replace(network, dims=2, strides=strides)


def make() -> Recipe:
    return Recipe(
        together=cross_teach, peers=flat_networks, fills=True, weight=WEIGHT, ramp=0.0, good_teacher=0.0
    )
