"""What rounds without the training loop share: open the images, judge, stop, predict, and say what came of it.

A learner whose model is no network writes `run(spec)`: it makes an OwnRound, learns a `Predictor` from
`round_.cases`, and ends with `round_.finish(predictor)`. One that only prepares a round for the training loop calls
`train_prepared`.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from learners.give_way import give_way
from learners.prediction.evaluation import Evaluation, Evaluator
from learners.prediction.predict import Predictor
from learners.prediction.predict_images import BatchPredictor
from learners.progress import STOP_FILE, ProgressReport
from learners.rounds.train import run as train_network
from learners.spec import RoundResult, RoundSpec, Unready
from learners.training.data import ImageReader, open_readers
from learners.training.plan import plan_of
from learners.training.targets import Classes
from storage.arrays import write_bytes


class OwnRound:
    """A round under way. `cases` are its images; those whose labels are held out judge and teach nothing."""

    def __init__(self, spec: RoundSpec) -> None:
        self.spec, self._started = spec, time.monotonic()
        self.report = ProgressReport(spec.directory)
        self.notes: list[str] = []  # sentences for the person
        torch.manual_seed(spec.seed)
        # At its own scale, and proposing all it finds: the plan for rare objects was measured for networks alone.
        self.plan, self.classes = replace(plan_of(spec), rare=None), Classes(spec.class_ids)
        self.cases = open_readers(spec.examples, self.classes, self.plan.network, self.notes)
        self.judge = Evaluator(self.cases, self.plan, self.classes)

    def check_stop(self) -> None:
        """To be asked while it learns: it waits for people. Raises Unready where somebody asked the round to end."""
        give_way()
        if (self.spec.directory / STOP_FILE).exists():
            raise Unready("the round stopped before it learned anything")

    def judge_by(self, cases: Sequence[ImageReader]) -> None:
        """By the held-out labels of these alone: of others the predictor could only repeat what they say themselves."""
        self.judge = Evaluator(cases, self.plan, self.classes)

    def write_card(self, name: str, content: dict[str, Any]) -> None:
        """The model's card, in the round's directory: written last, so that a directory with a card is whole."""
        write_bytes(self.spec.directory / name, json.dumps(content).encode())

    def learned(self, predictor: Predictor) -> tuple[RoundResult, Evaluation]:
        """Judge what was learned just now; how long that took ends here."""
        seconds = round(time.monotonic() - self._started, 2)
        self.report.say("comparing")
        judged = self.judge(predictor)
        return RoundResult(self.spec.directory, (), 1, seconds, child_dice=judged.dice), judged

    def propose(self, predictor: Predictor, result: RoundResult, judged: Evaluation) -> RoundResult:
        """Predict the images that people want, in their order; `judged` is of this predictor."""
        proposer = BatchPredictor(self.spec, self.plan, self.classes, predictor, notes=self.notes)
        predicted, remaining = proposer.run(self.cases, self.report, judged)
        return replace(
            result,
            predicted=predicted,
            remaining=remaining,
            dice=judged.dice,
            per_class=judged.per_class,
            objects=judged.objects,
            notes=tuple(self.notes),
        )

    def finish(self, predictor: Predictor, note: str) -> RoundResult:
        """Judge, predict and say so: the end of a round that is compared with no model before."""
        result, judged = self.learned(predictor)
        self.notes.append(note)
        return self.propose(predictor, result, judged)


@dataclass(frozen=True)
class PreparedRound:
    """A round for the training loop, with what was found out beforehand and the seconds that are left."""

    spec: RoundSpec
    notes: tuple[str, ...] = ()  # sentences for the person


def train_prepared(spec: RoundSpec, prepare: Callable[[RoundSpec], PreparedRound]) -> RoundResult:
    """Prepare a round and let the training loop run it; one that only predicts needs no preparation."""
    if spec.seconds == 0:
        return train_network(spec)
    ready = prepare(spec)
    result = train_network(ready.spec)
    return replace(result, notes=(*ready.notes, *result.notes))
