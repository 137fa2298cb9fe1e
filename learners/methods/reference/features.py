"""Dense features of a picture from the project's prompt model, on one grid of cells."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.clicknet.trunk import Trunk
from models.prompt import PromptModel

CELL = 4  # pixels of the seen picture for each side of a cell
STAGES = 3  # of the built-in network's encoder, at 1/2, 1/4 and 1/8 of the size
USED = slice(1, 3)  # of them: on nuclei Dice 0.73 (other laboratories 0.68), with the first stage 0.68 (0.56)
MAX_PIXELS = 448 * 448  # that are looked at of a picture
SIZE = 32.0  # pixels at which the typical object is seen
ZOOM = (0.2, 2.0)


class Dense(Protocol):
    """Where features come from."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def key(self) -> str:
        """Changes with the weights."""

    def __call__(self, picture: NDArray[np.uint8], zoom: float) -> list[Tensor]:
        """(H, W, 3) to levels of (D, h, w), all on one grid that covers the picture."""


class BuiltInFeatures:
    """The first stages of the built-in network, its prompt channels empty."""

    name = "the built-in model"

    def __init__(self, device: str = "cpu") -> None:
        self._trunk = Trunk(STAGES, device)
        self.key = self._trunk.key

    def __call__(self, picture: NDArray[np.uint8], zoom: float) -> list[Tensor]:
        h, w = (max(CELL, round(n * zoom)) for n in picture.shape[:2])
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        seen = np.asarray(cv2.resize(picture, (w, h), interpolation=way), np.uint8)
        multiple = 2**STAGES
        whole = cv2.copyMakeBorder(seen, 0, -h % multiple, 0, -w % multiple, cv2.BORDER_REPLICATE)
        levels = self._trunk.levels(np.asarray(whole, np.uint8))
        cells = -(-h // CELL), -(-w // CELL)
        return [
            _on_grid(level, whole.shape[0] // CELL, whole.shape[1] // CELL, cells) for level in levels[USED]
        ]


@dataclass(frozen=True)
class SamFeatures:
    """The image embedding of a SAM, which sees every picture at its own size."""

    model: PromptModel
    name: str
    key: str

    def __call__(self, picture: NDArray[np.uint8], zoom: float) -> list[Tensor]:
        arrays = self.model.encode(picture).arrays
        if "features" not in arrays:  # the second family squeezes pictures into its square
            coarse = [torch.from_numpy(np.asarray(arrays[k], np.float32)) for k in sorted(arrays)]
            return [
                F.adaptive_avg_pool2d(level, (coarse[-1].shape[-2], coarse[-1].shape[-1]))[0]
                for level in coarse
            ]
        whole = torch.from_numpy(np.asarray(arrays["features"], np.float32))
        whole = whole.reshape(-1, *whole.shape[-2:])
        longest = max(picture.shape[:2])  # the first family pads the shorter side
        h, w = (max(1, round(whole.shape[-1] * n / longest)) for n in picture.shape[:2])
        return [whole[:, :h, :w]]


def zoom_for(diameter: float, shape: tuple[int, int]) -> float:
    """How much to enlarge a picture so that an object of so many pixels is seen at SIZE, within bounds."""
    wanted = float(np.clip(SIZE / max(diameter, 1.0), *ZOOM))
    return min(wanted, float(np.sqrt(MAX_PIXELS / (shape[0] * shape[1]))))


def _on_grid(level: Tensor, h: int, w: int, cells: tuple[int, int]) -> Tensor:
    """(1, D, a, b) averaged or interpolated to (h, w) cells, of them those that cover the picture."""
    if level.shape[-2] > h:
        level = F.avg_pool2d(level, level.shape[-2] // h)
    elif level.shape[-2] < h:
        level = F.interpolate(level, (h, w), mode="bilinear")
    return level[0, :, : cells[0], : cells[1]]
