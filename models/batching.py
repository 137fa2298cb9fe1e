"""Prompts of several people answered together: what their looks want to see goes through the network as one batch."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts

MOST_CROPS = 12  # in one batch: more are slower each, because they leave the processor's cache


@dataclass(frozen=True)
class SeenCrops:
    """What a network says about a batch of crops."""

    logits: NDArray[np.float32]  # (N, CANDIDATES, size, size)
    scores: NDArray[np.float32]  # (N, CANDIDATES) expected IoU


Answer = TypeVar("Answer")
Crops = NDArray[np.float32]  # (N, INPUTS, size, size)
See = Callable[[Crops], SeenCrops]
# Work that stops wherever the network is needed: it hands out crops, and goes on with what the network says.
Looking = Generator[Crops, SeenCrops, Answer]


def alone(looking: Looking[Answer], see: See) -> Answer:
    """The end of one such work. Raises what it raises."""
    try:
        crops = next(looking)
        while True:
            crops = looking.send(see(crops))
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def in_step(lookings: Sequence[Looking[Answer]], see: See) -> list[Answer | Exception]:
    """The end of each work, or what it raised, in their order: all of them take each step in one batch."""
    ends: dict[int, Answer | Exception] = {}
    wanted = _going_on({n: (looking, None) for n, looking in enumerate(lookings)}, ends)
    while wanted:
        seen = _in_batches([wanted[n] for n in wanted], see)
        steps = {n: (lookings[n], part) for n, part in zip(wanted, seen, strict=True)}
        wanted = _going_on(steps, ends)
    return [ends[n] for n in range(len(lookings))]


def _going_on(
    steps: Mapping[int, tuple[Looking[Answer], SeenCrops | None]], ends: dict[int, Answer | Exception]
) -> dict[int, Crops]:
    """One step of each; the crops that are wanted next, by number. What ends goes to `ends`."""
    wanted: dict[int, Crops] = {}
    for n, (looking, seen) in steps.items():
        try:
            wanted[n] = looking.send(seen)  # type: ignore[arg-type]  # None begins
        except StopIteration as end:
            ends[n] = end.value
        except Exception as error:  # one person's odd prompt is no other's fault
            ends[n] = error
    return wanted


def _in_batches(wanted: Sequence[Crops], see: See) -> list[SeenCrops]:
    """The network's words about each of these, whose crops are of one size."""
    crops = np.concatenate(wanted)
    parts = [see(crops[at : at + MOST_CROPS]) for at in range(0, len(crops), MOST_CROPS)]
    logits, scores = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "scores")
    )
    ends = np.cumsum([len(one) for one in wanted])
    return [
        SeenCrops(logits[end - len(one) : end], scores[end - len(one) : end])
        for one, end in zip(wanted, ends)
    ]


Asked = tuple[Embedding, Prompts]


@runtime_checkable
class BatchedModel(Protocol):
    """A prompt model for which several prompts at once cost less than one after another."""

    def predict_together(self, asked: Sequence[Asked]) -> list[MaskPrediction | Exception]:
        """The same masks as `predict`, or what it would have raised, in order."""


def predict_each(model: PromptModel, asked: Sequence[Asked]) -> list[MaskPrediction | Exception]:
    """Every answer, or what it raised, in order: at once where the model can, else one after another."""
    if isinstance(model, BatchedModel):
        return model.predict_together(asked)
    return [_answer_or_error(model, *one) for one in asked]


def _answer_or_error(
    model: PromptModel, embedding: Embedding, prompts: Prompts
) -> MaskPrediction | Exception:
    try:
        return model.predict(embedding, prompts)
    except Exception as error:
        return error
