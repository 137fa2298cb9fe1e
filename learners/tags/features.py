"""What the built-in network's trunk sees of a slice when nobody points at anything."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.clicknet.network import Shape
from models.clicknet.trunk import Trunk

CHANNELS = 64  # kept of each place: a fixed turn of all of them, which loses little and fits on a disk
SIDES = (128, 256)  # pixels the trunk sees a slice at: the smaller for slices no longer than LONG
LONG = 160
COARSE = 8  # pixels for each place
LEVELS = (1, 2, 3)  # of the trunk: 1/4, 1/8 and 1/16 of the side
Features = NDArray[np.float16]  # (CHANNELS, side / COARSE, side / COARSE)


class Places:
    """Features of the places of a slice, from the trunk of the built-in prompt model."""

    def __init__(self, device: str = "cpu") -> None:
        self._trunk, self._turn = Trunk(LEVELS[-1] + 1, device), _turn().to(device)
        self.key = self._trunk.key

    def features(self, picture: NDArray[np.uint8]) -> Features:
        """Of a (H, W, 3) slice, squeezed into a square: a cell of the answer covers 1/(side / COARSE) of each side."""
        side = SIDES[0] if max(picture.shape[:2]) <= LONG else SIDES[1]
        shrink = max(picture.shape[:2]) > side
        seen = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        levels = self._trunk.levels(np.asarray(seen, np.uint8))
        with torch.inference_mode():
            size = (side // COARSE, side // COARSE)
            cells = torch.cat([_resized(levels[k], size) for k in LEVELS], 1)[0]
            turned = torch.einsum("chw,cd->dhw", cells, self._turn)
        return turned.half().cpu().numpy()


def _turn() -> torch.Tensor:
    """(C, CHANNELS) orthonormal columns, the same on every machine."""
    width = sum(Shape().widths[k] for k in LEVELS)
    values = np.random.default_rng(0).standard_normal((width, CHANNELS))
    return torch.from_numpy(np.linalg.qr(values)[0].astype(np.float32))


def _resized(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return (
        F.adaptive_avg_pool2d(x, size) if x.shape[-1] > size[1] else F.interpolate(x, size, mode="bilinear")
    )
