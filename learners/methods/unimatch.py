"""UniMatch V2 on a small U-Net: one network, its average as teacher, two strong streams of the same weak view.

Yang et al., "Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation", CVPR 2023, and
"UniMatch V2: Pushing the Limit of Semi-Supervised Semantic Segmentation", 2024. Kept: confident hard pseudo-labels,
CutMix in both streams, complementary channel dropout between them, half of the images undropped. Changed for minutes
instead of hours: the unlabelled weight grows with the job and opens only under a good teacher (see trainer.Gate).
"""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from learners.methods.supervised import labelled_part
from learners.training.losses import Sample
from learners.training.mix import cutmix
from learners.training.trainer import Part, Recipe, StepContext
from models.networks import Noise

TAU = 0.95
EASY_TAU, FEW = 0.9, 0.2  # where less than a fifth of the voxels are that sure, a little less will do


def select(unlabelled: Sample, probabilities: Tensor, context: StepContext) -> Sample:
    """mask_u_w and conf_u_w >= tau as targets and trust; v stays 1, so few confident voxels pull gently."""
    conf_u_w, mask_u_w = probabilities.max(1)
    conf_u_w = torch.nan_to_num(conf_u_w)
    sure = conf_u_w >= TAU
    sure = torch.where(sure.float().mean() < FEW, conf_u_w >= EASY_TAU, sure)
    return replace(unlabelled, y=mask_u_w, w=sure.float() * unlabelled.v)


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """img_x, and where the gate is open img_u_s1 and img_u_s2, each with its own look and its own boxes."""
    parts = [labelled_part(labelled, context)]
    if unlabelled is not None:
        for stream in (1, 2):
            img_u_s = context.views.strong(unlabelled, context.rng)
            parts.append(Part(cutmix(img_u_s, context.rng), context.weight / 2, stream))
    return parts


def noise(parts: list[Part], rng: Generator) -> Noise | None:
    """The same channels dropped in every level: what stream 1 loses, stream 2 keeps twice."""
    if not any(part.stream for part in parts):
        return None
    count = len(next(part.sample for part in parts if part.stream))
    kept = torch.randperm(count, generator=rng)[: count // 2]
    seed = int(torch.randint(0, 2**31 - 1, (), generator=rng))

    def drop(features: list[Tensor]) -> list[Tensor]:
        return [_masked(f, complementary(count, f.shape[1], kept, seed), parts) for f in features]

    return drop


def complementary(count: int, channels: int, kept: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """m1, m2 of (B, C) with m1 + m2 = 2: zero and two where dropped, ones for the images that are kept whole."""
    rng = torch.Generator().manual_seed(seed + channels)
    first = (torch.rand(count, channels, generator=rng) < 0.5).float() * 2
    first[kept] = 1.0
    return first, 2 - first


def _masked(features: Tensor, masks: tuple[Tensor, Tensor], parts: list[Part]) -> Tensor:
    rows = [
        masks[part.stream - 1] if part.stream else torch.ones(len(part.sample), features.shape[1])
        for part in parts
    ]
    mask = torch.cat(rows).to(features.device, features.dtype, non_blocking=True)
    return features * mask.view(*mask.shape, *[1] * (features.dim() - 2))


def make() -> Recipe:
    return Recipe(mix=mix, select=select, noise=noise, weight=1.0, average=0.996)
