"""Where a training example is cut: close or wide around an object, as the model will look at it in use."""

import numpy as np
from numpy.random import Generator

from models.clicknet.frames import CropFrame


def around(
    rng: Generator, box: tuple[int, int, int, int], size: int, *, upright: bool, straight: bool = False
) -> CropFrame:
    """Close (the refining pass) or wide (the pass that looks for the extent), turned, stretched, flipped.

    `upright` keeps what is up at the top, `straight` keeps the picture's own grid and proportions, as in use.
    """
    r0, c0, r1, c1 = box
    extent = max(r1 - r0, c1 - c0, 4)
    close = rng.random() < 0.62
    zoom = float(np.exp(rng.uniform(*np.log((1.15, 2.6) if close else (2.2, 9)))))
    side = max(extent * zoom, 12)
    slack = max(side - extent, 0.3 * side) / 2
    centre = np.array([(c0 + c1 - 1) / 2, (r0 + r1 - 1) / 2]) + rng.uniform(-0.85, 0.85, 2) * slack
    angle = 0.0 if upright else float(rng.integers(4) * np.pi / 2)
    stretch = 1.0
    if not straight:
        angle += rng.normal(0, 0.15)
        if not upright and rng.random() < 0.3:
            angle = rng.uniform(0, 2 * np.pi)
        stretch = float(np.exp(rng.normal(0, 0.15 if rng.random() < 0.8 else 0.5)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([stretch, 1 / stretch]) * (side / size)
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    return CropFrame(centre, turn, size)


def inside(frame: CropFrame, shape: tuple[int, ...]) -> CropFrame:
    """The frame moved over the image, and made no larger than it, as it is in use."""
    reach = np.abs(frame.turn).sum(1) * frame.size
    extent = np.array(shape[1::-1], float)
    shrink = min(1.0, 1.1 * extent.max() / reach.max())
    half = reach * shrink / 2
    low, high = np.minimum(half, extent / 2), np.maximum(extent - half, extent / 2)
    return CropFrame(np.clip(frame.centre, low, high), frame.turn * shrink, frame.size)
