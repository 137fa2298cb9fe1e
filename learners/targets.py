"""(y, w): how what people said becomes a class for each voxel and how far to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays import BACKGROUND, UNLABELLED

# In a target file: background on a slice that was completed before a later class existed. It says "background, or
# a class that came later", never "not the new class".
OPEN_BACKGROUND = 254


@dataclass(frozen=True)
class Target:
    """What is known about voxels of one image or patch."""

    y: NDArray[np.int16]  # class index 0..K-1, OPEN_BACKGROUND, or UNLABELLED
    w: NDArray[np.float32]  # trust: 0 unknown, 1 a person said so


@dataclass(frozen=True)
class Classes:
    """The project's classes as a network's channels: background is channel 0."""

    ids: tuple[int, ...]  # channel i + 1 is class ids[i]

    def __post_init__(self) -> None:
        if not self.ids or sorted(set(self.ids)) != sorted(self.ids) or BACKGROUND in self.ids:
            raise ValueError(f"a learner needs one class or more, each once, got {self.ids}")

    def __len__(self) -> int:
        """Channels, background included."""
        return len(self.ids) + 1

    def to_channels(self) -> NDArray[np.int16]:
        """(256,) table from a label value to a channel; classes the network lacks are ignored."""
        table = np.full(256, UNLABELLED, np.int16)
        table[BACKGROUND], table[OPEN_BACKGROUND] = BACKGROUND, OPEN_BACKGROUND
        table[list(self.ids)] = np.arange(1, len(self.ids) + 1)
        return table

    def to_values(self) -> NDArray[np.uint8]:
        """(K,) table from a channel to a label value."""
        return np.array([BACKGROUND, *self.ids], np.uint8)


def target_of(known: NDArray[np.uint8], classes: Classes) -> Target:
    """From label values of any shape; what nobody said has trust 0."""
    y = classes.to_channels()[known]
    return Target(y, (y != UNLABELLED).astype(np.float32))


def without_slices(known: NDArray[np.uint8], held: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """(Z, Y, X) that says nothing on the held-out (axis, index) slices; a copy where there are any."""
    if not held:
        return known
    out = np.array(known)
    for axis, index in held:
        out[(slice(None),) * axis + (index,)] = UNLABELLED
    return out


def only_slices(known: NDArray[np.uint8], held: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """A (Z, Y, X) copy that says something on the held-out slices alone."""
    out = np.full(known.shape, UNLABELLED, np.uint8)
    for axis, index in held:
        place = (slice(None),) * axis + (index,)
        out[place] = known[place]
    return out
