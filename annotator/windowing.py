"""A slice as people and prompt models see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage.arrays import open_npy, plane
from storage.channels.named import ChannelLook, composite
from storage.rows import ImageRow


@dataclass(frozen=True)
class ChannelView:
    """A channel of an image, and how it is shown."""

    path: Path
    look: ChannelLook


def views_of(image: ImageRow, looks: Sequence[ChannelLook]) -> tuple[ChannelView, ...]:
    """`looks`: of every channel in their order, or none to see the picture. Raises ValueError."""
    if looks and len(looks) != len(image.named):
        raise ValueError("the page shows other channels than this image has; reload the page")
    return tuple(
        ChannelView(channel.path, look) for channel, look in zip(image.named, looks, strict=bool(looks))
    )


def composite_slice(channels: Sequence[ChannelView], axis: int, index: int) -> NDArray[np.uint8]:
    """(rows, columns, 3). Raises TornFile."""
    shown = [one for one in channels if one.look.shown] or channels[:1]
    return composite([(np.asarray(plane(open_npy(one.path), axis, index)), one.look) for one in shown])


def to_rgb(pixels: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    """One slice (H, W) or (H, W, 3) -> (H, W, 3) uint8. Colour stays as it is; grey is windowed."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    low, high = window
    scale = np.float32(255.0 / max(high - low, 1e-12))
    with np.errstate(over="ignore"):  # what is beyond all numbers is beyond the window too
        grey = (np.nan_to_num(pixels.astype(np.float32), nan=low) - np.float32(low)) * scale
    grey8 = np.clip(grey, 0, 255).astype(np.uint8)
    return np.repeat(grey8[..., None], 3, axis=-1)
