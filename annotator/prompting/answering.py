"""Prompts on stored slices, answered by one model: in the server, or in a worker process.

What travels is small: where the pixels lie, what the person said, and packed masks. Pixels are read from the project's
file, memory-mapped, so that processes share them. Of a model that encodes for seconds the embedding travels, 2 MB.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.wrong_part import wrong_parts
from annotator.protocol.arrays import pack_candidates
from annotator.protocol.incoming import PredictMessage
from annotator.protocol.outgoing import Message
from annotator.protocol.prompts import prompts_of
from annotator.windowing import ChannelView, composite_slice, to_rgb
from models.batching import predict_each
from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts
from storage.arrays import open_npy, plane

KEPT_BYTES = 64 << 20  # of slices that were prompted on last, in each process


@dataclass(frozen=True)
class StoredSlice:
    """A slice as it is on screen, by the file of its image."""

    path: Path
    axis: int
    index: int
    window: tuple[float, float]
    channels: tuple[
        ChannelView, ...
    ] = ()  # where the image has several, and the person sees a composite of them

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3). Raises TornFile."""
        if self.channels:
            return composite_slice(self.channels, self.axis, self.index)
        return to_rgb(plane(open_npy(self.path), self.axis, self.index), self.window)


@dataclass(frozen=True)
class Question:
    """What one person asks."""

    shown: StoredSlice
    message: PredictMessage
    payload: bytes  # packed bits of the mask to refine, or nothing
    embedding: Embedding | None = None  # of the slice, where the model's encoding takes long
    saw: tuple[str, ...] = ()  # the channels of the composite that is prompted on


@dataclass(frozen=True)
class PackedAnswer:
    """Candidates as the page gets them."""

    candidates: list[Message]
    bits: bytes
    ms: float  # that the model took for it and for what was answered with it
    model: str = ""  # the name of the one that answered
    why: str = ""  # why it was not the chosen one
    volume: Message | None = None  # where the object lies in the whole volume, with its bits among the others


def packed(question: Question, prompts: Prompts, found: MaskPrediction, ms: float) -> PackedAnswer:
    if question.message.mend and prompts.mask is not None and prompts.points_rc:
        found = wrong_parts(found, prompts.mask, prompts.points_rc[0])
    return PackedAnswer(*pack_candidates(found), ms)


class Answerer:
    """A model, and where its encoding costs next to nothing the slices that it saw last. Thread-safe."""

    def __init__(self, model: PromptModel) -> None:
        self.model = model
        self._lock = (
            threading.Lock()
        )  # protects the two below; a leaf, not held while a slice is read or encoded
        self._kept: OrderedDict[StoredSlice, Embedding] = OrderedDict()
        self._bytes = 0

    def answer(self, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        """To each its masks, or what is wrong with it, in order. What several ask at once is answered at once."""
        began = time.perf_counter()
        answers: dict[int, PackedAnswer | Exception] = {}
        asked: dict[int, tuple[Embedding, Prompts]] = {}
        for n, question in enumerate(questions):
            try:
                embedding = question.embedding or self.embedding(question.shown)
                asked[n] = embedding, prompts_of(question.message, question.payload, embedding.shape)
            except Exception as error:
                answers[n] = error
        found = predict_each(self.model, list(asked.values()))
        ms = round((time.perf_counter() - began) * 1000, 1)
        for (n, (_, prompts)), one in zip(asked.items(), found, strict=True):
            answers[n] = one if isinstance(one, Exception) else packed(questions[n], prompts, one, ms)
        return [answers[n] for n in range(len(questions))]

    def embedding(self, shown: StoredSlice) -> Embedding:
        """Raises TornFile."""
        with self._lock:
            if shown in self._kept:
                self._kept.move_to_end(shown)
                return self._kept[shown]
        embedding = self.model.encode(shown.picture)
        with self._lock:
            self._bytes += bytes_of(embedding) - (bytes_of(self._kept[shown]) if shown in self._kept else 0)
            self._kept[shown] = embedding
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= bytes_of(self._kept.popitem(last=False)[1])
        return embedding


def bytes_of(embedding: Embedding) -> int:
    return sum(array.nbytes for array in embedding.arrays.values())
