"""What a person clicks next, for a whole batch of answers at once, on the device that gave them.

Clicks follow RITM (Sofiiuk et al., 2021): into the middle of the largest mistake, or about there. Now and then it is a
bent line, as in ScribblePrompt (Wong et al., 2024).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from models.clicknet.inputs import STROKE, draw_clicks
from models.clicknet_training.simulate import NEGATIVE, POSITIVE

TIMES = (0.75, 0.15, 0.1)  # chance of one, two and three further prompts
DEEPEST, BY_DEPTH = 0.45, 0.4  # chance of the deepest point, of a point by depth; else of any point
LINE = 0.12  # chance of a line instead of a click


def correct(boards: Tensor, truths: Tensor, answers: Tensor, rng: Generator) -> None:
    """Draw one to three prompts where an answer is most wrong, in place; none where it is right.

    boards (N, 4, S, S) float32, truths and answers (N, S, S) bool; all on the generator's device.
    """
    times = 1 + _drawn(torch.tensor([TIMES], device=rng.device).expand(len(boards), -1), rng)
    left = torch.arange(len(boards), device=rng.device)
    for turn in range(len(TIMES)):
        left = left[times[left] > turn]
        if len(left):
            boards[left] = _corrected_once(boards[left], truths[left], answers[left], rng)


def _corrected_once(boards: Tensor, truths: Tensor, answers: Tensor, rng: Generator) -> Tensor:
    missed, extra = truths & ~answers, answers & ~truths
    clicked = (boards[:, POSITIVE] + boards[:, NEGATIVE]) > 0
    inside, outside = depth(torch.cat([missed & ~clicked, extra & ~clicked])).chunk(2)
    positive = inside.amax((1, 2)) >= outside.amax((1, 2))
    distance = torch.where(positive[:, None, None], inside, outside)
    region = torch.where(positive[:, None, None], missed, extra)
    pixels = _discs(_place(distance, rng), boards.shape[-1])
    lines = torch.rand(len(boards), generator=rng, device=rng.device) < LINE
    if lines.any():
        strokes = _lines(region[lines], rng)
        drawn = strokes.any(2).any(1)
        pixels[lines] = torch.where(drawn[:, None, None], strokes, pixels[lines])
    pixels &= (distance.amax((1, 2)) > 0)[:, None, None]
    boards[:, POSITIVE] = torch.maximum(boards[:, POSITIVE], (pixels & positive[:, None, None]).float())
    boards[:, NEGATIVE] = torch.maximum(boards[:, NEGATIVE], (pixels & ~positive[:, None, None]).float())
    return boards


def depth(regions: Tensor) -> Tensor:
    """Distance of every pixel of (N, H, W) bool regions to their border, 0 outside; the edge is a border.

    Exact Euclidean: squared distances within rows, then the lower envelope over columns (Felzenszwalb and
    Huttenlocher, 2012, by brute force, which a GPU does not mind).
    """
    padded = F.pad(regions, (1, 1, 1, 1))
    height, width = padded.shape[1:]
    at = torch.arange(width, device=padded.device, dtype=torch.int32)
    before = torch.where(padded, -width, at).cummax(2).values
    after = torch.where(padded, 2 * width, at).flip(2).cummin(2).values.flip(2)
    across = torch.minimum(at - before, after - at).float().square()
    best = across.clone()
    for d in range(1, height // 2 + 1):  # nothing is further from the upper and the lower edge
        torch.minimum(best[:, d:], across[:, :-d] + d * d, out=best[:, d:])
        torch.minimum(best[:, :-d], across[:, d:] + d * d, out=best[:, :-d])
    return best.sqrt()[:, 1:-1, 1:-1]


def _place(distance: Tensor, rng: Generator) -> Tensor:
    """(N,) flat positions: the deepest point, one by depth, or any point of the region."""
    flat = distance.flatten(1)
    kind = torch.rand(len(flat), 1, generator=rng, device=rng.device)
    weight = torch.where(kind < DEEPEST + BY_DEPTH, flat, (flat > 0).float())
    return torch.where(kind[:, 0] < DEEPEST, flat.argmax(1), _drawn(weight, rng))


def _drawn(weights: Tensor, rng: Generator) -> Tensor:
    """(N,) one position of each row, by (N, M) weights; the last one where all are 0."""
    sums = weights.double().cumsum(1)
    at = torch.rand(len(weights), 1, generator=rng, device=rng.device, dtype=torch.float64) * sums[:, -1:]
    return torch.searchsorted(sums, at, right=True).squeeze(1).clamp(max=weights.shape[1] - 1)


def _discs(places: Tensor, size: int) -> Tensor:
    """(N, size, size) bool: a click at each place, as it is drawn in use."""
    canvas = np.zeros((2 * STROKE + 1, 2 * STROKE + 1), np.uint8)
    draw_clicks(canvas, [(STROKE, STROKE)])
    rows, columns = (torch.from_numpy(a - STROKE).to(places.device) for a in np.nonzero(canvas))
    r = (places // size)[:, None] + rows
    c = (places % size)[:, None] + columns
    pixels = torch.zeros(len(places), size, size, dtype=torch.bool, device=places.device)
    n = torch.arange(len(places), device=places.device)[:, None].expand_as(r)
    seen = (r >= 0) & (r < size) & (c >= 0) & (c < size)
    pixels[n[seen], r[seen], c[seen]] = True
    return pixels


def _lines(regions: Tensor, rng: Generator) -> Tensor:
    """(N, S, S) bool: a bent line between two points of each region, where it lies in the region."""
    count, size = len(regions), regions.shape[-1]
    flat = regions.flatten(1).float()
    start, end = (_points(_drawn(flat, rng), size) for _ in range(2))
    width, reach = (
        low + (high - low) * torch.rand(1, generator=rng, device=rng.device).item()
        for low, high in ((4, 16), (1, 6))
    )
    coarse = max(3, round(size / width) + 2)
    noise = torch.randn(count, 2, coarse, coarse, generator=rng, device=rng.device)
    shift = F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False) * reach
    at = torch.arange(size, device=rng.device).float()
    grid = torch.stack([at[:, None].expand(size, size), at[None].expand(size, size)]) + shift
    along = (end - start)[..., None, None]
    off = grid - start[..., None, None]
    share = ((off * along).sum(1, keepdim=True) / along.square().sum(1, keepdim=True).clamp(min=1)).clamp(
        0, 1
    )
    stroke = ((off - share * along).norm(dim=1) < 0.75) & regions
    return F.max_pool2d(stroke[:, None].float(), STROKE, 1, STROKE // 2)[:, 0] > 0


def _points(places: Tensor, size: int) -> Tensor:
    """(N, 2) float (row, column)"""
    return torch.stack([places // size, places % size], 1).float()
