"""The encoder half of the built-in network as a maker of dense features: what it sees when nobody points."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from models.clicknet.adapter import WEIGHTS, digest
from models.clicknet.inputs import standardise
from models.clicknet.network import INPUTS, Network


class Trunk:
    """The first stages, at 1/2, 1/4, 1/8 and so on of the picture's size."""

    def __init__(self, stages: int, device: str = "cpu") -> None:
        self.key = digest(WEIGHTS.read_bytes())  # changes with the weights
        network = Network().eval().requires_grad_(False)
        network.load_state_dict(load_file(WEIGHTS))
        self._stages, self._device = network.down[:stages].to(device), device

    def levels(self, picture: NDArray[np.uint8]) -> list[Tensor]:
        """(H, W, 3), sides multiples of 2**stages, to one (1, C, h, w) float32 per stage; prompt channels are empty."""
        x = torch.zeros(1, INPUTS, *picture.shape[:2])
        x[0, :3] = torch.from_numpy(standardise(picture).transpose(2, 0, 1).copy())
        x = x.to(self._device).contiguous(memory_format=torch.channels_last)
        levels = []
        with torch.inference_mode():
            for stage in self._stages:
                x = stage(x)
                levels.append(x.float())
        return levels
