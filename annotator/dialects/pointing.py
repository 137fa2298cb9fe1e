"""Clicks, boxes and scribbles of another tool on slices of an image, answered by the project's prompt model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.dialects.subjects import Subject
from annotator.labels.commit import Refused
from annotator.prompting.answering import PackedAnswer, Question, StoredSlice
from annotator.protocol.frames import unpack_bits
from annotator.protocol.incoming import Point, PredictMessage, ScribbleMessage
from annotator.workflow import Workflow
from storage.arrays import Box, slice_shape

MOST_POINTS = 2000  # of a scribble: more say nothing more


@dataclass(frozen=True)
class SlicePrompts:
    """What a person pointed at on one slice."""

    axis: int
    index: int
    foreground: tuple[Point, ...] = ()
    background: tuple[Point, ...] = ()
    box: tuple[float, float, float, float] | None = None  # r0, c0, r1, c1
    scribbles: bool = False  # the points are those of strokes

    @property
    def says_object(self) -> bool:
        return bool(self.foreground) or self.box is not None


@dataclass(frozen=True)
class FoundMask:
    """(rows, columns) of a slice, or (Z, Y, X)."""

    mask: NDArray[np.bool_]
    ms: float  # that models took for it, and for what was answered with it


def masks_of(workflow: Workflow, subject: Subject, asked: Sequence[SlicePrompts]) -> list[FoundMask]:
    """Of each its best mask. Raises Refused, LookupError, ValueError."""
    questions = [_question(subject, prompts) for prompts in asked]
    answers = workflow.prompting.answer(questions, elsewhere=subject.image_id is None)
    found = []
    for prompts, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        found.append(FoundMask(_best(answer, slice_shape(subject.shape, prompts.axis)), answer.ms))
    return found


def _question(subject: Subject, prompts: SlicePrompts) -> Question:
    rows, columns = slice_shape(subject.shape, prompts.axis)
    points = (*prompts.foreground, *prompts.background)
    if not 0 <= prompts.index < subject.shape[prompts.axis] or any(
        not (0 <= r < rows and 0 <= c < columns) for r, c in points
    ):
        raise Refused("a click lies outside the image; click inside it")
    shown = StoredSlice(subject.path, prompts.axis, prompts.index, subject.window)
    return Question(shown, _message(subject, prompts), b"")


def _message(subject: Subject, prompts: SlicePrompts) -> PredictMessage:
    told: dict[str, Any] = {
        "seq": 0,
        "image": subject.image_id or 1,
        "axis": prompts.axis,
        "index": prompts.index,
        "window": subject.window,
        "box": prompts.box,
    }
    both = ((1, prompts.foreground), (0, prompts.background))
    if prompts.scribbles:
        strokes = tuple(ScribbleMessage(label=n, points=points) for n, points in both if points)
        return PredictMessage(t="predict", **told, scribbles=strokes)
    points = tuple(point for _, each in both for point in each)
    labels = tuple(n for n, each in both for _ in each)
    return PredictMessage(t="predict", **told, points=points, labels=labels)


def _best(answer: PackedAnswer, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    if answer.candidates and any(answer.candidates[0]["box"]):
        first = answer.candidates[0]
        box = Box(*first["box"])
        bits = answer.bits[first["offset"] : first["offset"] + first["bytes"]]
        mask[box.r0 : box.r1, box.c0 : box.c1] = unpack_bits(bits, box.shape)
    return mask


def thinned(points: NDArray[np.intp]) -> tuple[Point, ...]:
    """(N, 2) rows and columns as points, so few that a model answers soon."""
    step = max(1, -(-len(points) // MOST_POINTS))
    return tuple((float(r), float(c)) for r, c in points[::step])
