"""What the network sees: a standardised crop and its prompts drawn as maps."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

STROKE = 3  # radius of a click and width of a scribble, in pixels of the crop
PointRC = tuple[float, float]  # (row, column)


def standardise(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) to zero mean and unit spread over all channels: a constant crop becomes zeros."""
    pixels = crop.astype(np.float32)
    mean, spread = cv2.meanStdDev(pixels.reshape(-1, 1))
    pixels -= np.float32(mean[0, 0])
    pixels *= np.float32(1 / (spread[0, 0] + 4))
    return pixels


def draw_clicks(canvas: NDArray[np.uint8] | NDArray[np.float32], points_rc: Sequence[PointRC]) -> None:
    """Mark clicks, in place, on an (H, W) map."""
    for row, column in points_rc:
        cv2.circle(canvas, (round(column), round(row)), STROKE, 1, -1)


def draw_stroke(canvas: NDArray[np.uint8] | NDArray[np.float32], points_rc: Sequence[PointRC]) -> None:
    """Mark a scribble, in place, on an (H, W) map."""
    path = np.array([[column, row] for row, column in points_rc], np.float64).round().astype(np.int32)
    cv2.polylines(canvas, [path.reshape(-1, 1, 2)], isClosed=False, color=1, thickness=STROKE)


def draw_box(canvas: NDArray[np.uint8] | NDArray[np.float32], box: Iterable[float]) -> None:
    """Fill a (row0, column0, row1, column1) box, in place, on an (H, W) map."""
    r0, c0, r1, c1 = (round(v) for v in box)
    cv2.rectangle(canvas, (c0, r0), (c1, r1), 1, -1)
