"""Losses on (logits, Sample): one weight map goes into every sum, so w = 0 means exactly no gradient."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from learners.training.targets import OPEN_BACKGROUND

SMALL = 1e-5
REGIONS = (0, 1)  # what a sample's regions may be called


@dataclass(frozen=True)
class Sample:
    """An image batch with its own supervision, which no view or mix can separate from it."""

    x: Tensor  # (B, C, *S) pixels in 0..1
    y: Tensor  # (B, *S) int64 channel; anything where w is 0; OPEN_BACKGROUND
    w: Tensor  # (B, *S) trust
    v: Tensor  # (B, *S) 1 where a voxel counts in the mean, though its trust may be 0
    src: Tensor | None = None  # (B, *S) where each voxel came from, for tests
    box: Tensor | None = (
        None  # (B, *S) int64 number of the tight box a voxel lies in times 256, plus its channel
    )
    soft: Tensor | None = None  # (B, K, *S) probabilities of a teacher, for terms that agree with them
    apart: Tensor | None = None  # (B, 2C, *S) what tells objects apart, 0..1, and where each is known
    region: Tensor | None = None  # (B, *S) 0 or 1: parts whose losses are normalised apart, None: one part

    def __len__(self) -> int:
        return len(self.x)

    def of(self, rows: Tensor | slice) -> "Sample":
        return self.changed(lambda part: part[rows])

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Sample":
        """Every part changed alike; one that is there twice (`w` as `v`) once."""
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        done: dict[int, Any] = {id(part): change(part) for part in parts.values() if part is not None}
        new: dict[str, Any] = {name: done.get(id(part)) for name, part in parts.items()}
        return Sample(**new)

    def trusted(self, factor: float) -> "Sample":
        return replace(self, w=self.w * factor)


@dataclass(frozen=True)
class CEDice:
    """Half cross-entropy, half Dice. `late`: channels of classes that came after some slice was complete; `objects`:
    how many voxels of background one of an object outweighs."""

    late: tuple[int, ...] = ()
    objects: float = 1.0

    def __call__(self, logits: Tensor, sample: Sample) -> Tensor:
        logits = logits.float()
        if sample.region is None:
            return self._both(logits, sample)
        losses = [self._both(logits, _part(sample, part)) for part in REGIONS]
        there = [(sample.region == part).any() for part in REGIONS]
        return torch.stack(losses).sum() / torch.stack(there).sum()

    def _both(self, logits: Tensor, sample: Sample) -> Tensor:
        return 0.5 * (cross_entropy(logits, sample, self.late, self.objects) + dice(logits, sample))


def cross_entropy(logits: Tensor, sample: Sample, late: tuple[int, ...] = (), objects: float = 1.0) -> Tensor:
    """Weighted mean over the voxels that count. Open background may be background or any late class."""
    closed = torch.where(sample.y == OPEN_BACKGROUND, 0, sample.y)
    closed = torch.where(sample.w > 0, closed, 0)
    losses = F.cross_entropy(logits, closed, reduction="none")
    is_open = (sample.y == OPEN_BACKGROUND) & (sample.w > 0)
    if late:
        log_p = F.log_softmax(logits, 1)
        either = torch.logsumexp(log_p[:, [0, *late]], 1)
        losses = torch.where(is_open, -either, losses)
    counts = torch.where((sample.y > 0) & (sample.y < OPEN_BACKGROUND), objects, 1.0)
    return (losses * sample.w * counts).sum() / (sample.v * counts).sum().clamp_min(1)


def dice(logits: Tensor, sample: Sample) -> Tensor:
    """1 - Dice, the mean over the classes that the batch's targets have; scaled by the mean trust."""
    w = torch.where(sample.y == OPEN_BACKGROUND, 0, sample.w)
    p = logits.softmax(1)
    y = torch.where(w > 0, sample.y, 0)
    kinds = torch.arange(logits.shape[1], device=y.device).view(-1, *[1] * (y.dim() - 1))
    t = (y[:, None] == kinds).to(p.dtype)
    over = [0, *range(2, p.dim())]
    w = w[:, None]
    both, sizes = (w * p * t).sum(over), (w * (p + t)).sum(over)
    present = (w * t).sum(over) > 0
    scores = 1 - (2 * both + SMALL) / (sizes + SMALL)
    trust = w.sum() / sample.v.sum().clamp_min(1)
    return torch.where(present, scores, 0).sum() / present.sum().clamp_min(1) * trust.detach()


def _part(sample: Sample, part: float) -> Sample:
    assert sample.region is not None
    here = sample.region.eq(part).to(sample.w.dtype)
    return replace(sample, w=sample.w * here, v=sample.v * here, region=None)
