"""One session of ours on a server: the image that it holds, what it was told, and the mask that came of it."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.volumes.connection import Connection, Declined, Granted, VolumeMask
from annotator.prompting.volumes.steps import PromptStep
from storage.arrays import open_npy

MOST_BYTES = 4 << 30  # of the pixels of a volume that is sent
AS_IT_IS = ("uint8", "int16", "float32")  # what every server takes; the rest travels as numbers of 32 bits


@dataclass(frozen=True)
class SentVolume:
    """A volume of the project, by the file of its pixels."""

    path: Path
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def pixels(self) -> NDArray[Any]:
        """(Z, Y, X); of colour its lightness. Raises TornFile, Declined."""
        stored = open_npy(self.path)
        if 4 * int(np.prod(self.shape, dtype=np.int64)) > MOST_BYTES:
            raise Declined("is not sent a volume of this size")
        if stored.ndim == 4:
            return np.asarray(stored.mean(axis=3, dtype=np.float32))
        return np.ascontiguousarray(stored, stored.dtype if stored.dtype.name in AS_IT_IS else np.float32)


@dataclass
class ServerLease:
    """All but `used` and `beaten` is for whoever holds `busy`."""

    granted: Granted
    busy: threading.Lock = field(default_factory=threading.Lock)  # held while the server is asked in it
    volume: SentVolume | None = None
    told: tuple[PromptStep, ...] | None = ()  # None: nobody knows, so that it is told anew
    mask: VolumeMask = field(default_factory=lambda: np.zeros((0, 0, 0), np.bool_))
    used: float = field(default_factory=time.monotonic)
    beaten: float = field(default_factory=time.monotonic)  # the newest sign of life

    def hold(self, connection: Connection, volume: SentVolume) -> None:
        """Send the volume where the server has another one. Raises Unanswered, LeaseEnded, TornFile."""
        if self.volume == volume:
            return
        self.volume, self.told = None, None
        connection.send_image(self.granted.token, volume.pixels, volume.spacing_mm)
        self.volume, self.told, self.mask = volume, (), np.zeros(volume.shape, np.bool_)
        self.beaten = time.monotonic()

    def answer(self, connection: Connection, volume: SentVolume, steps: Sequence[PromptStep]) -> VolumeMask:
        """(Z, Y, X), which nobody changes any more. Raises as `hold`."""
        self.hold(connection, volume)
        new = self._untold(steps)
        if new is None:
            self.told = None
            connection.reset(self.granted.token)
            new, self.mask = tuple(steps), np.zeros(volume.shape, np.bool_)
        mask, self.told = self.mask.copy(), None
        for n, step in enumerate(new, start=1):
            said, marked = step.message(volume.shape)
            said["run_prediction"] = n == len(new)
            connection.tell(self.granted.token, step.path, said, marked, mask)
        self.mask, self.told = mask, tuple(steps)
        self.used = self.beaten = time.monotonic()
        return mask

    def _untold(self, steps: Sequence[PromptStep]) -> tuple[PromptStep, ...] | None:
        """What is new; None where something was taken back, so that all is said again."""
        if self.told is None or Counter(self.told) - Counter(steps):
            return None
        known, new = Counter(self.told), []
        for step in steps:
            if known[step]:
                known[step] -= 1
            else:
                new.append(step)
        return tuple(new)
