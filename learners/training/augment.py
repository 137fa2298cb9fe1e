"""Views of a batch. Weak ones move pixels, targets and trust together; strong ones change the look alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from learners.objects.flows import turned
from learners.objects.scale import FLOWS
from learners.training.losses import Sample
from learners.training.plan import Plan

INVERT = 0.25  # share of strong looks, where a polarity is there of which nothing is labelled
MAPS = ("y", "w", "v", "src", "box")  # of a sample, a number for each voxel
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
    flows: bool = False  # what tells objects apart are directions, which turn with the image

    def weak(self, sample: Sample, rng: Generator) -> Sample:
        sample = self._mirrored(sample, rng)
        chosen = torch.rand(len(sample), generator=rng) < 0.5
        if self.turns is None or not bool(chosen.any()):
            return sample
        rows = chosen.nonzero()[:, 0]
        matrices = self._matrices(sample, len(rows), rng)
        warped = _warp(sample.of(rows.to(sample.x.device, non_blocking=True)), matrices)
        if self.flows and warped.apart is not None:
            warped = replace(warped, apart=turned(warped.apart, _turns(matrices, sample.y.shape[1:])))
        return _replaced(sample, rows, warped)

    def strong(self, sample: Sample, rng: Generator) -> Sample:
        return replace(sample, x=strong_look(sample.x, rng, self.invert))

    def _mirrored(self, sample: Sample, rng: Generator) -> Sample:
        """Each image by itself, in one copy: the processor draws, the device copies."""
        dims, count = part_dims(sample), len(sample)
        flipped = torch.rand(count, len(self.flips), generator=rng) < 0.5
        quarter = torch.rand(count, generator=rng) < 0.25 * self._turns_by_quarters(sample)
        if not bool(flipped.any()) and not bool(quarter.any()):
            return sample
        moves = [
            ([axis - dims for axis, one in zip(self.flips, row) if one], turn)
            for row, turn in zip(flipped.tolist(), quarter.tolist())
        ]
        axes = [axis - dims for axis in self.turns or ()]

        def moved(part: Tensor) -> Tensor:
            rows = []
            for image, (flips, turn) in zip(part, moves):
                image = image.flip(flips) if flips else image
                rows.append(image.rot90(1, axes) if turn else image)
            return torch.stack(rows)

        out = sample.changed(moved)
        if self.flows and out.apart is not None:
            return replace(out, apart=turned(out.apart, _mirrors(moves, axes, dims)))
        return out

    def _turns_by_quarters(self, sample: Sample) -> bool:
        return (
            self.turns is not None
            and self.quarters
            and len({sample.y.shape[1 + axis] for axis in self.turns}) == 1
        )

    def _matrices(self, sample: Sample, count: int, rng: Generator) -> Tensor:
        """(B, D, D + 1) affine maps for grid_sample: a turn and a zoom each."""
        assert self.turns is not None
        dims = part_dims(sample)
        angle = (torch.rand(count, generator=rng) * 2 - 1) * math.radians(self.degrees)
        zoom = torch.exp((torch.rand(count, generator=rng) * 2 - 1) * math.log(self.scale))
        matrix = torch.eye(dims).repeat(count, 1, 1)
        a, b = (dims - 1 - axis for axis in self.turns)  # grid_sample counts axes from the last
        sides = sample.y.shape[:0:-1]
        ratio = sides[a] / sides[b]
        matrix[:, a, a] = matrix[:, b, b] = angle.cos()
        matrix[:, a, b], matrix[:, b, a] = -angle.sin() / ratio, angle.sin() * ratio
        matrix = matrix * zoom[:, None, None]
        return torch.cat([matrix, torch.zeros(count, dims, 1)], 2).to(sample.x.device, non_blocking=True)


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
    flows = plan.objects is not None and plan.objects.told_by == FLOWS
    inverted = INVERT if invert else 0.0
    return Views(flips, turns, quarters=quarters, degrees=degrees, invert=inverted, flows=flows)


def part_dims(sample: Sample) -> int:
    return sample.y.dim() - 1


def strong_look(x: Tensor, rng: Generator, invert: float = 0.0) -> Tensor:
    """Brightness, contrast and gamma, each image its own; then noise or blur on some. (B, C, *S) in 0..1."""
    count, ones = len(x), [1] * (x.dim() - 1)

    def draw(low: float, high: float, chance: float, neutral: float) -> Tensor:
        values = low + (high - low) * torch.rand(count, generator=rng)
        return torch.where(torch.rand(count, generator=rng) < chance, values, neutral)

    def there(values: Tensor) -> Tensor:
        return values.view(-1, *ones).to(x.device, non_blocking=True)

    gamma, inverted = draw(0.6, 1.7, 0.5, 1.0), draw(1, 1, invert, 0)
    contrast, brightness = draw(0.6, 1.4, 0.8, 1.0), draw(-0.2, 0.2, 0.8, 0.0)
    coarse, noise = draw(1, 1, 0.3, 0), draw(0.0, 0.1, 0.3, 0.0)
    x = _some(x.clamp(0, 1), gamma != 1, lambda part, rows: part ** there(gamma[rows]))
    x = _some(x, inverted > 0, lambda part, rows: 1 - part)
    mean = x.mean(list(range(1, x.dim())), keepdim=True)
    x = (x - mean) * there(contrast) + (mean + there(brightness))
    if x.shape[1] > 1:
        tint = 1 + 0.3 * (torch.rand((count, x.shape[1]), generator=rng) - 0.5)
        x = x * tint.view(count, x.shape[1], *ones[1:]).to(x.device, non_blocking=True)
    x = _some(x, coarse > 0, lambda part, rows: _coarse(part))
    x = _some(x, noise > 0, lambda part, rows: part + normal_like(part, rng) * there(noise[rows]))
    return x.clamp_(-0.2, 1.2)


def _some(x: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Only the chosen images changed: most looks are for some of them, and a look at all costs as much as a step."""
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return x
    there = rows.to(x.device, non_blocking=True)
    return x.index_copy(0, there, change(x.index_select(0, there), rows))


