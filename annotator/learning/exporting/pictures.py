"""The slice of a held-out image that says most, with the outlines of what people said and of what a model proposes."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from storage.arrays import BACKGROUND, UNLABELLED, open_npy, plane
from storage.rows import ImageRow

SIDE = 360  # pixels of the longer side
SAID, PROPOSED = (60, 220, 120), (255, 70, 200)  # colours of the outlines; the report's legend has them too
LONGEST = 4.0  # times as long as wide a pixel may be drawn


@dataclass(frozen=True)
class CasePicture:
    """A PNG and which slice it shows."""

    png: bytes
    place: str


def picture_of(image: ImageRow, known: NDArray[np.uint8], proposed: NDArray[np.uint8]) -> CasePicture:
    """`known` and `proposed`: (Z, Y, X) label values, UNLABELLED where nothing is known."""
    axis, index = _most_telling(known, proposed)
    pixels = _shown(image, axis, index)
    size = _size(image, axis, pixels.shape[:2])
    drawn = np.array(Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BILINEAR))
    for volume, colour in ((known, SAID), (proposed, PROPOSED)):
        values = np.array(plane(volume, axis, index))
        values[values == UNLABELLED] = BACKGROUND
        drawn[_outlines(np.array(Image.fromarray(values).resize(size, Image.Resampling.NEAREST)))] = colour
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG", optimize=True)
    place = f"slice {index + 1} of {image.shape[axis]} along {'zyx'[axis]}" if image.is_volume else ""
    return CasePicture(buffer.getvalue(), place)


def _most_telling(known: NDArray[np.uint8], proposed: NDArray[np.uint8]) -> tuple[int, int]:
    """Where most is known to be an object, or is proposed on what is known."""
    there = known != UNLABELLED
    objects = there & ((known != BACKGROUND) | (proposed != BACKGROUND))
    best, most = (0, 0), -1.0
    for axis in range(3) if known.shape[0] > 1 else (0,):
        others = tuple(a for a in range(3) if a != axis)
        counts = objects.sum(others) * there.mean(others)  # slices across the labelled ones show a line
        if counts.max() > most:
            best, most = (axis, int(counts.argmax())), float(counts.max())
    return best


def _shown(image: ImageRow, axis: int, index: int) -> NDArray[np.uint8]:
    """(rows, columns[, 3]) through the image's display window."""
    pixels = np.array(plane(open_npy(image.path), axis, index))
    if pixels.ndim == 3:
        return pixels
    low, high = image.window
    return np.asarray((pixels.astype(np.float32) - low).clip(0, high - low) / (high - low) * 255, np.uint8)


def _size(image: ImageRow, axis: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of the picture, in proportion to millimetres."""
    rows, columns = (mm for a, mm in enumerate(image.spacing_mm or (1.0, 1.0, 1.0)) if a != axis)
    ratio = float(np.clip(rows / columns, 1 / LONGEST, LONGEST))
    height, width = shape[0] * ratio, float(shape[1])
    scale = SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _outlines(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The inner rim of each class."""
    rims = [(values == c) & ~binary_erosion(values == c) for c in np.unique(values) if c != BACKGROUND]
    return np.any(rims, axis=0) if rims else np.zeros(values.shape, bool)
