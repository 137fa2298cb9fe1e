"""Changes of a crop that leave its truth as it is, and warps that move both."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.clicknet_training.simulate import smooth_noise

ColourPixels = NDArray[np.float32]  # (H, W, 3), 0 to 255


def change_look(rng: Generator, crop: NDArray[np.uint8], *, natural: bool) -> NDArray[np.uint8]:
    """Colour, contrast, bias, blur and noise, each with its own chance. (H, W, 3) in and out."""
    pixels = crop.astype(np.float32)
    for chance, change in (
        (0.25, _grey), (0.4, _colours), (0.03 if natural else 0.2, _invert), (0.5, _gamma), (0.5, _window),
        (0.15, _bias), (0.2, _blur), (0.12, _pixelate), (0.05, _sharpen), (0.3, _noise), (0.06, _speckle),
    ):  # fmt: skip
        if rng.random() < chance:
            pixels = change(rng, pixels)
    changed = np.clip(pixels, 0, 255).astype(np.uint8)
    return _jpeg(rng, changed) if rng.random() < 0.06 else changed


def _grey(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    return np.repeat(pixels.mean(2, keepdims=True), 3, 2)


def _colours(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    """Grey pictures get a tint, coloured ones another."""
    if rng.random() < 0.2:
        pixels = pixels[..., rng.permutation(3)]
    gain = np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    shift = rng.normal(0, 12, 3).astype(np.float32)
    return np.asarray(pixels * gain + shift, np.float32)


def _invert(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    return 255 - pixels


def _gamma(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    power = np.float32(np.exp(rng.normal(0, 0.4)))
    return np.asarray(255 * (np.clip(pixels, 0, 255) / 255) ** power, np.float32)


def _window(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    """Another window and level: part of the range is cut off, or contrast is low."""
    low, high = rng.uniform(-60, 60), rng.uniform(190, 340)
    return np.asarray(np.clip((pixels - low) * (255 / (high - low)), 0, 255), np.float32)


def _bias(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    field = smooth_noise(rng, pixels.shape, rng.uniform(40, 120)) * rng.uniform(0.05, 0.3)
    return pixels * np.asarray(np.exp(field)[..., None], np.float32)


def _blur(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.8)), np.float32)


def _pixelate(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    """Low resolution, in one direction or both: thick slices look so."""
    h, w = pixels.shape[:2]
    fy, fx = np.where(rng.random(2) < 0.75, rng.uniform(1.3, 4), 1)
    small = cv2.resize(pixels, (max(8, round(w / fx)), max(8, round(h / fy))), interpolation=cv2.INTER_AREA)
    how = int(rng.choice((cv2.INTER_NEAREST, cv2.INTER_LINEAR)))
    return np.asarray(cv2.resize(small, (w, h), interpolation=how), np.float32)


def _sharpen(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    return pixels + (pixels - cv2.GaussianBlur(pixels, (0, 0), 1.5)) * np.float32(rng.uniform(0.3, 1.5))


def _noise(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    """Grain of one or two pixels; the same in every channel, half the time."""
    channels = 1 if rng.random() < 0.5 else 3
    grain = rng.standard_normal((*pixels.shape[:2], channels), np.float32)
    if rng.random() < 0.3:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.8), np.float32).reshape(grain.shape) * 2
    return pixels + grain * np.float32(rng.uniform(1, 18))


def _speckle(rng: Generator, pixels: ColourPixels) -> ColourPixels:
    """Multiplicative grain as in ultrasound."""
    grain = smooth_noise(rng, pixels.shape, rng.uniform(1, 3)) * np.float32(rng.uniform(0.1, 0.35))
    return pixels * (1 + grain)[..., None]


def _jpeg(rng: Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    quality = int(rng.integers(20, 80))
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def bend(
    rng: Generator, crop: NDArray[np.uint8], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Elastic: both moved by the same smooth field of a few pixels."""
    h, w = truth.shape
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    size, reach = rng.uniform(16, 48), np.float32(rng.uniform(1, 5))
    rows += smooth_noise(rng, truth.shape, size) * reach
    columns += smooth_noise(rng, truth.shape, size) * reach
    moved = cv2.remap(crop, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8), cv2.remap(truth.view(np.uint8), columns, rows, cv2.INTER_NEAREST) > 0
