"""Small U-Nets for 2D and 3D that learn from a handful of labels: GroupNorm, sized to machine and data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Noise = Callable[[list[Tensor]], list[Tensor]]  # what a method does to the encoder's features, coarsest last

MAX_LEVELS, MAX_WIDTH, MAX_STRIDE, MAX_APART, MAX_BLOCKS = (
    12,
    4096,
    8,
    8,
    12,
)  # a card from outside may say anything
DROPPED = 0.1  # of the named channels in training: a network must do without one that an image lacks


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to build a network again; goes into its card."""

    dims: int  # 2 or 3
    channels: int  # of the image
    classes: int  # background included
    widths: tuple[int, ...]  # channels of each level, finest first; multiples of 8
    strides: tuple[tuple[int, ...], ...]  # how each level but the first shrinks the one above, per axis
    norm: str = "group"  # or "batch"
    apart: int = 0  # further channels, after the classes: what tells touching objects apart
    residual: tuple[int, ...] = ()  # residual blocks of each level of the encoder; empty: two plain ones
    deep: bool = False  # its coarser levels are taught too (deep supervision)
    named: tuple[str, ...] = ()  # what its input channels are; empty: one grey value, or colours

    def __post_init__(self) -> None:
        if self.dims not in (2, 3) or self.classes < 2 or self.channels < 1:
            raise ValueError(
                f"a network has 2 or 3 dimensions, a channel and two classes or more, got {self}"
            )
        if len(self.strides) != len(self.widths) - 1 or any(len(s) != self.dims for s in self.strides):
            raise ValueError(
                f"{len(self.widths)} levels need {len(self.widths) - 1} strides of {self.dims} numbers"
            )
        if self.named and len(set(self.named)) != self.channels:
            raise ValueError(f"{self.channels} channels have as many names, got {self.named}")
        if self.norm not in ("group", "batch"):
            raise ValueError(f"a network's norm is group or batch, got {self.norm!r}")
        if not 0 <= self.apart <= MAX_APART:
            raise ValueError(
                f"a network has {MAX_APART} channels at most beside its classes, got {self.apart}"
            )
        if self.residual and (
            len(self.residual) != len(self.widths) or not all(1 <= n <= MAX_BLOCKS for n in self.residual)
        ):
            raise ValueError(
                f"each level has 1 to {MAX_BLOCKS} residual blocks, got {self.residual} for {len(self.widths)} levels"
            )
        if any(w % 8 or w < 8 for w in self.widths):
            raise ValueError(f"widths are multiples of 8, got {self.widths}")
        if len(self.widths) > MAX_LEVELS or max(self.widths) > MAX_WIDTH or self.classes > 254:
            raise ValueError(
                f"a network has {MAX_LEVELS} levels of {MAX_WIDTH} channels and 254 classes at most"
            )
        if self.channels > MAX_WIDTH or any(
            not 1 <= n <= MAX_STRIDE for stride in self.strides for n in stride
        ):
            raise ValueError(f"strides lie between 1 and {MAX_STRIDE}, got {self.strides}")

    @property
    def multiple(self) -> tuple[int, ...]:
        """What each side of an input must be a multiple of."""
        sides = [1] * self.dims
        for stride in self.strides:
            sides = [a * b for a, b in zip(sides, stride)]
        return tuple(sides)

    def as_json(self) -> dict[str, object]:
        values = asdict(self)
        return values if self.named else {k: v for k, v in values.items() if k != "named"}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "NetworkSpec":
        """Raises ValueError, TypeError or KeyError for what is not a network's description."""
        return cls(
            dims=int(values["dims"]),
            channels=int(values["channels"]),
            classes=int(values["classes"]),
            widths=tuple(int(w) for w in values["widths"]),
            strides=tuple(tuple(int(n) for n in stride) for stride in values["strides"]),
            norm=str(values.get("norm", "group")),
            apart=int(values.get("apart", 0)),
            residual=tuple(int(n) for n in values.get("residual", ())),
            deep=bool(values.get("deep", False)),
            named=tuple(str(name) for name in values.get("named", ())),
        )


def without_some_channels(x: Tensor) -> Tensor:
    """(B, C, *S) with some channels of some images dark, as in images that lack them, and never all of an image."""
    kept = torch.rand(x.shape[:2]) >= DROPPED
    kept[~kept.any(1)] = True
    return x * kept.to(x.dtype).view(*x.shape[:2], *[1] * (x.dim() - 2)).to(x.device, non_blocking=True)


