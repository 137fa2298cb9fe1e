"""Embeddings made ahead of the person and kept: a bounded cache on disk, one worker, and who answers meanwhile.

A click never waits: until the chosen model is loaded and has embedded the slice, a model that needs no embedding
answers, and the answer says so.
"""

import contextlib
import hashlib
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learners.kept import Arrays, KeptArrays
from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts
from storage.arrays import SliceRef, TornFile

log = logging.getLogger(__name__)

IN_MEMORY = 16  # embeddings; 2 MB each for the SAM family
NEIGHBOURS = 3  # slices ahead in the direction of scrolling; one fewer behind


@dataclass(frozen=True)
class Shown:
    """A slice as it is on screen: the window is part of what a model sees."""

    ref: SliceRef
    window: tuple[float, float]


Picture = Callable[[Shown], NDArray[np.uint8]]  # (H, W, 3) windowed RGB; raises LookupError or TornFile
Load = Callable[[], PromptModel]


@dataclass(frozen=True)
class Work:
    """What the worker is at, for the page."""

    model: str
    phase: str  # "loading", "embedding", "idle" or "failed"
    done: int = 0  # slices of the present round that are ready
    total: int = 0
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """Masks, by whom, and why it was not the chosen model ("" where it was)."""

    prediction: MaskPrediction
    by_chosen: bool
    why: str


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
        self._disk = KeptArrays(directory, quota_bytes)
        self._lock = threading.Lock()  # protects what is in memory; the disk's own is taken outside it
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
    facts = {"model_id": np.array(embedding.model_id), "shape": np.array(embedding.shape)}
    return {**facts, **{f"array.{name}": array for name, array in embedding.arrays.items()}}


def embedding_of(arrays: Arrays, model_id: str) -> Embedding | None:
    """None where these are another model's, or no embedding."""
    if "shape" not in arrays or str(arrays.get("model_id")) != model_id:
        return None
    h, w = (int(n) for n in arrays["shape"])
    own = {name.removeprefix("array."): a for name, a in arrays.items() if name.startswith("array.")}
    return Embedding(model_id, (h, w), own)


def neighbours(shown: Shown, count: int, direction: int) -> list[Shown]:
    """The open slice, then those around it among `count` slices of its axis, first in the direction of scrolling."""
    ref, forward = shown.ref, 1 if direction >= 0 else -1
    steps = [0]
    for step in range(1, NEIGHBOURS + 1):
        steps += [forward * step] + ([-forward * step] if step < NEIGHBOURS else [])
    wanted = [ref.index + step for step in steps]
    return [
        Shown(SliceRef(ref.image_id, ref.axis, index), shown.window) for index in wanted if 0 <= index < count
    ]


