"""A prompt model that lives in processes: one encodes slices ahead of people, and every prompt worker answers."""

from concurrent.futures import BrokenExecutor, CancelledError

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.workers.in_worker import ModelFile, encode, predict
from annotator.prompting.workers.prompt_workers import PromptWorkers
from models.prompt import Embedding, MaskPrediction, Prompts

GIVEN_UP = "encoding this slice ended its process twice, probably because memory ran out"


class WorkerModel:
    """Thread-safe, and a PromptModel. Made by `in_workers`; close() it when another one is chosen."""

    def __init__(self, workers: PromptWorkers, file: ModelFile) -> None:
        self._workers, self.file = workers, file
        self._closed = False

    @property
    def model_id(self) -> str:
        return self.file.model_id

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """A process that dies is replaced once. Raises RuntimeError where the next dies too, LookupError where this was
        closed meanwhile, else what the model raises."""
        for _ in range(2):
            if self._closed:
                break
            try:
                return self._workers.encoder.submit(encode, self.file, image).result()
            except (BrokenExecutor, CancelledError):
                continue
        raise LookupError("another prompt model was chosen") if self._closed else RuntimeError(GIVEN_UP)

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        return self._workers.call(predict, self.file, embedding, prompts)

    def close(self) -> None:
        """The process that encodes ends at once, whatever it does."""
        self._closed = True
        self._workers.encoder.kill()


def in_workers(workers: PromptWorkers, file: ModelFile) -> WorkerModel:
    """Open a model in every process; the others answer meanwhile. Raises what opening raises."""
    named = workers.open(file)
    return WorkerModel(workers, named)
