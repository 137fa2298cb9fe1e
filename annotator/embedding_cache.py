"""Embeddings on disk: one file for each picture and model, half precision, bounded by a quota."""

import contextlib
import hashlib
import logging
import os
import threading
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.prompt import Embedding

log = logging.getLogger(__name__)

IN_MEMORY = 16  # embeddings; 2 MB each for the SAM family


def key_of(picture: NDArray[np.uint8], model_id: str) -> str:
    """The name under which an embedding is kept: the windowed pixels, their shape and the model. A millisecond."""
    digest = hashlib.sha256(f"{model_id} {picture.shape}".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


class EmbeddingCache:
    """Embeddings on disk up to a quota, the last used of them in memory too. Thread-safe; owns its directory.

    Losing a file costs time only: what is missing, torn or of another model counts as absent.
    """

    def __init__(self, directory: Path, quota_bytes: int) -> None:
        self._directory, self._quota = directory, quota_bytes
        self._lock = threading.Lock()  # protects the three below; a leaf, never held while a model runs
        self._memory: OrderedDict[str, Embedding] = OrderedDict()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # bytes on disk, least recently used first
        self._used = 0
        self._survey()

    @property
    def used_bytes(self) -> int:
        with self._lock:
            return self._used

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._memory or key in self._sizes

    def get(self, key: str, model_id: str) -> Embedding | None:
        """The embedding if it is here and whole; reading it from disk takes some milliseconds."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
            if key not in self._sizes:
                return None
            self._sizes.move_to_end(key)
        embedding = read_embedding(self._path(key), model_id)
        if embedding is None:
            self._forget(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._path(key))  # the order of use outlives this process
        self._remember(key, embedding)
        return embedding

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep it; where the disk is full or read-only, in memory alone."""
        small = Embedding(embedding.model_id, embedding.shape, halved(embedding.arrays))
        self._remember(key, small)
        try:
            size = write_embedding(self._path(key), small)
        except OSError as error:
            log.warning("an embedding could not be kept on disk: %s", error.strerror or error)
            return
        with self._lock:
            self._used += size - self._sizes.pop(key, 0)
            self._sizes[key] = size
            old = self._over_quota()
        for name in old:
            self._path(name).unlink(missing_ok=True)

    def _over_quota(self) -> list[str]:
        """Take the least recently used out of the books until the rest fits. Called with the lock held."""
        old: list[str] = []
        while self._used > self._quota and self._sizes:
            name, size = self._sizes.popitem(last=False)
            self._used -= size
            old.append(name)
        return old

    def _remember(self, key: str, embedding: Embedding) -> None:
        with self._lock:
            self._memory[key] = embedding
            self._memory.move_to_end(key)
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
        with self._lock:
            self._used -= self._sizes.pop(key, 0)

    def _survey(self) -> None:
        """Count what an earlier run left, oldest first; half-written files go."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for rest in self._directory.glob("*.tmp"):
            rest.unlink(missing_ok=True)
        found = [(path, path.stat()) for path in self._directory.glob("*.npz")]
        for path, facts in sorted(found, key=lambda pair: pair[1].st_mtime):
            self._sizes[path.stem] = facts.st_size
            self._used += facts.st_size
        for name in self._over_quota():
            self._path(name).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.npz"


def halved(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """Floats in half precision: half the disk for a difference far below what moves a mask."""
    limit = np.finfo(np.float16).max
    return {
        name: np.clip(array, -limit, limit).astype(np.float16) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def write_embedding(path: Path, embedding: Embedding) -> int:
    """All or nothing; the bytes written. Not synced to the disk: a torn file is noticed and made again."""
    temporary = path.with_name(path.name + ".tmp")
    facts = {"model_id": np.array(embedding.model_id), "shape": np.array(embedding.shape)}
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **facts, **{f"array.{name}": array for name, array in embedding.arrays.items()})
        size = temporary.stat().st_size
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return size


def read_embedding(path: Path, model_id: str) -> Embedding | None:
    """None where the file is missing, torn or of another model."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content["model_id"]) != model_id:
                return None
            h, w = (int(n) for n in content["shape"])
            names = [name for name in content.files if name.startswith("array.")]
            return Embedding(model_id, (h, w), {name.removeprefix("array."): content[name] for name in names})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
