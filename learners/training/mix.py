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


def rolled(sample: Sample) -> Sample:
    """Each image in the place of the next one, as its partner; one alone is its own."""
    return sample.changed(lambda part: torch.roll(part, 1, 0))


def cutmix_masks(sample: Sample, rng: Generator) -> Tensor:
    """(B, *S) on its device: 1 outside a box of each image."""
    keep = torch.ones_like(sample.w)
    for row, box in random_boxes(sample, rng, 1.0):
        keep[row][box] = 0
    return keep


def random_boxes(sample: Sample, rng: Generator, chance: float) -> list[tuple[int, tuple[slice, ...]]]:
    """By chance an image gets one, of 2 to 40 per cent of the picture, aspect 0.3 to 3.3."""
    sides, boxes = tuple(sample.y.shape[1:]), []
    for row in (torch.rand(len(sample), generator=rng) < chance).nonzero()[:, 0].tolist():
        share = 0.02 + 0.38 * float(torch.rand((), generator=rng))
        stretch = torch.exp((torch.rand(len(sides), generator=rng) * 2 - 1) * math.log(1 / 0.3) / 2)
        stretch = stretch / stretch.prod() ** (1 / len(sides))
        lengths = [
            min(n, max(1, round(n * share ** (1 / len(sides)) * s))) for n, s in zip(sides, stretch.tolist())
        ]
        boxes.append((row, _place(sides, lengths, rng)))
    return boxes


def centre_mask(
    sides: tuple[int, ...], rng: Generator, share: float = 2 / 3, device: torch.device | str = "cpu"
) -> Tensor:
    """(1, *S) 0 inside one box of `share` of each side, shared by the batch, as in BCP."""
    keep = torch.ones(1, *sides, device=device)
    keep[0][_place(sides, [max(1, int(n * share)) for n in sides], rng)] = 0
    return keep


def cutmix(sample: Sample, rng: Generator, chance: float = 0.5) -> Sample:
    """Boxes of another image of the same batch pasted in. A batch of one has no partner and stays as it is."""
    if len(sample) < 2:
        return sample
    boxes = random_boxes(sample, rng, chance)

    def pasted(part: Tensor) -> Tensor:
        out = part.clone()
        for row, box in boxes:
            here = (slice(None),) * (part.dim() - 1 - len(box)) + box
            out[row][here] = part[row - 1][here]
        return out

    return sample.changed(pasted) if boxes else sample


def _place(sides: tuple[int, ...], lengths: list[int], rng: Generator) -> tuple[slice, ...]:
    starts = [int(torch.randint(0, n - k + 1, (), generator=rng)) for n, k in zip(sides, lengths)]
    return tuple(slice(start, start + k) for start, k in zip(starts, lengths))