class UNet(nn.Module):
    """(B, C, *S) pixels in 0..1 to (B, K, *S) logits; each side of S a multiple of `spec.multiple`. With `spec.apart`
    further channels follow those of the classes, each before its sigmoid."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        conv = nn.Conv2d if spec.dims == 2 else nn.Conv3d
        ins = [spec.channels, *spec.widths[:-1]]
        blocks = spec.residual or (0,) * len(spec.widths)
        self.down = nn.ModuleList(_level(spec, a, b, n) for a, b, n in zip(ins, spec.widths, blocks))
        pairs = list(zip(spec.widths[:0:-1], spec.widths[-2::-1]))
        self.narrow = nn.ModuleList(conv(a, b, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Sequential(_block(spec, 2 * b, b), _block(spec, b, b)) for _, b in pairs)
        self.head = conv(spec.widths[0], spec.classes, 1)
        self.apart = conv(spec.widths[0], spec.apart, 1) if spec.apart else None
        taught = spec.widths[1:-1] if spec.deep else ()
        self.sides = nn.ModuleList(conv(width, spec.classes, 1) for width in taught)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        features = self.encode(x)
        return self.decode(noise(features) if noise else features)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of each level, finest first."""
        features = []
        if self.training and self.spec.named:
            x = without_some_channels(x)
        x = x * 2 - 1
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self._shrink(x, level))
            features.append(x)
        return features

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        return self._answer(self.finest(features))

    def decode_all(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Logits of every level that is taught, finest first; one where the network is not deep."""
        finest, *coarser = self.decoded(features)[: 1 + len(self.sides)]
        return [self._answer(finest), *(side(x) for side, x in zip(self.sides, coarser))]

    def _answer(self, finest: Tensor) -> Tensor:
        """Logits of classes, and after them of what tells objects apart."""
        logits: Tensor = self.head(finest)
        return logits if self.apart is None else torch.cat([logits, self.apart(finest)], 1)

    def finest(self, features: Sequence[Tensor]) -> Tensor:
        """(B, widths[0], *S): what the head reads."""
        return self.decoded(features)[0]

    def decoded(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What the decoder makes of each level but the coarsest, finest first."""
        x, levels = features[-1], []
        for step, (narrow, block) in enumerate(zip(self.narrow, self.up)):
            stride = self.spec.strides[-1 - step]
            x = F.interpolate(narrow(x), scale_factor=tuple(float(s) for s in stride), mode="nearest")
            x = block(torch.cat([features[-2 - step], x], 1))
            levels.append(x)
        return levels[::-1] or [x]

    def _shrink(self, x: Tensor, level: int) -> Tensor:
        pool = F.max_pool2d if self.spec.dims == 2 else F.max_pool3d
        return pool(x, self.spec.strides[level - 1])


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in (He et al., 2016)."""

    def __init__(self, spec: NetworkSpec, channels_in: int, channels_out: int) -> None:
        super().__init__()
        conv = nn.Conv2d if spec.dims == 2 else nn.Conv3d
        self.first = _block(spec, channels_in, channels_out)
        self.second = _block(spec, channels_out, channels_out)[:2]
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else conv(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.second(self.first(x)) + self.skip(x), 0.01)


def _level(spec: NetworkSpec, channels_in: int, channels_out: int, residual: int) -> nn.Sequential:
    """A level of the encoder: two plain blocks, or so many residual ones."""
    ins = [channels_in, *[channels_out] * max(1, residual - 1)]
    if residual:
        return nn.Sequential(*(Residual(spec, a, channels_out) for a in ins[:residual]))
    return nn.Sequential(*(_block(spec, a, channels_out) for a in ins))


def _block(spec: NetworkSpec, channels_in: int, channels_out: int) -> nn.Sequential:
    """Norms that need no batch, because batches are tiny; one group for each channel: with eight channels a group
    20 s of training on four hippocampi ended at Dice 0.00, with one at 0.72 (one thread, same everything else)."""
    conv = nn.Conv2d if spec.dims == 2 else nn.Conv3d
    batch = nn.BatchNorm2d if spec.dims == 2 else nn.BatchNorm3d
    return nn.Sequential(
        conv(channels_in, channels_out, 3, padding=1, bias=False),
        batch(channels_out) if spec.norm == "batch" else nn.GroupNorm(channels_out, channels_out),
        nn.LeakyReLU(0.01),
    )


def strides_for(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...], levels: int
) -> tuple[tuple[int, ...], ...]:
    """Halve each axis, but leave a coarse or a short one alone until the others have caught up with it."""
    spacing, size = list(spacing_mm), list(patch)
    strides = []
    for _ in range(levels - 1):
        finest = min(s for s, n in zip(spacing, size) if n >= 8) if max(size) >= 8 else min(spacing)
        stride = tuple(2 if n >= 8 and s < 2 * finest else 1 for s, n in zip(spacing, size))
        strides.append(stride)
        spacing = [s * k for s, k in zip(spacing, stride)]
        size = [n // k for n, k in zip(size, stride)]
    return tuple(strides)


# Widths of the levels. The first is for a laptop's processor, the last for a GPU.
NETWORKS: dict[str, dict[int, tuple[int, ...]]] = {
    "unet-s": {2: (16, 24, 32, 48, 64), 3: (16, 32, 48)},
    "unet-s-bn": {
        2: (16, 24, 32, 48, 64),
        3: (16, 32, 48),
    },  # with batch norm, which test-time adaptation can move
    "unet-m": {2: (32, 64, 96, 128, 192), 3: (16, 32, 64, 128)},
    "unet-l": {2: (64, 128, 256, 384, 512), 3: (32, 64, 128, 256, 320)},
    "res-s": {2: (16, 24, 32, 48, 64), 3: (16, 32, 48)},
    "res-m": {2: (32, 64, 96, 128, 192), 3: (16, 32, 64, 128)},
    "res-l": {2: (64, 128, 256, 384, 512), 3: (32, 64, 128, 256, 320)},
}
# Residual blocks of each level of an encoder, finest first; these networks are taught on coarser levels too.
RESIDUAL: dict[str, tuple[int, ...]] = {
    "res-s": (1, 2, 2, 2, 2),
    "res-m": (1, 2, 3, 4, 4),
    "res-l": (1, 3, 4, 6, 6),
}
