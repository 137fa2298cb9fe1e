"""Ten pictures of cells that nobody took: of another size, number, brightness and noise each."""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from storage.scan import Scan

COUNT = 10
CLASSES = (("cell", "#42a5f5"),)
SHAPE = (240, 320)  # (Y, X)
APART = 0.85  # of the sum of two radii: some touch


def cells() -> Iterator[Scan]:
    for number in range(1, COUNT + 1):
        yield cell_picture(number)[0]


def cell_picture(number: int) -> tuple[Scan, NDArray[np.uint16]]:
    """A picture and the number of the cell at each pixel, (1, Y, X), 0 for none. The same every time."""
    random = np.random.default_rng(200 + number)
    owners = _placed(random, radius=float(random.uniform(9, 17)), count=int(random.integers(18, 40)))
    ground = random.uniform(10, 40)
    levels = np.concatenate([[0], random.uniform(60, 170, int(owners.max()))])
    grain = gaussian_filter(random.standard_normal(SHAPE), 2)
    values = ground + levels[owners] * (1 + 0.5 * grain / grain.std() * 0.3)
    values += 12 * gaussian_filter(random.standard_normal(SHAPE), 30) * 30
    values = gaussian_filter(values, random.uniform(0.8, 1.8))
    values += random.standard_normal(SHAPE) * random.uniform(3, 10)
    pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    if number % 4 == 0:  # dark on bright, as in phase contrast
        pixels = 255 - pixels
    return Scan(f"cells {number:02}", pixels[None], None, None), owners[None]


def _placed(random: Generator, radius: float, count: int) -> NDArray[np.uint16]:
    """(Y, X) ellipses one after another where there is room."""
    owners = np.zeros(SHAPE, np.uint16)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    centres: list[tuple[float, float, float]] = []
    for _ in range(40 * count):
        size = radius * random.uniform(0.7, 1.3)
        row, column = random.uniform(0, SHAPE[0]), random.uniform(0, SHAPE[1])
        if any(np.hypot(row - r, column - c) < APART * (size + s) for r, c, s in centres):
            continue
        centres.append((row, column, size))
        turn, flat = random.uniform(0, np.pi), random.uniform(0.65, 1)
        along = (rows - row) * np.cos(turn) + (columns - column) * np.sin(turn)
        across = -(rows - row) * np.sin(turn) + (columns - column) * np.cos(turn)
        owners[(along**2 + (across / flat) ** 2 <= size**2) & (owners == 0)] = len(centres)
        if len(centres) == count:
            break
    return owners
