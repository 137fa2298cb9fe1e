"""Pictures that nobody took: scans painted over label maps, textured shapes, and superpixels as objects.

Painting labels with random intensities follows SynthSeg (Billot et al., 2023).
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb

from models.clicknet_training.simulate import BoolMask, smooth_noise


def paint_labels(rng: Generator, labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A scan of (H, W) labels: an intensity and a texture for each label, partial volume, bias. (H, W, 3)"""
    values, positions = np.unique(labels, return_inverse=True)
    colour = rng.random() < 0.25
    level = rng.uniform(10, 245, (len(values), 3 if colour else 1)).astype(np.float32)
    grain = rng.uniform(0, 30, len(values)).astype(np.float32)
    at = positions.reshape(labels.shape)
    texture = smooth_noise(rng, labels.shape, float(np.exp(rng.uniform(0, 2.5)))) * grain[at]
    picture = level[at] + texture[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.5)).reshape(picture.shape)
    picture = np.repeat(picture, 3, 2) if not colour else picture
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def textured_shapes(
    rng: Generator, under: NDArray[np.uint8], over: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], BoolMask]:
    """One to a dozen random shapes of one material on another, and the mask of one of them."""
    size = under.shape[0]
    shapes = np.zeros((size, size), np.int32)
    for number in range(1, 1 + int(rng.choice((1, 1, 2, 3, 6, 12)))):
        shape = _shape(rng, size)
        shapes[shape & (shapes == 0)] = number
    kept, counts = np.unique(shapes[shapes > 0], return_counts=True)
    kept = kept[counts >= 30]
    if not len(kept):
        return textured_shapes(rng, under, over)
    cover = cv2.GaussianBlur((shapes > 0).astype(np.float32), (0, 0), rng.uniform(0.3, 1.5))[..., None]
    shift = rng.choice((-1, 1)) * rng.uniform(10, 80)
    material = np.clip(over.astype(np.float32) + np.float32(shift), 0, 255)
    picture = under * (1 - cover) + material * cover
    return picture.astype(np.uint8), shapes == rng.choice(kept)


def material(rng: Generator, size: int) -> NDArray[np.uint8]:
    """A plain or grainy surface, (size, size, 3)."""
    base = rng.uniform(20, 235, 3 if rng.random() < 0.5 else 1).astype(np.float32)
    picture = np.broadcast_to(base, (size, size, 3)).copy()
    for _ in range(rng.integers(1, 4)):
        scale = float(np.exp(rng.uniform(0, 4)))
        picture += (smooth_noise(rng, (size, size), scale) * np.float32(rng.uniform(0, 20)))[..., None]
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _shape(rng: Generator, size: int) -> BoolMask:
    centre = rng.uniform(0.15, 0.85, 2) * size
    radius = float(np.exp(rng.uniform(np.log(0.05), np.log(0.4)))) * size
    canvas = np.zeros((size, size), np.uint8)
    kind = rng.integers(4)
    if kind < 2:
        cv2.fillPoly(canvas, [_star(rng, centre, radius)], 1)
    elif kind == 2:
        axes = (max(2, int(radius)), max(2, int(radius * rng.uniform(0.2, 1))))
        cv2.ellipse(canvas, tuple(int(c) for c in centre), axes, rng.uniform(0, 180), 0, 360, 1, -1)
    else:
        _tube(rng, canvas, centre)
    return canvas > 0


def _star(rng: Generator, centre: NDArray[np.float64], radius: float) -> NDArray[np.int32]:
    """A closed outline whose radius wanders, smoothly or with corners."""
    corners = int(rng.integers(3, 9)) if rng.random() < 0.4 else 64
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    waves = sum(rng.normal(0, 0.3 / k) * np.cos(k * angles + rng.uniform(0, 6.3)) for k in range(1, 6))
    reach = radius * np.clip(1 + waves, 0.2, 2)
    points = centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.asarray(points.round(), np.int32).reshape(-1, 1, 2)


def _tube(rng: Generator, canvas: NDArray[np.uint8], centre: NDArray[np.float64]) -> None:
    """A wandering line of even width, like a vessel or a crack."""
    steps = rng.normal(0, 0.35, 24).cumsum() + rng.uniform(0, 6.3)
    path = centre + 0.04 * canvas.shape[0] * np.stack([np.cos(steps), np.sin(steps)], 1).cumsum(0)
    cv2.polylines(
        canvas, [path.round().astype(np.int32).reshape(-1, 1, 2)], False, 1, int(rng.integers(3, 12))
    )


def superpixel(rng: Generator, crop: NDArray[np.uint8]) -> BoolMask | None:
    """A region of even look as an object, or None where the crop has none of a fitting size."""
    segments = felzenszwalb(crop, scale=float(rng.uniform(80, 600)), sigma=0.8, min_size=60)
    areas = np.bincount(segments.reshape(-1)) / segments.size
    fitting = np.flatnonzero((areas > 0.01) & (areas < 0.5))
    return segments == rng.choice(fitting) if len(fitting) else None
