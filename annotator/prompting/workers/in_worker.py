"""What prompt workers do when they are called: models opened once in each process, answers, encodings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.machine import give_memory_back
from annotator.prompting.answering import Answerer, PackedAnswer, Question
from annotator.prompting.speeds import Speed, measure
from learners.engines.ray_encoders import under_the_name
from models import PromptChoice, opened
from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts


@dataclass(frozen=True)
class ModelFile:
    """A model whose encoding takes long, as it travels: how it is opened, and what the server calls it."""

    factory: Callable[
        [Path | None], PromptModel
    ]  # equal where it is the same one: a registry's, or any function
    path: Path | None
    model_id: str = ""  # "" until the first process has opened it


AnyModel = PromptChoice | ModelFile  # an instant one by its name, or one that needs embeddings


@lru_cache(maxsize=1)  # of the model that answers now: another one takes its place
def _instant(choice: PromptChoice) -> Answerer:
    return Answerer(opened(choice))


@lru_cache(maxsize=1)  # beside an instant one, which stands in where there is no embedding yet
def _open(factory: Callable[[Path | None], PromptModel], path: Path | None) -> PromptModel:
    return factory(path)


def _embedded(file: ModelFile) -> PromptModel:
    model = _open(file.factory, file.path)
    return under_the_name(model, file.model_id) if file.model_id else model


def load(what: AnyModel) -> str:
    """The model's own name. Raises what opening raises."""
    return (_instant(what).model if isinstance(what, PromptChoice) else _embedded(what)).model_id


def answer(what: AnyModel, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
    answerer = _instant(what) if isinstance(what, PromptChoice) else Answerer(_embedded(what))
    return answerer.answer(questions)


def measured(choice: PromptChoice) -> Speed | None:
    return measure(_instant(choice).model, instant=True)


def encode(file: ModelFile, picture: NDArray[np.uint8]) -> Embedding:
    """`picture` (H, W, 3)."""
    return _embedded(file).encode(picture)


def predict(file: ModelFile, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
    return _embedded(file).predict(embedding, prompts)


def forget() -> None:
    """The memory of a model that needs embeddings goes back."""
    _open.cache_clear()
    give_memory_back()