class Embeddings:
    """One worker that loads the chosen model and embeds slices in the order of their use. Thread-safe.

    `use` and `look` return at once; `answer` takes as long as one prediction. `close` waits for the slice that is being
    embedded, at most one encoding.
    """

    def __init__(
        self, cache: EmbeddingCache, picture: Picture, tell: Callable[[Work], None] = lambda work: None
    ) -> None:
        self._cache, self._picture, self._tell = cache, picture, tell
        # Protects everything below; never held while a model, the disk or `tell` is at work.
        self._changed = threading.Condition()
        self._title = ""
        self._load: Load | None = None
        self._model: PromptModel | None = None
        self._problem = ""
        self._near: list[Shown] = []
        self._far: list[Shown] = []
        self._done = self._total = 0
        self._wish = 0  # counts `look`s, so that a slice of an earlier one is not counted into a later one
        self._closing = False
        self._worker = threading.Thread(target=self._run, name="embeddings", daemon=True)
        self._worker.start()

    def use(self, title: str, load: Load | None) -> None:
        """Choose a model by how it is loaded, or none. What was queued for the last one is dropped."""
        with self._changed:
            self._title, self._load, self._model, self._problem = title, load, None, ""
            self._near, self._far, self._done, self._total = [], [], 0, 0
            self._changed.notify_all()

    def look(self, near: Sequence[Shown], far: Iterable[Shown] = ()) -> None:
        """Make these next, most urgent first, in place of all that waited; `far` comes when nothing else waits."""
        with self._changed:
            self._near, self._far = list(near), list(far)
            self._done, self._total = 0, len(self._near) + len(self._far)
            self._wish += 1
            self._changed.notify_all()

    @property
    def model(self) -> PromptModel | None:
        """The chosen model once it is loaded."""
        with self._changed:
            return self._model

    def ready(self, picture: NDArray[np.uint8]) -> bool:
        """Whether the chosen model would answer on this picture."""
        with self._changed:
            model = self._model
        return model is not None and key_of(picture, model.model_id) in self._cache

    def get_now(self, picture: NDArray[np.uint8], model: PromptModel) -> Embedding:
        """From the cache, or made in the caller's thread: for jobs that may wait, not for clicks."""
        key = key_of(picture, model.model_id)
        embedding = self._cache.get(key, model.model_id)
        if embedding is None:
            embedding = model.encode(picture)
            self._cache.put(key, embedding)
        return embedding

    def answer(self, picture: NDArray[np.uint8], prompts: Prompts, stand_in: PromptModel) -> Answer:
        """By the chosen model where it has this picture's embedding, else by one whose encoding costs nothing."""
        with self._changed:
            model, why = self._model, self._why()
        if model is not None:
            embedding = self._cache.get(key_of(picture, model.model_id), model.model_id)
            if embedding is not None:
                return Answer(model.predict(embedding, prompts), True, "")
        return Answer(stand_in.predict(stand_in.encode(picture), prompts), False, why)

    def why(self) -> str:
        """Why the chosen model may not be answering; "" where none is chosen."""
        with self._changed:
            return self._why()

    def close(self) -> None:
        """Stop the worker and wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join()

    def _why(self) -> str:
        """Called with the lock held."""
        if self._problem:
            return self._problem
        if self._model is None:
            return (
                f"{self._title} is being loaded; the built-in model answers until then" if self._load else ""
            )
        return f"{self._title} is still looking at this slice; the built-in model answers until then"

    def _run(self) -> None:
        step_back()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._load_waits() or self._slice_waits())
                if self._closing:
                    return
                load = self._load if self._load_waits() else None
                model, title, wish = self._model, self._title, self._wish
                shown = None if load else (self._near or self._far).pop(0)
            if load is not None:
                self._load_model(load, title)
            elif shown is not None and model is not None:
                self._embed(shown, model, wish)

    def _load_waits(self) -> bool:
        return self._load is not None and self._model is None and not self._problem

    def _slice_waits(self) -> bool:
        return self._model is not None and bool(self._near or self._far)

    def _load_model(self, load: Load, title: str) -> None:
        self._tell(Work(title, "loading"))
        try:
            model, problem = load(), ""
        except (
            Exception
        ) as error:  # a wrong file, a missing package, no memory: the page says it, clicks go on
            log.warning("%s could not be loaded: %s", title, first_line(error))
            model, problem = None, f"{title} could not be loaded: {first_line(error)}"
        with self._changed:
            if self._load is not load:  # another one was chosen meanwhile
                return
            self._model, self._problem = model, problem
        self._tell(Work(title, "failed" if problem else "idle", message=problem))

    def _embed(self, shown: Shown, model: PromptModel, wish: int) -> None:
        message = ""
        try:
            self.get_now(self._picture(shown), model)
        except (LookupError, TornFile):
            message = ""  # the image was removed or is torn; the page says so where it is opened
        except Exception as error:  # out of memory on a huge slice: the built-in model keeps answering there
            message = first_line(error)
            log.warning("a slice could not be embedded: %s", message)
        with self._changed:
            if self._model is not model:
                return
            self._done += wish == self._wish
            busy = bool(self._near or self._far)
            work = Work(self._title, "embedding" if busy else "idle", self._done, self._total, message)
        self._tell(work)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def step_back() -> None:
    """Clicks come before what is made ahead of them. Only Linux can lower one thread (and those it starts)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
