"""Arrays that can be made again, kept on disk up to a number of bytes: the least recently used go first. NumPy only.

Embeddings of the page and what rounds keep of pixels live in such folders.
"""

import contextlib
import logging
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import TornFile, read_npz

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


class ArrayCache:
    """Named arrays in one .npz for each key. Thread-safe.

    Losing a file costs time only: what is missing or torn counts as absent. Processes may share a folder: each counts
    what it found at its start and what it wrote, so they may together exceed the quota until the next one starts.
    """

    def __init__(self, directory: Path, quota_bytes: int, *, abandoned_seconds: float = 0.0) -> None:
        """`abandoned_seconds`: the age from which a half-written file is nobody's; 0 for who owns the folder alone."""
        self._directory, self._quota = directory, quota_bytes
        self._lock = threading.Lock()  # protects the two below; a leaf, never held while the disk is at work
        self._sizes: OrderedDict[str, int] = OrderedDict()  # bytes by file, least recently used first
        self._used = 0
        self._survey(abandoned_seconds)

    @property
    def used_bytes(self) -> int:
        with self._lock:
            return self._used

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return self._path(key).name in self._sizes

    def get(self, key: str) -> Arrays | None:
        """The arrays if they are here and whole; some milliseconds."""
        path = self._path(key)
        with self._lock:
            if path.name not in self._sizes:
                return None
            self._sizes.move_to_end(path.name)
        arrays = read_arrays(path)
        if arrays is None:
            self.forget(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the order of use outlives this process
        return arrays

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep them; where the disk is full or read-only they are not, and the log says so."""
        path = self._path(key)
        try:
            size = write_arrays(path, arrays)
        except OSError as error:
            log.warning("%s could not be kept on disk: %s", path.name, error.strerror or error)
            return
        with self._lock:
            self._used += size - self._sizes.pop(path.name, 0)
            self._sizes[path.name] = size
            old = self._over_quota()
        self._remove(old)

    def get_or_make(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """What is kept under the key, made and kept where it is not."""
        arrays = self.get(key)
        if arrays is None:
            arrays = make()
            self.put(key, arrays)
        return arrays

    def forget(self, key: str) -> None:
        path = self._path(key)
        self._remove([path.name])
        with self._lock:
            self._used -= self._sizes.pop(path.name, 0)

    def _over_quota(self) -> list[str]:
        """Take the least recently used out of the books until the rest fits. Called with the lock held."""
        old: list[str] = []
        while self._used > self._quota and self._sizes:
            name, size = self._sizes.popitem(last=False)
            self._used -= size
            old.append(name)
        return old

    def _survey(self, abandoned_seconds: float) -> None:
        """Count what is there, oldest first; half-written files of the dead go."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found: list[tuple[int, int, str]] = []
        for path in self._directory.glob("*.*"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it just now
                info = path.stat()
                if path.suffix in (".npz", ".npy"):
                    found.append((info.st_mtime_ns, info.st_size, path.name))
                elif path.suffix == ".tmp" and time.time() - info.st_mtime >= abandoned_seconds:
                    self._remove([path.name])
        for _, size, name in sorted(found):
            self._sizes[name] = size
            self._used += size
        self._remove(self._over_quota())

    def _remove(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(
                OSError
            ):  # Windows: another process reads it; it is counted at the next start
                (self._directory / name).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.npz"


def write_arrays(path: Path, arrays: Arrays) -> int:
    """All or nothing; the bytes written. Not synced to the disk: a torn file is noticed and made again."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")  # two processes may make the same file
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its one named option is no array
        size = temporary.stat().st_size
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return size


def read_arrays(path: Path) -> Arrays | None:
    """None where the file is missing or torn: each array has a checksum."""
    try:
        return read_npz(path)
    except TornFile:
        return None
