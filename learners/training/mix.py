"""Mixes of two batches by a mask: image, target, trust and origin go together, so none can get another's label."""

import math
from dataclasses import fields
from typing import Any

import torch
from torch import Generator, Tensor

from learners.training.losses import Sample


def paste(frame: Sample, centre: Sample, keep: Tensor) -> Sample:
    """The frame where `keep` (B, *S) or (1, *S) is 1, the centre where it is 0."""
    parts: dict[str, Any] = {}
    for field in fields(Sample):
        a, b = getattr(frame, field.name), getattr(centre, field.name)
        if a is None or b is None:
            parts[field.name] = None
            continue
        mask = (keep[:, None] if a.dim() > keep.dim() else keep).bool()
        parts[field.name] = torch.where(mask, a, b)
    return Sample(**parts)


def cutmix_masks(count: int, sides: tuple[int, ...], rng: Generator) -> Tensor:
    """(B, *S) 1 outside a random box of 2 to 40 per cent of the picture, aspect 0.3 to 3.3."""
    keep = torch.ones(count, *sides)
    for row in range(count):
        share = 0.02 + 0.38 * float(torch.rand((), generator=rng))
        stretch = torch.exp((torch.rand(len(sides), generator=rng) * 2 - 1) * math.log(1 / 0.3) / 2)
        stretch = stretch / stretch.prod() ** (1 / len(sides))
        lengths = [
            min(n, max(1, round(n * share ** (1 / len(sides)) * float(s)))) for n, s in zip(sides, stretch)
        ]
        keep[row][_place(sides, lengths, rng)] = 0
    return keep


def centre_mask(sides: tuple[int, ...], rng: Generator, share: float = 2 / 3) -> Tensor:
    """(1, *S) 0 inside one box of `share` of each side, shared by the batch, as in BCP."""
    keep = torch.ones(1, *sides)
    keep[0][_place(sides, [max(1, int(n * share)) for n in sides], rng)] = 0
    return keep


def cutmix(sample: Sample, rng: Generator, chance: float = 0.5) -> Sample:
    """Boxes of another image of the same batch pasted in. A batch of one has no partner and stays as it is."""
    if len(sample) < 2:
        return sample
    partner = sample.of(torch.roll(torch.arange(len(sample)), 1))
    keep = cutmix_masks(len(sample), tuple(sample.y.shape[1:]), rng)
    skip = torch.rand(len(sample), generator=rng) >= chance
    keep[skip] = 1
    return paste(sample, partner, keep.to(sample.w.device))


def _place(sides: tuple[int, ...], lengths: list[int], rng: Generator) -> tuple[slice, ...]:
    starts = [int(torch.randint(0, n - k + 1, (), generator=rng)) for n, k in zip(sides, lengths)]
    return tuple(slice(start, start + k) for start, k in zip(starts, lengths))
