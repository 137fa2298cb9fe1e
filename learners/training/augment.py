"""Views of a batch. Weak ones move pixels, targets and trust together; strong ones change the look alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from learners.training.losses import Sample
from learners.training.plan import Plan

INVERT = 0.25  # share of strong looks, where a polarity is there of which nothing is labelled
STEP_PER_MM = 1.2  # axes whose spacings differ by less may be turned into one another


@dataclass(frozen=True)
class Views:
    """Which changes leave the meaning of an image as it is."""

    flips: tuple[int, ...] = ()  # axes of the image (0 the first after the channels) that may be mirrored
    turns: tuple[int, int] | None = None  # two axes of equal spacing in which the image may be turned
    quarters: bool = True  # by quarters too
    scale: float = 1.25  # at most so many times larger or smaller
    degrees: float = 20.0
    invert: float = 0.0  # share of strong looks in which dark and light change places

    def weak(self, sample: Sample, rng: Generator) -> Sample:
        sample = self._mirrored(sample, rng)
        chance = torch.rand(len(sample), generator=rng) < 0.5
        if self.turns is None or not bool(chance.any()):
            return sample
        return _warp(sample, self._matrices(sample, chance, rng))

    def strong(self, sample: Sample, rng: Generator) -> Sample:
        return replace(sample, x=strong_look(sample.x, rng, self.invert))

    def _mirrored(self, sample: Sample, rng: Generator) -> Sample:
        dims = part_dims(sample)
        for axis in self.flips:
            chosen = torch.rand(len(sample), generator=rng) < 0.5
            sample = _each(sample, partial(torch.flip, dims=(axis - dims,)), chosen)
        if self.turns is not None and self.quarters and len({sample.y.shape[1 + a] for a in self.turns}) == 1:
            a, b = (axis - dims for axis in self.turns)
            chosen = torch.rand(len(sample), generator=rng) < 0.25
            sample = _each(sample, lambda part: part.rot90(1, (a, b)), chosen)
        return sample

    def _matrices(self, sample: Sample, chosen: Tensor, rng: Generator) -> Tensor:
        """(B, D, D + 1) affine maps for grid_sample: a turn and a zoom where chosen, else identity."""
        assert self.turns is not None
        dims, count = part_dims(sample), len(sample)
        angle = (torch.rand(count, generator=rng) * 2 - 1) * math.radians(self.degrees) * chosen
        zoom = torch.exp((torch.rand(count, generator=rng) * 2 - 1) * math.log(self.scale) * chosen)
        matrix = torch.eye(dims).repeat(count, 1, 1)
        a, b = (dims - 1 - axis for axis in self.turns)  # grid_sample counts axes from the last
        sides = sample.y.shape[:0:-1]
        ratio = sides[a] / sides[b]
        matrix[:, a, a] = matrix[:, b, b] = angle.cos()
        matrix[:, a, b], matrix[:, b, a] = -angle.sin() / ratio, angle.sin() * ratio
        matrix = matrix * zoom[:, None, None]
        return torch.cat([matrix, torch.zeros(count, dims, 1)], 2).to(sample.x.device)


def views_of(
    plan: Plan, mirror: tuple[int, ...], *, axis_aligned: bool = False, invert: bool = False
) -> Views:
    """Turn only between axes of about equal spacing, and by quarters only what may be mirrored both ways."""
    a, b = plan.spacing_mm[-2:]
    square = max(a, b) / min(a, b) < STEP_PER_MM
    turns = (plan.dims - 2, plan.dims - 1) if square else None
    flips = tuple(axis + plan.dims - 3 for axis in mirror if axis + plan.dims >= 3)
    quarters = turns is not None and set(turns) <= set(flips)
    degrees = 0.0 if axis_aligned else 20.0
    return Views(flips, turns, quarters=quarters, degrees=degrees, invert=INVERT if invert else 0.0)


def part_dims(sample: Sample) -> int:
    return sample.y.dim() - 1


def strong_look(x: Tensor, rng: Generator, invert: float = 0.0) -> Tensor:
    """Brightness, contrast and gamma, each image its own; then noise or blur on some. (B, C, *S) in 0..1."""
    count, ones = len(x), [1] * (x.dim() - 1)

    def draw(low: float, high: float, chance: float, neutral: float) -> Tensor:
        values = low + (high - low) * torch.rand(count, generator=rng)
        return torch.where(torch.rand(count, generator=rng) < chance, values, neutral).view(-1, *ones).to(x)

    x = x.clamp(0, 1) ** draw(0.6, 1.7, 0.5, 1.0)
    if invert:
        x = torch.where(draw(1, 1, invert, 0) > 0, 1 - x, x)
    mean = x.mean(list(range(1, x.dim())), keepdim=True)
    x = (x - mean) * draw(0.6, 1.4, 0.8, 1.0) + mean + draw(-0.2, 0.2, 0.8, 0.0)
    if x.shape[1] > 1:
        tint = 1 + 0.3 * (torch.rand((count, x.shape[1]), generator=rng) - 0.5)
        x = x * tint.view(count, x.shape[1], *ones[1:]).to(x)
    x = torch.where(draw(1, 1, 0.3, 0) > 0, _coarse(x), x)
    noise = torch.randn(x.shape, generator=rng).to(x)
    return (x + noise * draw(0.0, 0.1, 0.3, 0.0)).clamp(-0.2, 1.2)


def _coarse(x: Tensor) -> Tensor:
    """As a scanner of half the resolution would have seen it."""
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    small = F.interpolate(x, scale_factor=0.5, mode="area") if min(x.shape[2:]) > 1 else x
    return F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False)


def _each(sample: Sample, change: Callable[[Tensor], Tensor], chosen: Tensor) -> Sample:
    """Apply a change of the spatial axes to the chosen images of a batch, in every part of the sample."""
    if not bool(chosen.any()):
        return sample
    parts = {}
    for name in ("x", "y", "w", "v", "src", "box", "apart"):
        part = getattr(sample, name)
        if part is not None:
            mask = chosen.view(-1, *[1] * (part.dim() - 1)).to(part.device)
            part = torch.where(mask, change(part), part)
        parts[name] = part
    return Sample(**parts)


def _warp(sample: Sample, matrices: Tensor) -> Sample:
    """Pixels by interpolation, everything else by the nearest voxel; outside there is no trust."""
    grid = F.affine_grid(matrices, [len(sample), 1, *sample.y.shape[1:]], align_corners=False)
    x = F.grid_sample(sample.x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    maps = {name: getattr(sample, name) for name in ("y", "w", "v", "src", "box")}
    there = {name: part for name, part in maps.items() if part is not None}
    stack = torch.stack([part.float() for part in there.values()], 1)
    moved = F.grid_sample(stack, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    parts = {name: moved[:, i].to(part.dtype) for i, (name, part) in enumerate(there.items())}
    if sample.apart is not None:  # nearest: a mean of two objects' depths is neither's
        parts["apart"] = F.grid_sample(
            sample.apart, grid, mode="nearest", padding_mode="zeros", align_corners=False
        )
    return Sample(x, **parts)
