"""All slices of a volume as one square picture, and back: how SFR shows a volume to SAM in one look."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mosaic:
    """Where each of `depth` slices of (rows, columns) lies in a square of `side` pixels."""

    depth: int
    rows: int
    columns: int
    side: int

    @property
    def across(self) -> int:
        """Cells in a row."""
        return math.ceil(math.sqrt(self.depth))

    @property
    def cell(self) -> int:
        return self.side // self.across

    @property
    def zoom(self) -> float:
        """Whole-numbered where slices fit into their cells, so that the way back is exact; else below 1."""
        fits = self.cell / max(self.rows, self.columns)
        return float(int(fits)) if fits >= 1 else fits

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of a slice in the picture."""
        return max(1, int(self.rows * self.zoom)), max(1, int(self.columns * self.zoom))

    def place(self, index: int) -> tuple[slice, slice]:
        """Where a slice lies: in the middle of its cell."""
        h, w = self.size
        row = index // self.across * self.cell + (self.cell - h) // 2
        column = index % self.across * self.cell + (self.cell - w) // 2
        return slice(row, row + h), slice(column, column + w)

    def stitch(self, volume: NDArray[Any], outside: float) -> NDArray[Any]:
        """(depth, rows, columns) to (side, side); `outside` where no slice is. Whole numbers stay what they are."""
        out = np.full((self.side, self.side), outside, volume.dtype)
        for index, cut in enumerate(volume):
            out[self.place(index)] = self._scaled(cut)
        return out

    def unstitch(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., side, side) to (..., depth, rows, columns), means where a pixel was repeated."""
        flat = picture.reshape(-1, self.side, self.side)
        out = np.empty((len(flat), self.depth, self.rows, self.columns), np.float32)
        for index in range(self.depth):
            place = self.place(index)
            for n, one in enumerate(flat):
                out[n, index] = self._back(one[place])
        return out.reshape(*picture.shape[:-2], self.depth, self.rows, self.columns)

    def _scaled(self, cut: NDArray[Any]) -> NDArray[Any]:
        if self.zoom >= 1:
            times = int(self.zoom)
            return cut.repeat(times, 0).repeat(times, 1)
        h, w = self.size
        way = cv2.INTER_NEAREST if cut.dtype.kind in "iub" else cv2.INTER_AREA
        return cv2.resize(np.ascontiguousarray(cut), (w, h), interpolation=way)

    def _back(self, cut: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.zoom >= 1:
            times = int(self.zoom)
            parts = cut.reshape(self.rows, times, self.columns, times)
            return np.asarray(parts.mean((1, 3)), np.float32)
        size = (self.columns, self.rows)
        return np.asarray(
            cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_LINEAR), np.float32
        )