def normal_like(x: Tensor, rng: Generator) -> Tensor:
    """Normal numbers drawn where `x` lies; on a GPU from a seed that `rng` gives."""
    own = rng
    if x.is_cuda:
        own = torch.Generator(x.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))
    return torch.empty_like(x).normal_(generator=own)


def _coarse(x: Tensor) -> Tensor:
    """As a scanner of half the resolution would have seen it."""
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    small = F.interpolate(x, scale_factor=0.5, mode="area") if min(x.shape[2:]) > 1 else x
    return F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False)


def _warp(sample: Sample, matrices: Tensor) -> Sample:
    """Pixels by interpolation, everything else by the nearest voxel; outside there is no trust."""
    grid = F.affine_grid(matrices, [len(sample), 1, *sample.y.shape[1:]], align_corners=False)
    x = F.grid_sample(sample.x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    maps = [part for name in MAPS if (part := getattr(sample, name)) is not None]
    stack = torch.stack([part.float() for part in _once(maps)], 1)
    moved = F.grid_sample(stack, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    found = {id(part): moved[:, i].to(part.dtype) for i, part in enumerate(_once(maps))}
    parts: dict[str, Any] = {name: found.get(id(getattr(sample, name))) for name in MAPS}
    if sample.apart is not None:  # nearest: a mean of two objects' depths is neither's
        parts["apart"] = F.grid_sample(
            sample.apart, grid, mode="nearest", padding_mode="zeros", align_corners=False
        )
    return Sample(x, **parts)


def _mirrors(moves: Sequence[tuple[list[int], bool]], axes: Sequence[int], dims: int) -> Tensor:
    """(B, D, D): what flips and quarter turns of each image do to its directions."""
    out = torch.eye(dims).repeat(len(moves), 1, 1)
    for matrix, (flips, turn) in zip(out, moves):
        for axis in flips:
            matrix[axis] *= -1
        if turn:
            a, b = axes
            matrix[[a, b]] = torch.stack([-matrix[b], matrix[a]])
    return out


def _turns(matrices: Tensor, sides: Sequence[int]) -> Tensor:
    """(B, D, D): what `_warp` by (B, D, D + 1) does to directions along the axes of the image."""
    dims = len(sides)
    size = torch.tensor(sides, dtype=matrices.dtype, device=matrices.device)
    back = (
        matrices[..., :dims].flip(1, 2) * size[:, None] / size
    )  # where a voxel's value comes from, in voxels
    turns: Tensor = back / back.norm(dim=1, keepdim=True)
    return turns.transpose(1, 2)


def _once(parts: Sequence[Tensor]) -> list[Tensor]:
    """Without those that are there twice."""
    return list({id(part): part for part in parts}.values())


def _replaced(sample: Sample, rows: Tensor, changed: Sample) -> Sample:
    """With these images in place of what was there."""
    there = rows.to(sample.x.device, non_blocking=True)
    new = {id(getattr(sample, n)): getattr(changed, n) for n in ("x", "apart", *MAPS)}
    return sample.changed(lambda part: part.index_copy(0, there, new[id(part)]))
