"""Named channels: what a file has of each, and how they are shown together."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

RGB = ("Red", "Green", "Blue")  # channels of these names are colours of one picture
WHITE = "#ffffff"
COLORS = ("#00ff00", "#ff00ff", "#00ffff", "#ffff00", "#ff0000", "#0000ff", WHITE)  # where a file names none
MAX_CHANNELS = 64
HEX = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class ChannelLook:
    """One channel of a composite. Raises ValueError."""

    color: str  # "#rrggbb"
    window: tuple[float, float]
    gamma: float = 1.0
    shown: bool = True

    def __post_init__(self) -> None:
        low, high = self.window
        if not HEX.fullmatch(self.color):
            raise ValueError(f"a channel's colour is written #rrggbb, got {self.color!r}")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"a display window needs finite low < high, got {self.window}")
        if not 0.1 <= self.gamma <= 10:
            raise ValueError(f"a gamma lies between 0.1 and 10, got {self.gamma}")


@dataclass(frozen=True, eq=False)
class Channel:
    """A channel as its file has it, with how it is shown at first."""

    name: str
    values: NDArray[Any]  # (Z, Y, X) of PIXEL_TYPES
    look: ChannelLook

    @cached_property
    def digest(self) -> str:
        """Of the values alone."""
        return values_digest(self.values)


def are_colours(names: Sequence[str]) -> bool:
    """Whether channels are mere colours of one picture; models see others each for itself."""
    return tuple(names) == RGB


def composite(channels: Sequence[tuple[NDArray[Any], ChannelLook]]) -> NDArray[np.uint8]:
    """(..., 3) as people see it: each channel (...) in its window and gamma times its colour, all added up."""
    shape = channels[0][0].shape
    total = np.zeros((*shape, 3), np.float32)
    for values, look in channels:
        if look.shown:
            level = _levels(values, look)
            for n, part in enumerate(bytes.fromhex(look.color[1:])):
                if part:
                    total[..., n] += level * np.float32(part / 255)
    # float32 sums fall short of whole numbers by less than this
    return np.minimum(total + np.float32(1e-3), 255).astype(np.uint8)


def _levels(values: NDArray[Any], look: ChannelLook) -> NDArray[np.float32]:
    """0 to 255."""
    low, high = look.window
    with np.errstate(over="ignore"):
        share = (values.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    share = np.clip(np.nan_to_num(share), 0, 1)
    return np.asarray((share if look.gamma == 1 else share**look.gamma) * 255, np.float32)


def picture_of(channels: Sequence[Channel]) -> NDArray[np.uint8]:
    """(Z, Y, X, 3): the composite of channels as they are shown at first, slice by slice to save memory."""
    depth = len(channels[0].values)
    return np.stack([composite([(c.values[z], c.look) for c in channels]) for z in range(depth)])


def names_made_good(names: Iterable[str]) -> tuple[str, ...]:
    """Printable, not empty and each once."""
    found: list[str] = []
    for number, name in enumerate(names, start=1):
        clean = "".join(c for c in name if c.isprintable()).strip()[:60] or f"Channel {number}"
        found.append(clean if clean not in found else f"{clean} ({number})")
    return tuple(found)


def values_digest(values: NDArray[Any]) -> str:
    """A fingerprint of an array (Z, ...)."""
    digest = hashlib.blake2b(f"{values.dtype}\0{values.shape}".encode(), digest_size=16)
    for part in values:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
