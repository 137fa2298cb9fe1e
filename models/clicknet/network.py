"""ClickNet: a residual U-Net that turns a crop, its prompts and the last mask into candidate masks with scores."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUTS = 7  # red, green, blue, positive strokes, negative strokes, box, last mask
CANDIDATES = 3  # the first is the answer; the others are what else the prompts can mean


@dataclass(frozen=True)
class Shape:
    """Channels and residual blocks at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size."""

    widths: tuple[int, ...] = (32, 64, 128, 192, 256)
    depths: tuple[int, ...] = (1, 2, 3, 3, 2)


@dataclass(frozen=True)
class Output:
    logits: Tensor  # (N, CANDIDATES, H, W)
    scores: Tensor  # (N, CANDIDATES) logits of the expected IoU


class Network(nn.Module):
    """Input (N, INPUTS, H, W) with H and W multiples of 32."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        shape = shape or Shape()
        widths = shape.widths
        self.down = nn.ModuleList(
            _stage(before, after, depth)
            for before, after, depth in zip((INPUTS, *widths), widths, shape.depths, strict=False)
        )
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.lateral = nn.ModuleList(_conv(deep, shallow, 1) for shallow, deep in pairs)
        self.up = nn.ModuleList(ResidualBlock(shallow) for shallow, _ in pairs)
        self.detail = nn.Conv2d(
            INPUTS, 16, 3, padding=1
        )  # no norm: at full size it costs a quarter of a step
        self.widen = nn.Conv2d(widths[0], 16, 1)
        self.refine = nn.Conv2d(16, 16, 3, padding=1)
        self.out = nn.Conv2d(16, CANDIDATES, 1)
        self.score = ScoreHead(widths[1], widths[-1])

    def forward(self, x: Tensor) -> Output:
        features = []
        h = x
        for stage in self.down:
            h = stage(h)
            features.append(h)
        deepest, middle = h, h
        for level in reversed(range(len(self.up))):
            h = _grow(self.lateral[level](h), features[level]) + features[level]
            h = self.up[level](h)
            if level == 1:
                middle = h
        h = F.relu(_grow(self.widen(h), x) + self.detail(x))
        logits = self.out(F.relu(self.refine(h))).float()
        return Output(logits, self.score(middle.float(), deepest.float(), logits.detach()))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width, 3)
        self.second = _conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class ScoreHead(nn.Module):
    """Expected IoU of each candidate from the features under it, around it and of the whole crop."""

    def __init__(self, middle: int, deepest: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * middle + deepest + CANDIDATES + 2, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, middle: Tensor, deepest: Tensor, logits: Tensor) -> Tensor:
        p = F.interpolate(logits, size=middle.shape[-2:], mode="bilinear").sigmoid()  # (N, K, h, w)
        flat = middle.flatten(2).transpose(1, 2)  # (N, hw, C)
        inside = p.flatten(2)
        edge = (4 * p * (1 - p)).flatten(2)
        sure = (2 * p - 1).abs().flatten(2).mean(2, keepdim=True)
        parts = [
            inside @ flat / (inside.sum(2, keepdim=True) + 1),
            edge @ flat / (edge.sum(2, keepdim=True) + 1),
            deepest.mean((2, 3))[:, None].expand(-1, CANDIDATES, -1),
            torch.eye(CANDIDATES, device=p.device).expand(len(p), -1, -1),
            inside.mean(2, keepdim=True),
            sure,
        ]
        scores: Tensor = self.out(F.relu(self.hidden(torch.cat(parts, 2))))
        return scores.squeeze(2)


def _stage(before: int, after: int, depth: int) -> nn.Sequential:
    shrink = nn.Sequential(*_conv(before, after, 3, stride=2), nn.ReLU())
    return nn.Sequential(shrink, *(ResidualBlock(after) for _ in range(depth)))


def _conv(before: int, after: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm, which folds into it for use: group norm trained at half the speed on CPU."""
    conv = nn.Conv2d(before, after, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


def _grow(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")
