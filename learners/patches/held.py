"""Arrays of a round held on the device, as far as there is room; parts of others are read from their files."""

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from storage.arrays import Box3, open_npy

MAPPED = 32  # files kept open: a project may have more images than files can be open
HELD_FROM = 2  # draws from an array on it is worth reading as a whole
TAKEN = frozenset("u1 i1 u2 i2 i4 f2 f4".split())  # types of numbers that torch copies into float32


class HeldArrays:
    """Files that do not change while this lives. `room`: bytes of the device that may be filled with whole arrays, 0 to
    hold none: a processor reads from mapped files, which costs it no memory."""

    def __init__(self, device: str, room: int = 0) -> None:
        self._device, self._room = torch.device(device), room
        self._held: dict[Path, Tensor] = {}
        self._drawn: dict[Path, int] = {}
        self._mapped: OrderedDict[Path, NDArray[Any]] = OrderedDict()
        self._ahead: dict[tuple[Path, str], Future[Tensor]] = {}
        self._reader: ThreadPoolExecutor | None = None

    @property
    def reads_ahead(self) -> bool:
        """Whether parts come from files while a device waits for them."""
        return self._device.type not in ("cpu", "meta")

    def part(self, path: Path, region: Box3) -> Tensor:
        """(z, y, x[, C]) the file's own numbers, on the device. May be a view of what is held: never to be changed."""
        if path in self._held:
            return self._held[path][region]
        early = self._ahead.pop((path, repr(region)), None)
        count = self._drawn[path] = self._drawn.get(path, 0) + 1
        if count >= HELD_FROM and self._hold(path):
            return self._held[path][region]
        return (early.result() if early else self._read(path, region)).to(self._device, non_blocking=True)

    def ahead(self, wanted: Iterable[tuple[Path, Box3]]) -> None:
        """Read these parts of files in a thread, for `part` to find."""
        self._reader = self._reader or ThreadPoolExecutor(1, "patches")
        for path, region in wanted:
            if path not in self._held:
                self._ahead[path, repr(region)] = self._reader.submit(_read, path, region, pinned=True)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)
        self._held, self._ahead, self._reader = {}, {}, None
        self._mapped.clear()

    def _hold(self, path: Path) -> bool:
        if not self._room:
            return False
        values = open_npy(path)
        size = values.size * min(values.itemsize, 4)
        if size > self._room:
            return False
        self._room -= size
        self._held[path] = tensor_of(np.asarray(values)).to(self._device)
        return True

    def _read(self, path: Path, region: Box3) -> Tensor:
        if path in self._mapped:
            self._mapped.move_to_end(path)
        else:
            self._mapped[path] = open_npy(path)
            if len(self._mapped) > MAPPED:
                self._mapped.popitem(last=False)
        return tensor_of(self._mapped[path][region])


def _read(path: Path, region: Box3, *, pinned: bool) -> Tensor:
    values = tensor_of(open_npy(path)[region])
    return values.pin_memory() if pinned and torch.cuda.is_available() else values


def tensor_of(values: NDArray[Any]) -> Tensor:
    """A copy as torch has it: float32 where it lacks the type."""
    known = f"{values.dtype.kind}{values.dtype.itemsize}" in TAKEN
    return torch.from_numpy(np.array(values, values.dtype.newbyteorder("=") if known else np.float32))
