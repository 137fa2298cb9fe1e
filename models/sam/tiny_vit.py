"""TinyViT as the image encoder of MobileSAM (K. Wu et al., ECCV 2022; C. Zhang et al., arXiv:2306.14289).

Written from the published architecture; parameters carry the official names, so that MobileSAM's file and other `vit_t`
checkpoints load strictly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Stage:
    """One of the four levels of the encoder."""

    width: int
    depth: int
    heads: int
    window: int  # tokens across an attention window; the first stage is convolutional


STAGES = (Stage(64, 2, 2, 7), Stage(128, 2, 4, 7), Stage(160, 6, 5, 14), Stage(320, 2, 10, 7))
NECK = 256
CLASSES = 1000  # of a classifier that segmentation never calls but the checkpoints hold


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.add_module("c", conv)
        self.add_module("bn", nn.BatchNorm2d(after))


class PatchEmbed(nn.Module):
    """(B, 3, S, S) -> (B, width, S/4, S/4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, stride=2), nn.GELU(), ConvNorm(width // 2, width, 3, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.seq(x)
        return patches


class InvertedBottleneck(nn.Module):
    """Widen by four, convolve each channel, narrow again, add."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, 4 * width, 1)
        self.conv2 = ConvNorm(4 * width, 4 * width, 3, groups=4 * width)
        self.conv3 = ConvNorm(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return F.gelu(x + inner)


class PatchMerging(nn.Module):
    """To the width of the next stage, at half the resolution except before the last stage."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if after == STAGES[-1].width else 2
        self.conv1 = ConvNorm(before, after, 1)
        self.conv2 = ConvNorm(after, after, 3, stride=stride, groups=after)
        self.conv3 = ConvNorm(after, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return merged


class Attention(nn.Module):
    """Self-attention within a window, with a learned bias for every distance between two tokens."""

    attention_bias_idxs: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window)
        rows, columns = (grid.flatten() for grid in torch.meshgrid(place, place, indexing="ij"))
        apart = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
        self.register_buffer("attention_bias_idxs", apart, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, self.heads, -1).transpose(1, 2).chunk(3, dim=-1)
        bias = self.attention_biases[:, self.attention_bias_idxs]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(b, n, c))
        return out


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Window attention, a convolution between neighbours, a perceptron: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.window = stage.window
        self.attn = Attention(stage.width, stage.heads, stage.window)
        self.mlp = Mlp(stage.width)
        self.local_conv = ConvNorm(stage.width, stage.width, 3, groups=stage.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local_conv(x + self._attend(x))
        change: Tensor = self.mlp(x.permute(0, 2, 3, 1))
        return x + change.permute(0, 3, 1, 2)

    def _attend(self, x: Tensor) -> Tensor:
        """Attention in windows; the picture is padded with zeros to whole windows, as it was in training."""
        (b, c, h, w), size = x.shape, self.window
        down, across = -(-h // size), -(-w // size)
        x = F.pad(x, (0, across * size - w, 0, down * size - h))
        tiles = x.view(b, c, down, size, across, size).permute(0, 2, 4, 3, 5, 1)
        attended: Tensor = self.attn(tiles.reshape(-1, size * size, c))
        mixed = attended.view(b, down, across, size, size, c)
        return mixed.permute(0, 5, 1, 3, 2, 4).reshape(b, c, down * size, across * size)[:, :, :h, :w]


class TinyViTStage(nn.Module):
    """The blocks of a stage and the way to the next one."""

    def __init__(self, index: int) -> None:
        super().__init__()
        stage = STAGES[index]
        self.blocks = nn.ModuleList(
            InvertedBottleneck(stage.width) if index == 0 else TinyViTBlock(stage) for _ in range(stage.depth)
        )
        last = index + 1 == len(STAGES)
        self.downsample = None if last else PatchMerging(stage.width, STAGES[index + 1].width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """(B, 3, S, S) normalised picture -> (B, 256, S/16, S/16) embedding."""

    def __init__(self, img_size: int, norm2d: type[nn.Module]) -> None:
        """`norm2d` is the channel norm of the `segment_anything` package."""
        super().__init__()
        self.img_size = img_size
        self.patch_embed = PatchEmbed(STAGES[0].width)
        self.layers = nn.ModuleList(TinyViTStage(index) for index in range(len(STAGES)))
        self.norm_head = nn.LayerNorm(STAGES[-1].width)
        self.head = nn.Linear(STAGES[-1].width, CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(STAGES[-1].width, NECK, 1, bias=False),
            norm2d(NECK),
            nn.Conv2d(NECK, NECK, 3, padding=1, bias=False),
            norm2d(NECK),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for level in self.layers:
            x = level(x)
        embedding: Tensor = self.neck(x)
        return embedding
