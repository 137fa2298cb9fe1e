"""DeSCO: two networks, each believing what was propagated along one plane, teach each other on unlabelled volumes.

Cai et al., "Orthogonal Annotation Benefits Barely-supervised Medical Image Segmentation", CVPR 2023. Kept: trust in
propagated voxels falls with the distance along the network's own plane and with training until only the labelled slices
are left (`training.targets`); the other network's classes as pseudo-labels where it stays sure under noise, with a
weight that grows. Changed: any propagator and any labelled slices; both networks take the same fill and differ by the
plane that they believe it along; what is believed ages with the rounds that saw a volume's fill; the batch is shared
out between the networks, since seconds count; two noisy passes instead of eight, without dropout; both networks slow
down alike.
"""

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor

from learners.patches.pools import Pools
from learners.training.augment import normal_like
from learners.training.losses import Sample, cross_entropy
from learners.training.plan import Plan
from learners.training.state import TrainingState
from learners.training.targets import LIFE, up
from learners.training.trainer import Recipe, StepContext, TrainingJob, forward_logits
from models.networks import NetworkSpec, UNet

PEER = "second"
WEIGHT = 0.1  # of the exchange at most
MIN_WEIGHT = 0.005  # an exchange that weighs less is not worth its time
PASSES = 2
NOISE, CLIP = 0.1, 0.2  # of a patch's own spread


def co_train(job: TrainingJob, state: TrainingState, context: StepContext) -> Tensor:
    """Each network on its own labelled patches, both on the same unlabelled ones."""
    nets = (state.student, state.peers[PEER])
    share = max(1, job.plan.batch // 2)
    lam = context.weight * up(job.rounds, LIFE)
    loss = torch.zeros((), device=job.plan.device)
    for net, axis in zip(nets, own_planes(job.pools.planes()), strict=True):
        labelled = job.views.strong(job.labelled(share, context, (axis,)), context.rng)
        loss = loss + (1 - lam) * job.loss(forward_logits(net, labelled.x, job.plan), labelled)
    if lam < MIN_WEIGHT:
        return loss
    unlabelled = job.views.weak(job.pools.unlabelled(share), context.rng)
    for net, peer in (nets, nets[::-1]):
        taught = exchanged(peer, unlabelled, job.plan, up(job.rounds, LIFE), context.rng)
        job.gate.watch(replace(taught, w=unlabelled.v), context.progress)
        loss = loss + lam * cross_entropy(forward_logits(net, unlabelled.x, job.plan), taught)
    return loss


def own_planes(planes: tuple[int, ...]) -> tuple[int, int]:
    """The plane of each network: the two with most labelled slices, twice the same where there is only one."""
    first = planes[0] if planes else 0
    return first, planes[1] if len(planes) > 1 else first


def exchanged(peer: UNet, unlabelled: Sample, plan: Plan, grown: float, rng: Generator) -> Sample:
    """The peer's classes on the clean patch, trusted where its noisy answers are sure enough. No gradient to it."""
    with torch.no_grad():
        clean = forward_logits(peer, unlabelled.x, plan)
        noisy = [forward_logits(peer, noised(unlabelled.x, rng), plan).softmax(1) for _ in range(PASSES)]
    mean = torch.stack(noisy).mean(0)
    w = (entropy(mean) < most_entropy(clean.shape[1], grown)).float() * unlabelled.v
    return replace(unlabelled, y=clean.argmax(1), w=w, v=w)


def noised(x: Tensor, rng: Generator) -> Tensor:
    """(B, C, *S) with noise of a tenth of each patch's spread."""
    spread = x.flatten(1).std(1).view(-1, *[1] * (x.dim() - 1))
    return x + (normal_like(x, rng) * NOISE).clamp(-CLIP, CLIP) * spread


def entropy(p: Tensor) -> Tensor:
    """(B, K, *S) probabilities to (B, *S) nats."""
    return -(p * p.clamp_min(1e-8).log()).sum(1)


def most_entropy(classes: int, grown: float) -> float:
    """Three quarters of what is possible at first, in the end all of it; a hair more, so that all is less."""
    return (0.75 + 0.25 * grown) * math.log(classes) + 1e-6


def second(plan: Plan, pools: Pools) -> dict[str, NetworkSpec]:
    return {PEER: plan.network}


def make() -> Recipe:
    return Recipe(together=co_train, peers=second, fills=True, weight=WEIGHT, ramp=0.0, good_teacher=0.0)
