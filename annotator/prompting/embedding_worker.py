"""Embeddings made ahead of the person, here and elsewhere, and who answers meanwhile.

A click never waits: until the chosen model is loaded and has embedded the slice, a model that needs no embedding
answers, and the answer says so.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.machine import lower_thread_priority
from annotator.prompting.embedding_cache import EmbeddingCache, key_of
from annotator.prompting.embedding_queue import SliceView
from annotator.prompting.embedding_state import (
    EmbeddingProgress,
    EmbeddingState,
    LoadModel,
    ModelHandle,
    ReadPicture,
    first_line,
)
from annotator.prompting.remote_encoders import RemoteEncoders, RemoteEncoding
from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerAnswer:
    """Masks, by whom, and why it was not the chosen model ("" where it was)."""

    prediction: MaskPrediction
    by_chosen: bool
    why: str


class EmbeddingWorker:
    """One worker that loads the chosen model and embeds slices in the order of their use, and encoders elsewhere where
    there are any. Thread-safe.

    `use` and `look` return at once; `answer` takes as long as one prediction. `close` waits for the slice that is being
    embedded here, at most one encoding.
    """

    def __init__(
        self,
        cache: EmbeddingCache,
        picture: ReadPicture,
        on_progress: Callable[[EmbeddingProgress], None] = lambda progress: None,
        elsewhere: RemoteEncoding | None = None,
    ) -> None:
        self._cache, self._state = cache, EmbeddingState(cache, picture, on_progress)
        self._threads = [threading.Thread(target=self._run, name="embeddings", daemon=True)]
        if elsewhere is not None:
            remote = RemoteEncoders(self._state, elsewhere)
            self._threads.append(threading.Thread(target=remote.run, name="encoders", daemon=True))
        for thread in self._threads:
            thread.start()

    def use(self, title: str, load: LoadModel | None, load_here: LoadModel | None = None) -> None:
        """Choose a model by how it is loaded, or none. What was queued for the last one is dropped."""
        self._state.use(ModelHandle(title, load, load_here))

    def look(self, near: Sequence[SliceView], far: Iterable[SliceView] = ()) -> None:
        """Make these next, most urgent first, in place of all that waited; `far` comes when nothing else waits."""
        with self._state.changed:
            self._state.queue.replace(near, far)
            self._state.changed.notify_all()

    @property
    def model(self) -> PromptModel | None:
        """The chosen model once it is loaded."""
        with self._state.changed:
            return self._state.model

    def ready(self, picture: NDArray[np.uint8]) -> bool:
        """Whether the chosen model would answer on this picture."""
        model = self.model
        return model is not None and key_of(picture, model.model_id) in self._cache

    def answer(self, picture: NDArray[np.uint8], prompts: Prompts, stand_in: PromptModel) -> WorkerAnswer:
        """By the chosen model where it has this picture's embedding, else by one whose encoding costs nothing."""
        with self._state.changed:
            model, why = self._state.model, self._why()
        embedding = self._embedding(picture, model)
        if model is not None and embedding is not None:
            return WorkerAnswer(model.predict(embedding, prompts), True, "")
        return WorkerAnswer(stand_in.predict(stand_in.encode(picture), prompts), False, why)

    def embedding(self, picture: NDArray[np.uint8]) -> Embedding | None:
        """What the chosen model made of this picture, if it is loaded and has been here."""
        return self._embedding(picture, self.model)

    def _embedding(self, picture: NDArray[np.uint8], model: PromptModel | None) -> Embedding | None:
        return None if model is None else self._cache.get(key_of(picture, model.model_id), model.model_id)

    def why(self) -> str:
        """Why the chosen model may not be answering; "" where none is chosen."""
        with self._state.changed:
            return self._why()

    def close(self) -> None:
        """Stop the workers and wait for them."""
        self._state.close()
        for thread in self._threads:
            thread.join()

    def _why(self) -> str:
        """Called with the lock held."""
        state, title = self._state, self._state.chosen.title
        if state.problem:
            return state.problem
        if state.model is None:
            loads = state.chosen.load is not None
            return f"{title} is loading; the built-in model answers until then" if loads else ""
        return f"{title} is still encoding this slice; the built-in model answers until then"

    def _run(self) -> None:
        lower_thread_priority()
        state = self._state
        while True:
            with state.changed:
                state.changed.wait_for(lambda: state.closing or self._load_waits() or self._slice_waits())
                if state.closing:
                    return
                chosen, model = state.chosen, state.model
                taken = None if model is None else state.queue.take()
            if model is None:
                self._load_model(chosen)
            elif taken is not None:
                state.embed(taken, model, model.encode, here=True)

    def _load_waits(self) -> bool:
        return self._state.chosen.load is not None and self._state.model is None and not self._state.problem

    def _slice_waits(self) -> bool:
        return self._state.model is not None and self._state.queue.local_worker_takes_next

    def _load_model(self, chosen: ModelHandle) -> None:
        assert chosen.load is not None
        self._state.loading(chosen)
        try:
            model, problem = (chosen.load_here or chosen.load)(), ""
        except (
            Exception
        ) as error:  # a wrong file, a missing package, no memory: the page says it, clicks go on
            log.warning("%s could not be loaded: %s", chosen.title, first_line(error))
            model, problem = None, f"{chosen.title} could not be loaded: {first_line(error)}"
        self._state.loaded(chosen, model, problem)
