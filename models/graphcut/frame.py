"""A part of a slice brought to a working size, and what the prompts say inside it."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clicks import Clicks
from models.prompt import FloatBox

UNKNOWN, BACKGROUND, OBJECT = 0, 1, 2


@dataclass(frozen=True)
class WorkFrame:
    """A rectangle of the slice, rows r0 <= r < r1, columns c0 <= c < c1, seen at h x w pixels."""

    r0: int
    c0: int
    r1: int
    c1: int
    h: int
    w: int

    @property
    def zoom(self) -> tuple[float, float]:
        """Working pixels per slice pixel, down and across."""
        return self.h / (self.r1 - self.r0), self.w / (self.c1 - self.c0)

    def place(self, points_rc: NDArray[np.float64]) -> NDArray[np.int32]:
        """(N, 2) slice coordinates to (N, 2) working (row, column), clipped to the frame."""
        moved = (points_rc - (self.r0, self.c0) + 0.5) * self.zoom
        return np.clip(moved, 0, (self.h - 1, self.w - 1)).astype(np.int32)

    def inside(self, points_rc: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) whether a slice point lies in the frame."""
        r, c = points_rc[:, 0], points_rc[:, 1]
        return (r >= self.r0 - 0.5) & (r < self.r1) & (c >= self.c0 - 0.5) & (c < self.c1)

    def look(self, image: NDArray[Any]) -> NDArray[Any]:
        """The frame's part of a (H, W[, C]) image at working size; shrinking averages, growing interpolates.

        Of a part that is huge every n-th pixel is averaged, so that the cost stays bounded.
        """
        step = max(1, min((self.r1 - self.r0) // (8 * self.h), (self.c1 - self.c0) // (8 * self.w)))
        part = np.ascontiguousarray(image[self.r0 : self.r1 : step, self.c0 : self.c1 : step])
        shrink = self.h < part.shape[0] or self.w < part.shape[1]
        return cv2.resize(part, (self.w, self.h), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)

    def borders(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(h, w) the rim of the frame where the picture goes on beyond it."""
        rim = np.zeros((self.h, self.w), bool)
        rim[0], rim[-1] = self.r0 > 0, self.r1 < shape[0]
        rim[:, 0] |= self.c0 > 0
        rim[:, -1] |= self.c1 < shape[1]
        return rim


def frame_around(box: FloatBox, shape: tuple[int, int], size: int) -> WorkFrame:
    """The part of the picture that a (row0, column0, row1, column1) box covers, its longer side `size` pixels."""
    h, w = shape
    r0, r1 = sorted((int(np.clip(np.floor(box[0]), 0, h - 1)), int(np.clip(np.ceil(box[2]), 1, h))))
    c0, c1 = sorted((int(np.clip(np.floor(box[1]), 0, w - 1)), int(np.clip(np.ceil(box[3]), 1, w))))
    r1, c1 = max(r1, r0 + 1), max(c1, c0 + 1)
    zoom = size / max(r1 - r0, c1 - c0)
    return WorkFrame(r0, c0, r1, c1, max(1, round((r1 - r0) * zoom)), max(1, round((c1 - c0) * zoom)))


def drawn(frame: WorkFrame, clicks: Clicks) -> NDArray[np.uint8]:
    """(h, w) UNKNOWN, BACKGROUND or OBJECT: the working pixels that were pointed at."""
    seeds = np.full((frame.h, frame.w), UNKNOWN, np.uint8)
    for points, value in ((clicks.negative, BACKGROUND), (clicks.positive, OBJECT)):
        rows, columns = frame.place(points[frame.inside(points)]).T
        seeds[rows, columns] = value
    return seeds
