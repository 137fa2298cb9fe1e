"""Pascal VOC's colours of numbers."""

import numpy as np
from numpy.typing import NDArray


def palette() -> NDArray[np.uint8]:
    """(256, 3): the bits of a number, spread from the highest of each colour downwards."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), int)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)
