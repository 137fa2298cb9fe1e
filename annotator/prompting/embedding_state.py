"""The chosen prompt model and the slices that wait for it, shared by everything that makes embeddings."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.embedding_cache import EmbeddingCache, key_of
from annotator.prompting.embedding_queue import EmbeddingQueue, QueuedSlice, SliceView
from models.prompt import Embedding, PromptModel
from storage.arrays import TornFile

log = logging.getLogger(__name__)

ReadPicture = Callable[
    [SliceView], NDArray[np.uint8]
]  # (H, W, 3) windowed RGB; raises LookupError or TornFile
LoadModel = Callable[[], PromptModel]  # can be pickled where encoders elsewhere are to call it
Encode = Callable[[NDArray[np.uint8]], Embedding]


@dataclass(frozen=True)
class EmbeddingProgress:
    """What the workers are at, for the page."""

    model: str
    phase: str  # "loading", "embedding", "idle" or "failed"
    done: int = 0  # slices of the present round that are ready
    total: int = 0
    message: str = ""


@dataclass(frozen=True)
class ModelHandle:
    """A prompt model by how it is loaded, or none."""

    title: str
    load: LoadModel | None
    load_here: LoadModel | None = None  # where it is another way for this machine's own worker


class EmbeddingState:
    """Thread-safe. Whoever waits on `changed` holds it alone, and never while a model, the disk or Ray is at work."""

    def __init__(
        self, cache: EmbeddingCache, picture: ReadPicture, on_progress: Callable[[EmbeddingProgress], None]
    ) -> None:
        self.cache, self.picture, self._on_progress = cache, picture, on_progress
        # So that `on_progress` hears things in order. Taken before `changed`, and before what `on_progress` takes.
        self._telling = threading.Lock()
        # Protects everything below. A leaf: no other lock is taken while it is held.
        self.changed = threading.Condition()
        self.chosen = ModelHandle("", None)
        self.model: PromptModel | None = None  # once it is loaded
        self.problem = ""  # why it could not be
        self.queue = EmbeddingQueue()
        self.closing = False
        self._lost_encoder = ""  # why there are fewer encoders elsewhere than there could be

    def use(self, chosen: ModelHandle) -> None:
        """What was queued for the last one is dropped."""
        with self.changed:
            self.chosen, self.model, self.problem, self._lost_encoder = chosen, None, "", ""
            self.queue.drop()
            self.changed.notify_all()

    def loaded(self, chosen: ModelHandle, model: PromptModel | None, problem: str) -> None:
        with self.changed:
            if self.chosen is not chosen:  # another one was chosen meanwhile
                return
            self.model, self.problem = model, problem
            self.changed.notify_all()
        self._on_progress(EmbeddingProgress(chosen.title, "failed" if problem else "idle", message=problem))

    def loading(self, chosen: ModelHandle) -> None:
        self._on_progress(EmbeddingProgress(chosen.title, "loading"))

    def close(self) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def serves(self, model: PromptModel) -> bool:
        """Whether work for this model is still wanted. Also called with the lock held."""
        return self.model is model and not self.closing

    def embed(self, taken: QueuedSlice, model: PromptModel, encode: Encode, *, here: bool) -> None:
        """Make it, unless it is kept already. Raises BrokenExecutor where an encoder elsewhere died of it or beside it;
        the slice then waits again, if it has not cost too many."""
        message = ""
        try:
            self._make(taken, model, encode, here=here)
        except (LookupError, TornFile):
            pass  # the image was removed or is torn; the page says so where it is opened
        except BrokenExecutor as error:
            if not self._again(taken):
                self._finish(taken, model, f"a slice was given up ({first_line(error)})")
            raise
        except Exception as error:  # out of memory on a huge slice: the built-in model keeps answering there
            message = first_line(error)
            log.warning("a slice could not be embedded: %s", message)
        self._finish(taken, model, message)

    def _make(self, taken: QueuedSlice, model: PromptModel, encode: Encode, *, here: bool) -> None:
        picture = self.picture(taken.shown)
        key = key_of(picture, model.model_id)
        if self.cache.get(key, model.model_id) is not None:
            return
        began = time.monotonic()
        self.cache.put(key, encode(picture))
        with self.changed:
            self.queue.record_seconds(time.monotonic() - began, here=here)

    def _again(self, taken: QueuedSlice) -> bool:
        with self.changed:
            waits = self.queue.retry(taken)
            self.changed.notify_all()
            return waits

    def _finish(self, taken: QueuedSlice, model: PromptModel, message: str) -> None:
        with self.changed:
            self.queue.finish(taken)
        self._report(model, message)

    def report_lost_encoder(self, model: PromptModel, reason: str) -> None:
        """There is an encoder less elsewhere; said as long as this model is in use."""
        with self.changed:
            if not self.serves(model):
                return
            self._lost_encoder = f"an encoder gave up ({reason}); the work goes on without it"
            log.warning(self._lost_encoder)
        self._report(model, "")

    def _report(self, model: PromptModel, message: str) -> None:
        with self._telling:
            with self.changed:
                if not self.serves(model):
                    return
                queue = self.queue
                phase = "embedding" if queue.done < queue.total else "idle"
                progress = EmbeddingProgress(
                    self.chosen.title, phase, queue.done, queue.total, message or self._lost_encoder
                )
            self._on_progress(progress)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
