"""Encoders elsewhere, such as Ray's actors: a thread of ours hands each of them slice after slice."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from annotator.machine import lower_thread_priority
from annotator.prompting.embedding_queue import QueuedSlice, SliceView
from annotator.prompting.embedding_state import EmbeddingState, LoadModel, first_line
from models.prompt import Embedding, PromptModel

log = logging.getLogger(__name__)


class RemoteEncoder(Protocol):
    """One of them. Its calls block; one thread makes them."""

    def begin(self) -> None:
        """Return once it can encode, also after it died. Raises what keeps it from that for good."""

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        """Raises BrokenExecutor where it dies meanwhile, else what the model raises."""


class EncoderPool(Protocol):
    """Where they come from."""

    def start(self, load: LoadModel, model_id: str) -> Sequence[RemoteEncoder]:
        """As many as fit, of this model, in place of those before. Takes seconds; raises ValueError."""

    def stop(self) -> None:
        """End them at once, whatever they do: their calls raise BrokenExecutor."""

    def close(self) -> None:
        """`stop`, and start no more."""


@dataclass(frozen=True)
class RemoteEncoding:
    """Who helps the server's own worker, and with what where nothing is urgent."""

    encoders: EncoderPool
    ahead: Callable[
        [SliceView], Sequence[SliceView]
    ]  # what comes after the slices around this one; may take a second


class RemoteEncoders:
    """Encoders for whichever model is chosen, until the state closes."""

    def __init__(self, state: EmbeddingState, elsewhere: RemoteEncoding) -> None:
        self._state, self._encoders, self._ahead = state, elsewhere.encoders, elsewhere.ahead
        self._model: PromptModel | None = None  # of the encoders that run
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """In a thread of its own; not a niced one, since the processes that it starts would be niced with it."""
        state = self._state
        while True:
            with state.changed:
                state.changed.wait_for(
                    lambda: state.closing or self._model_changed() or state.queue.to_extend
                )
                if state.closing:
                    break
                changed, model, load = self._model_changed(), state.model, state.chosen.load
                opened, look = state.queue.to_extend, state.queue.look_number
            if changed:
                self._start(model, load)
            elif opened is not None:
                self._extend(opened, look)
        self._stop()
        self._encoders.close()

    def _model_changed(self) -> bool:
        return self._state.model is not self._model

    def _start(self, model: PromptModel | None, load: LoadModel | None) -> None:
        self._stop()
        self._model = model
        if model is None or load is None:
            return
        try:
            encoders = self._encoders.start(load, model.model_id)
        except Exception as error:  # Ray does not start, its cluster is gone: all is made here, as without it
            self._state.report_lost_encoder(model, first_line(error))
            return
        for number, encoder in enumerate(encoders):
            name, work = f"encoder {number}", (encoder, model)
            thread = threading.Thread(target=self._serve, args=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _stop(self) -> None:
        """Waits for the threads, not for what the encoders are at."""
        self._encoders.stop()
        while self._threads:
            self._threads.pop().join()

    def _extend(self, opened: SliceView, look: int) -> None:
        try:
            more = self._ahead(opened)
        except Exception as error:  # the image was removed, the ranking failed: nothing more is made ahead
            log.warning("what comes after this slice is not known: %s", first_line(error))
            more = []
        with self._state.changed:
            self._state.queue.extend(look, more)
            self._state.changed.notify_all()

    def _serve(self, encoder: RemoteEncoder, model: PromptModel) -> None:
        """One encoder until it gives up or another model is chosen."""
        lower_thread_priority()
        while self._state.serves(model):
            try:
                encoder.begin()
            except Exception as error:  # it died too often, or its machine lacks the file of weights
                self._state.report_lost_encoder(model, first_line(error))
                return
            self._until_it_dies(encoder, model)

    def _until_it_dies(self, encoder: RemoteEncoder, model: PromptModel) -> None:
        state = self._state
        with state.changed:
            state.queue.up += 1
        try:
            while (taken := self._take(model)) is not None:
                state.embed(taken, model, encoder.encode, here=False)
        except BrokenExecutor as error:
            log.info("an encoder died: %s", first_line(error))
        finally:
            with state.changed:
                state.queue.up -= 1
                state.changed.notify_all()

    def _take(self, model: PromptModel) -> QueuedSlice | None:
        """The next slice, when there is one; None where this model is not wanted any more."""
        state = self._state
        with state.changed:
            state.queue.free += 1
            state.changed.wait_for(lambda: not state.serves(model) or state.queue)
            state.queue.free -= 1
            state.changed.notify_all()  # one free encoder less, and perhaps nothing near: both are waited for
            return state.queue.take() if state.serves(model) else None
