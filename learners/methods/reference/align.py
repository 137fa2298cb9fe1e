"""Geometric alignment at test time: a small neck learns that turned and relit references are the same thing.

"Correspondence as Video" (CAV-SAM, ICCV 2025), its second part: the trunk stays as it is, and only a neck is trained on
the reference and other looks at it, whose trunk features are kept. In one step the prototype of the reference finds the
object in another look, and the prototype of what Otsu's threshold takes for the object there must find it back:

    L = BCE(cos(F', p), M') + BCE(cos(F, p'), M)        p = mean of F over M, p' = mean of F' over Otsu(cos(F', p))

Kept: the loss (a cosine is used as a logit), 100 steps of Adam at 1e-3 falling to 0 by a cosine, weight decay 5e-4,
photometric and affine looks. Changed: the neck is one 1x1 convolution of all stages instead of SAM 2's feature
pyramid; cells that nobody said anything about do not count; several classes take turns.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from learners.methods.reference.head import otsu
from learners.methods.reference.reference_slices import Cells

STEPS, RATE, DECAY = 100, 1e-3, 5e-4
WIDTH = 64
P = TypeVar("P")


@dataclass(frozen=True)
class Neck:
    """(D, h, w) features to (WIDTH, h, w)."""

    weight: Tensor  # (WIDTH, D)
    bias: Tensor  # (WIDTH,)

    def apply(self, x: Tensor) -> Tensor:
        return torch.einsum("dc,chw->dhw", self.weight, x) + self.bias[:, None, None]


@dataclass(frozen=True)
class Aligned:
    neck: Neck
    losses: tuple[float, ...]  # of each step


LabelledGrid = tuple[Tensor, Cells]  # (D, h, w) trunk features and what is known of their cells


def fresh_neck(channels: int, seed: int = 0) -> Neck:
    """Orthonormal rows, so that untrained it keeps angles about as they are."""
    rng = torch.Generator().manual_seed(seed)
    square = torch.linalg.qr(torch.randn(channels, channels, generator=rng))[0]
    return Neck(square[: min(WIDTH, channels)].clone(), torch.zeros(min(WIDTH, channels)))


def align(
    pairs: Sequence[tuple[LabelledGrid, Sequence[LabelledGrid]]],
    seed: int = 0,
    steps: int = STEPS,
    rate: float = RATE,
) -> Aligned:
    """A neck for references, each with augmented slices of it. Raises ValueError where no reference shows an object."""
    taught = [(grid, augmented) for grid, augmented in pairs if bool(grid[1].yes.any()) and augmented]
    if not taught:
        raise ValueError("no reference shows an object; choose one that does")
    neck = fresh_neck(taught[0][0][0].shape[0], seed)
    trained = [neck.weight.requires_grad_(), neck.bias.requires_grad_()]
    losses = descend(trained, taught, lambda grid, look: alignment_loss(neck, grid, look), steps, rate)
    return Aligned(Neck(neck.weight.detach(), neck.bias.detach()), tuple(losses))


def descend(
    trained: Iterable[Tensor],
    pairs: Sequence[tuple[P, Sequence[P]]],
    loss_of: Callable[[P, P], Tensor],
    steps: int = STEPS,
    rate: float = RATE,
) -> Iterator[float]:
    """Train on each reference in turn, each time with another of its augmented slices; the loss of each step."""
    optimiser = torch.optim.Adam(trained, lr=rate, weight_decay=DECAY)
    for step in range(steps if pairs else 0):
        first, augmented = pairs[step % len(pairs)]
        other = augmented[step // len(pairs) % len(augmented)]
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        loss = loss_of(first, other)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        yield float(loss.detach())


def alignment_loss(neck: Neck, grid: LabelledGrid, look: LabelledGrid) -> Tensor:
    (x, cells), (x_aug, cells_aug) = grid, look
    f, f_aug = neck.apply(x), neck.apply(x_aug)
    s_aug = likeness(f_aug, prototype(f, cells.yes))
    found = s_aug > otsu(s_aug.detach())
    s_rec = likeness(f, prototype(f_aug, found))
    return _bce(s_aug, cells_aug) + _bce(s_rec, cells)


def prototype(f: Tensor, mask: Tensor) -> Tensor:
    """(D,) mean of (D, h, w) features over a (h, w) mask; over everything where it is empty."""
    flat = mask.flatten().to(f)
    flat = flat if bool(mask.any()) else torch.ones_like(flat)
    return f.flatten(1) @ flat / flat.sum()


def likeness(f: Tensor, p: Tensor) -> Tensor:
    """(h, w) cosine of each cell's features with a prototype."""
    return F.cosine_similarity(f, p[:, None, None], dim=0)


def _bce(s: Tensor, cells: Cells) -> Tensor:
    known = cells.yes | cells.no
    if not bool(known.any()):
        return s.sum() * 0
    return F.binary_cross_entropy_with_logits(s[known], cells.yes[known].to(s))
