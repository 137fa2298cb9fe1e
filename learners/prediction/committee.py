"""Several networks that answer together, each also on the mirrored image: their probabilities are averaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

import torch
from torch import Tensor

from models.networks import UNet


@dataclass(frozen=True)
class Committee:
    """Networks of one shape. `mirror`: axes of the volume (z 0, y 1, x 2) along which a mirrored image means the same;
    every combination of them is asked."""

    networks: tuple[UNet, ...]
    mirror: tuple[int, ...] = ()

    def eval(self) -> "Committee":
        for network in self.networks:
            network.eval()
        return self


class Said(NamedTuple):
    """What networks say of a batch."""

    p: Tensor  # (B, K, *S) float32 probabilities
    features: Tensor  # the coarsest ones of the first network
    apart: Tensor | None  # (B, 2, *S) in 0..1 what tells objects apart, where it was asked


def answered(network: UNet | Committee, batch: Tensor) -> Said:
    """Of (B, C, *S) pixels, averaged over networks and mirrored images."""
    members = network.networks if isinstance(network, Committee) else (network,)
    views = list(_flips(network.mirror if isinstance(network, Committee) else (), batch.dim()))
    classes, seen = members[0].spec.classes, None
    answers: list[Tensor] = []
    for member in members:
        for axes in views:
            features = member.encode(batch.flip(axes) if axes else batch)
            seen = features[-1] if seen is None else seen
            logits = member.decode(features).float()
            answer = torch.cat([logits[:, :classes].softmax(1), logits[:, classes:].sigmoid()], 1)
            answers.append(answer.flip(axes) if axes else answer)
    assert seen is not None
    mean = answers[0] if len(answers) == 1 else torch.stack(answers).mean(0)
    return Said(mean[:, :classes], seen, mean[:, classes:] if members[0].spec.apart else None)


def _flips(mirror: tuple[int, ...], dims: int) -> Iterator[tuple[int, ...]]:
    """Axes of a batch: a picture has none for z."""
    axes = [axis - 3 for axis in mirror if axis - 3 >= 2 - dims]
    yield from chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1))
