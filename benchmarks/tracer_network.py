"""TRACER-TE0 (Lee, Shin and Han, "TRACER: extreme attention guided salient object tracing network", AAAI 2022) for
inference: an EfficientNet-B0 encoder, frequency edges, receptive field blocks and object attention.

Written for this benchmark so that the authors' published tensors load strictly under their own names; it is a
yardstick on photographs and no part of the app.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = (2, 4, 10, 15)  # blocks whose output the decoder sees, at 1/4, 1/8, 1/16 and 1/32
WIDTHS = (24, 40, 112, 320)
DECODER = (32, 64, 128)
RADIUS = 16  # of the low frequencies that are no edge, in bins
DENOISE = 0.93
DROPPED = 0.1  # share of channels that attention leaves out


@dataclass(frozen=True)
class TracerStage:
    repeats: int
    kernel: int
    stride: int
    expand: int
    before: int
    after: int


B0 = (
    TracerStage(1, 3, 1, 1, 32, 16),
    TracerStage(2, 3, 2, 6, 16, 24),
    TracerStage(2, 5, 2, 6, 24, 40),
    TracerStage(3, 3, 2, 6, 40, 80),
    TracerStage(3, 5, 1, 6, 80, 112),
    TracerStage(4, 5, 2, 6, 112, 192),
    TracerStage(1, 3, 1, 6, 192, 320),
)


class Tracer(nn.Module):
    """(N, 3, 320, 320) by ImageNet's mean and spread -> (N, 1, 320, 320) chance of belonging to what stands out."""

    def __init__(self) -> None:
        super().__init__()
        self.model = TracerEncoder()
        self.rfb2, self.rfb3, self.rfb4 = (
            ReceptiveField(a, b) for a, b in zip(WIDTHS[1:], DECODER, strict=True)
        )
        self.agg = Aggregation()
        self.ObjectAttention2 = ObjectAttention(WIDTHS[1])
        self.ObjectAttention1 = ObjectAttention(WIDTHS[0])

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth = self.model(x)
        coarse = self.agg(self.rfb4(fourth), self.rfb3(third), self.rfb2(second))
        middle = self.ObjectAttention2(coarse, second)
        fine = self.ObjectAttention1(_enlarged(middle, 2), first)
        return ((_enlarged(fine, 4) + _enlarged(middle, 8) + _enlarged(coarse, 8)) / 3).sigmoid()


class TracerEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Frequency_Edge_Module1 = FrequencyEdges(WIDTHS[0])
        self._conv_stem = SameConv(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList(
            TracerBlock(stage.before if n == 0 else stage.after, stage, stage.stride if n == 0 else 1)
            for stage in B0
            for n in range(stage.repeats)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.silu(self._bn0(self._conv_stem(x)))
        taken: list[Tensor] = []
        for n, block in enumerate(self._blocks):
            x = block(x)
            if n == TAPS[0]:
                x = self.Frequency_Edge_Module1(x)
            if n in TAPS:
                taken.append(x)
        return taken


class SameConv(nn.Conv2d):
    """TensorFlow's "same" padding: the odd pixel goes to the right and below."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, 0, 1, groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        most = [max((-(-n // s) - 1) * s + k - n, 0) for n in (x.shape[3], x.shape[2])]
        return super().forward(F.pad(x, [side for n in most for side in (n // 2, n - n // 2)]))


class TracerBlock(nn.Module):
    """Inverted bottleneck with squeeze and excitation."""

    def __init__(self, before: int, stage: TracerStage, stride: int) -> None:
        super().__init__()
        wide = before * stage.expand
        self.shortcut = stride == 1 and before == stage.after
        if stage.expand > 1:
            self._expand_conv = SameConv(before, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv = SameConv(wide, wide, stage.kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._se_reduce = nn.Conv2d(wide, before // 4, 1)
        self._se_expand = nn.Conv2d(before // 4, wide, 1)
        self._project_conv = SameConv(wide, stage.after, 1)
        self._bn2 = nn.BatchNorm2d(stage.after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        h = F.silu(self._bn1(self._depthwise_conv(h)))
        h = h * self._se_expand(F.silu(self._se_reduce(h.mean((2, 3), keepdim=True)))).sigmoid()
        h = self._bn2(self._project_conv(h))
        return x + h if self.shortcut else h


class Conv(nn.Module):
    """Convolution, batch norm, SELU; padded so that the size stays."""

    def __init__(self, before: int, after: int, kernel: int | tuple[int, int] = 1, dilation: int = 1) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = dilation * (sides[0] // 2), dilation * (sides[1] // 2)
        self.conv = nn.Conv2d(before, after, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.bn(self.conv(x)))


class DepthwiseConv(nn.Module):
    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.DWConv = nn.Conv2d(
            width, width, kernel, padding=padding, dilation=dilation, groups=width, bias=False
        )
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.bn(self.DWConv(x)))


class SeparableConv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.DWConv = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.bn = nn.BatchNorm2d(before)
        self.PWConv = nn.Conv2d(before, after, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.bn2(self.PWConv(F.selu(self.bn(self.DWConv(x))))))


class Branches(nn.Module):
    """Four depthwise views of different reach beside the features themselves."""

    DWConv1: nn.Module
    DWConv2: nn.Module
    DWConv3: nn.Module
    DWConv4: nn.Module

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.DWSConv = SeparableConv(before, width)
        for n, (kernel, dilation) in enumerate(((1, 1), (3, 1), (3, 3), (3, 5)), 1):
            view = nn.Sequential(DepthwiseConv(width, kernel, dilation), Conv(width, width // 4))
            setattr(self, f"DWConv{n}", view)

    def look(self, x: Tensor) -> Tensor:
        x = self.DWSConv(x)
        return torch.cat([self.DWConv1(x), self.DWConv2(x), self.DWConv3(x), self.DWConv4(x)], 1) + x


class FrequencyEdges(Branches):
    """Adds a map of edges, found in what is left without the low frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.UAM = ChannelAttention(width)
        self.conv = Conv(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[-1]
        away = (torch.arange(side, device=x.device) - side / 2) ** 2
        high = (away[:, None] + away[None]).sqrt() >= RADIUS
        found = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) * high
        sharp = torch.fft.ifft2(torch.fft.ifftshift(found, dim=(-2, -1))).abs()
        attended, _ = self.UAM.attend(sharp)
        return x + self.conv(self.look(attended)).relu()


class ReceptiveField(nn.Module):
    branch1: nn.Module
    branch2: nn.Module
    branch3: nn.Module

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(Conv(before, after))
        for n, k in enumerate((3, 5, 7), 1):
            parts = Conv(before, after), Conv(after, after, (1, k)), Conv(after, after, (k, 1))
            setattr(self, f"branch{n}", nn.Sequential(*parts, Conv(after, after, 3, dilation=k)))
        self.conv_cat = Conv(4 * after, after, 3)
        self.conv_res = Conv(before, after)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)
        return F.relu(self.conv_cat(seen) + self.conv_res(x))


class ChannelAttention(nn.Module):
    channel_q: nn.Module
    channel_k: nn.Module
    channel_v: nn.Module
    fc: nn.Module

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width)
        self.norm = nn.Sequential(nn.BatchNorm2d(width))
        for name in ("channel_q", "channel_k", "channel_v", "fc"):
            setattr(self, name, nn.Conv2d(width, width, 1, bias=False))

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features weighted by channel, and the weights (N, C, 1, 1)."""
        pooled = self.norm(x.mean((2, 3), keepdim=True))
        q, k, v = (part(pooled).squeeze(-1) for part in (self.channel_q, self.channel_k, self.channel_v))
        weight = self.fc(_attention(q, k, v).unsqueeze(-1)).sigmoid()
        return x * weight + x, weight


class UnionAttention(ChannelAttention):
    """Attention over channels, then over places, without the channels that matter least."""

    spatial_q: nn.Module
    spatial_k: nn.Module
    spatial_v: nn.Module

    def __init__(self, width: int) -> None:
        super().__init__(width)
        for name in ("spatial_q", "spatial_k", "spatial_v"):
            setattr(self, name, nn.Conv2d(width, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        attended, weight = self.attend(x)
        least = torch.quantile(weight, DROPPED, dim=1, keepdim=True)
        kept = self.bn(attended) * torch.where(weight <= least, 0, weight)
        q, k, v = (part(kept).squeeze(1) for part in (self.spatial_q, self.spatial_k, self.spatial_v))
        return (_attention(q, k, v) + v).unsqueeze(1)


class Aggregation(nn.Module):
    """Three levels into one map at 1/8."""

    def __init__(self) -> None:
        super().__init__()
        small, middle, large = DECODER
        self.conv_upsample1 = Conv(large, middle, 3)
        self.conv_upsample2 = Conv(large, small, 3)
        self.conv_upsample3 = Conv(middle, small, 3)
        self.conv_upsample4 = Conv(large, large, 3)
        self.conv_upsample5 = Conv(large + middle, large + middle, 3)
        self.conv_concat2 = Conv(large + middle, large + middle, 3)
        self.conv_concat3 = Conv(sum(DECODER), sum(DECODER), 3)
        self.UAM = UnionAttention(sum(DECODER))

    def forward(self, deep: Tensor, middle: Tensor, shallow: Tensor) -> Tensor:
        deeper = _aligned(deep)
        first = self.conv_upsample1(deeper) * middle
        second = self.conv_upsample2(_aligned(deeper)) * self.conv_upsample3(_aligned(middle)) * shallow
        joined = self.conv_concat2(torch.cat([first, self.conv_upsample4(deeper)], 1))
        return self.UAM(self.conv_concat3(torch.cat([second, self.conv_upsample5(_aligned(joined))], 1)))


class ObjectAttention(Branches):
    """Refines a map with the encoder's features where it says object or is unsure."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width // 2)
        self.conv1 = Conv(width // 2, 1)

    def forward(self, seen: Tensor, features: Tensor) -> Tensor:
        inside = seen.sigmoid()
        outside = 1 - inside
        edge = torch.where(outside > DENOISE, 0, outside)
        return self.conv1(self.look(inside * features + edge * features)).relu() + seen


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(1, 2)).softmax(-1) @ v


def _enlarged(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="bilinear")


def _aligned(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def names(network: nn.Module) -> Sequence[str]:
    """The tensors a file must hold; counters of batches are not among them."""
    return [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
