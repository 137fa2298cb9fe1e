"""Answers of a model that needs an embedding; where a slice has none yet the built-in one answers, and says why."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from annotator.prompting.answering import PackedAnswer, Question, packed
from annotator.prompting.embedding_queue import SliceView
from annotator.prompting.embedding_worker import EmbeddingWorker
from annotator.prompting.shown_pictures import ShownPictures
from annotator.prompting.workers.prompt_workers import PromptWorkers
from annotator.prompting.workers.worker_model import WorkerModel
from annotator.protocol.prompts import prompts_of
from models import BUILT_IN, PromptChoice
from models.prompt import PromptModel
from storage.arrays import SliceRef

STAND_IN = PromptChoice(BUILT_IN)


class EmbeddedAnswers:
    """Thread-safe."""

    def __init__(
        self, pictures: ShownPictures, embeddings: EmbeddingWorker, stand_in: Callable[[], PromptModel]
    ) -> None:
        """`stand_in`: the built-in model in this process, loaded where it is not."""
        self._pictures, self._embeddings, self._stand_in = pictures, embeddings, stand_in

    def here(self, question: Question, name: str) -> PackedAnswer | Exception:
        """In this process. `name`: of the chosen model."""
        said, began = question.message, time.perf_counter()
        try:
            picture = self._pictures(_view(question))
            prompts = prompts_of(said, question.payload, (picture.shape[0], picture.shape[1]))
            answer = self._embeddings.answer(picture, prompts, self._stand_in())
            ms = round((time.perf_counter() - began) * 1000, 1)
            told = packed(question, prompts, answer.prediction, ms)
        except Exception as error:
            return error
        return replace(told, model=name if answer.by_chosen else BUILT_IN, why=answer.why)

    def in_workers(
        self, workers: PromptWorkers, questions: Sequence[Question], name: str
    ) -> list[PackedAnswer | Exception]:
        """Those whose slices are embedded by the chosen model's copies there, the others by the built-in one's."""
        model, why = self._embeddings.model, self._embeddings.why()
        answers: dict[int, PackedAnswer | Exception] = {}
        ready: dict[int, Question] = {}
        for n, question in enumerate(questions):
            try:
                embedding = self._embeddings.embedding(self._pictures(_view(question)))
            except Exception as error:
                answers[n] = error
                continue
            if embedding is not None and isinstance(model, WorkerModel):
                ready[n] = replace(question, embedding=embedding)
        absent = {n: one for n, one in enumerate(questions) if n not in ready and n not in answers}
        if ready and isinstance(model, WorkerModel):
            told = workers.answer(model.file, list(ready.values()))
            answers |= {n: _signed(one, name, "") for n, one in zip(ready, told, strict=True)}
        if absent:
            told = workers.answer(STAND_IN, list(absent.values()))
            answers |= {n: _signed(one, BUILT_IN, why) for n, one in zip(absent, told, strict=True)}
        return [answers[n] for n in range(len(questions))]


def _view(question: Question) -> SliceView:
    said = question.message
    return SliceView(SliceRef(said.image, said.axis, said.index), said.window, said.channel_looks)


def _signed(answer: PackedAnswer | Exception, model: str, why: str) -> PackedAnswer | Exception:
    return answer if isinstance(answer, Exception) else replace(answer, model=model, why=why)
