"""Embeddings on disk: one file for each picture and model, half precision, bounded by a quota."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.prompt import Embedding
from storage.array_cache import ArrayCache, Arrays

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
        self._disk = ArrayCache(directory, quota_bytes)
        # Protects `_memory`. A leaf: the lock of the disk's cache is never taken while it is held.
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, Embedding] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        return self._disk.used_bytes

    def __contains__(self, key: str) -> bool:
        with self._lock:
            if key in self._memory:
                return True
        return key in self._disk

    def get(self, key: str, model_id: str) -> Embedding | None:
        """The embedding if it is here and whole; reading it from disk takes some milliseconds."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        arrays = self._disk.get(key)
        if arrays is None:
            return None
        embedding = embedding_of(arrays, model_id)
        if embedding is None:
            self._disk.forget(key)
            return None
        self._remember(key, embedding)
        return embedding

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep it; where the disk is full or read-only, in memory alone."""
        small = Embedding(embedding.model_id, embedding.shape, halved(embedding.arrays))
        self._remember(key, small)
        self._disk.put(key, arrays_of(small))

    def _remember(self, key: str, embedding: Embedding) -> None:
        with self._lock:
            self._memory[key] = embedding
            self._memory.move_to_end(key)
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)


def halved(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """Floats in half precision: half the disk for a difference far below what moves a mask."""
    limit = np.finfo(np.float16).max
    return {
        name: np.clip(array, -limit, limit).astype(np.float16) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def arrays_of(embedding: Embedding) -> Arrays:
    """As one file holds it."""
    head = {"model_id": np.array(embedding.model_id), "shape": np.array(embedding.shape)}
    return {**head, **{f"array.{name}": array for name, array in embedding.arrays.items()}}


def embedding_of(arrays: Arrays, model_id: str) -> Embedding | None:
    """None where these are another model's, or no embedding."""
    if "shape" not in arrays or str(arrays.get("model_id")) != model_id:
        return None
    h, w = (int(n) for n in arrays["shape"])
    own = {name.removeprefix("array."): a for name, a in arrays.items() if name.startswith("array.")}
    return Embedding(model_id, (h, w), own)
