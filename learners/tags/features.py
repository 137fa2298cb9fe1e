"""What the built-in network's trunk sees of a slice when nobody points at anything; made once and kept on disk."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file

from learners.data import Case
from models.clicknet.inputs import standardise
from models.clicknet.model import WEIGHTS
from models.clicknet.network import INPUTS, Network, Shape
from storage.arrays import open_npy, plane, write_bytes

CHANNELS = 64  # kept of each place: a fixed turn of all of them, which loses little and fits on a disk
SIDES = (128, 256)  # pixels the trunk sees a slice at: the smaller for slices no longer than LONG
LONG = 160
COARSE = 8  # pixels for each place
LEVELS = (1, 2, 3)  # of the trunk: 1/4, 1/8 and 1/16 of the side
Features = NDArray[np.float16]  # (CHANNELS, side / COARSE, side / COARSE)


class Trunk:
    """The encoder half of the built-in prompt model, with its prompt channels empty."""

    def __init__(self, device: str = "cpu") -> None:
        network = Network().eval().requires_grad_(False)
        network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
        self._stages = network.down[: LEVELS[-1] + 1].to(device)
        self._device, self._turn = device, _turn().to(device)

    def features(self, picture: NDArray[np.uint8]) -> Features:
        """Of a (H, W, 3) slice, squeezed into a square: a cell of the answer covers 1/(side / COARSE) of each side."""
        side = SIDES[0] if max(picture.shape[:2]) <= LONG else SIDES[1]
        shrink = max(picture.shape[:2]) > side
        seen = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        x = torch.zeros(1, INPUTS, side, side)
        x[0, :3] = torch.from_numpy(standardise(np.asarray(seen, np.uint8)).transpose(2, 0, 1).copy())
        x = x.to(self._device).contiguous(memory_format=torch.channels_last)
        levels = []
        with torch.inference_mode():
            for stage in self._stages:
                x = stage(x)
                levels.append(x.float())
            size = (side // COARSE, side // COARSE)
            cells = torch.cat([_resized(levels[k], size) for k in LEVELS], 1)[0]
            turned = torch.einsum("chw,cd->dhw", cells, self._turn)
        return turned.half().cpu().numpy()


def picture_of(case: Case, axis: int, index: int) -> NDArray[np.uint8]:
    """(H, W, 3) of a slice. Pictures of 8 bits stay as they are: spreading the noise of those that hold nothing over
    all greys would tell them from the others by their background. Else the image's intensities fill 0..255."""
    pixels = open_npy(case.example.pixels)
    if pixels.dtype == np.uint8 and pixels.shape[0] == 1:
        return _in_colour(np.array(plane(pixels, axis, index)))
    region = [slice(0, n) for n in case.example.shape]
    region[axis] = slice(index, index + 1)
    seen = plane(np.moveaxis(case.look((region[0], region[1], region[2])), 0, -1), axis, 0)
    seen = np.clip(seen * 255, 0, 255).astype(np.uint8)
    return _in_colour(seen)


def _in_colour(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W), (H, W, 1) or (H, W, 3) as (H, W, 3)."""
    seen = seen[..., None] if seen.ndim == 2 else seen
    return np.repeat(seen, 3, 2) if seen.shape[2] == 1 else np.ascontiguousarray(seen[..., :3])


def kept(path: Path, make: Callable[[], NDArray]) -> NDArray:
    """The array of a file, made and written where it is not there or cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        array = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, array)
        return array


def _write(path: Path, array: NDArray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def _turn() -> torch.Tensor:
    """(C, CHANNELS) orthonormal columns, the same on every machine."""
    width = sum(Shape().widths[k] for k in LEVELS)
    values = np.random.default_rng(0).standard_normal((width, CHANNELS))
    return torch.from_numpy(np.linalg.qr(values)[0].astype(np.float32))


def _resized(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return (
        F.adaptive_avg_pool2d(x, size) if x.shape[-1] > size[1] else F.interpolate(x, size, mode="bilinear")
    )
