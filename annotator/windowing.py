"""A slice as people and prompt models see it."""

import numpy as np
from numpy.typing import NDArray


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
