"""Square crops laid over a slice: cut out of it, and pasted back at its full resolution."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CropFrame:
    """A crop of size x size pixels: source = centre + turn @ (crop - middle), all in (column, row)."""

    centre: NDArray[np.float64]  # (2,) column, row
    turn: NDArray[np.float64]  # (2, 2)
    size: int

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3) from crop to source."""
        middle = np.full(2, (self.size - 1) / 2)
        return np.column_stack([self.turn, self.centre - self.turn @ middle])

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest (column, row) of the source under the crop."""
        middle = (self.size - 1) / 2
        corners = self.turn @ np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]]) * middle + self.centre[:, None]
        return corners.min(1), corners.max(1)


def upright(centre_rc: tuple[float, float], side: float, size: int) -> CropFrame:
    """The square of `side` source pixels around a (row, column), seen at `size` pixels."""
    return CropFrame(np.array(centre_rc[::-1], np.float64), np.eye(2) * (side / size), size)


def cut(source: NDArray[np.uint8], frame: CropFrame, outside: int | None = None) -> NDArray[np.uint8]:
    """What the frame shows of a (H, W[, C]) picture, averaged where it shrinks.

    Beyond the picture it is `outside`, or the mean of what is seen.
    """
    low, high = frame.bounds()
    extent = np.array(source.shape[1::-1])
    low = np.clip(np.floor(low).astype(int) - 2, 0, extent - 1)
    high = np.clip(np.ceil(high).astype(int) + 3, low + 1, extent)
    seen = np.ascontiguousarray(source[low[1] : high[1], low[0] : high[0]])
    matrix = frame.matrix()
    shrink = float(np.sqrt(abs(np.linalg.det(frame.turn))))
    factor = np.ones(2)
    if shrink > 1.3:
        w, h = np.maximum(np.round((high - low) / shrink), 1).astype(int)
        factor = np.array([w, h]) / (high - low)
        seen = np.asarray(cv2.resize(seen, (int(w), int(h)), interpolation=cv2.INTER_AREA), np.uint8)
    offset = (matrix[:, 2] - low + 0.5) * factor - 0.5
    fill = cv2.mean(seen) if outside is None else (outside,) * 4
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.column_stack([frame.turn * factor[:, None], offset])
    crop = cv2.warpAffine(seen, moved, (frame.size, frame.size), flags=flags, borderValue=fill)
    return np.asarray(crop, np.uint8)


def paste(values: NDArray[np.float32], frame: CropFrame, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the frame's (size, size) values are above zero, on the (H, W) source; False beyond the frame."""
    mask = np.zeros(shape, bool)
    low, high = frame.bounds()
    c0, r0 = (int(v) for v in np.clip(np.floor(low), 0, np.array(shape[::-1]) - 1))
    c1, r1 = (int(v) for v in np.clip(np.ceil(high) + 1, (c0 + 1, r0 + 1), shape[::-1]))
    matrix = frame.matrix()
    matrix[:, 2] -= (c0, r0)
    grown = cv2.warpAffine(values, matrix, (c1 - c0, r1 - r0), flags=cv2.INTER_LINEAR, borderValue=-1)
    mask[r0:r1, c0:c1] = grown > 0
    return mask


def place(points_rc: NDArray[np.float64], frame: CropFrame) -> NDArray[np.float64]:
    """(N, 2) source (row, column) to crop (row, column)."""
    moved = (points_rc[:, ::-1] - frame.centre) @ np.linalg.inv(frame.turn).T + (frame.size - 1) / 2
    return moved[:, ::-1]
