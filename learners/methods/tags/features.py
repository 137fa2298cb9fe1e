"""What the built-in network's trunk sees of a slice when nobody points at anything."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clicknet.network import Shape
from models.clicknet.trunk import Trunk

LEVEL = 2  # of the trunk, 1/8 of the side: alone it tells classes better than with finer or coarser ones beside it
CHANNELS = Shape().widths[LEVEL]
COARSE = 2 ** (LEVEL + 1)  # pixels for each place
SIDES = (128, 256)  # pixels the trunk sees a slice at: the smaller for slices no longer than LONG
LONG = 160
Features = NDArray[np.float16]  # (CHANNELS, side / COARSE, side / COARSE)


class Places:
    """Features of the places of a slice, from the trunk of the built-in prompt model."""

    def __init__(self, device: str = "cpu") -> None:
        self._trunk = Trunk(LEVEL + 1, device)
        self.key = self._trunk.key

    def features(self, picture: NDArray[np.uint8]) -> Features:
        """Of a (H, W, 3) slice, squeezed into a square: a cell of the answer covers 1/(side / COARSE) of each side."""
        side = SIDES[0] if max(picture.shape[:2]) <= LONG else SIDES[1]
        shrink = max(picture.shape[:2]) > side
        seen = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        level = self._trunk.levels(np.asarray(seen, np.uint8))[LEVEL][0]
        return level.half().contiguous().cpu().numpy()  # laid out as they will be read back from disk
