"""Show finished predictions, while their round still runs as well."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from annotator.learning.quality.expectations import Expectations
from annotator.protocol.outgoing import Message, proposal
from learners.prediction.reasons import Reason
from learners.progress import RoundProgress, classes_file, confidence_file, objects_file, read_progress
from learners.spec import RoundSpec
from storage.judging import JudgedRow
from storage.predictions import NewPrediction, Withheld
from storage.rounds import RoundRow
from storage.store import Store


@dataclass
class RunningRound:
    """A round that a worker has."""

    row: RoundRow
    spec: RoundSpec
    polish: bool  # it trains on labels that an earlier round has seen too
    published: set[int] = field(default_factory=set)
    judged: bool = False  # how good its model is on held-out images is kept


@dataclass(frozen=True)
class PredictionPublisher:
    """Takes a round's files into the project, each once."""

    store: Store
    expectations: Expectations
    publish: Callable[[Message], None]

    def publish_ready(self, running: RunningRound) -> None:
        progress = read_progress(running.spec.directory)
        if progress is None:
            return
        self._keep_judged(running, progress)  # first: it calibrates what the model claims of the others
        for image_id in progress.done:
            if image_id in running.published:
                continue
            with contextlib.suppress(
                PermissionError
            ):  # Windows: the worker has it open; the next call gets it
                reason = progress.withheld.get(image_id)
                if reason is None:
                    self._publish_one(running, image_id, progress.claims.get(image_id))
                else:
                    self._withhold(running, image_id, reason)
                running.published.add(image_id)

    def _keep_judged(self, running: RunningRound, progress: RoundProgress) -> None:
        if progress.judged and not running.judged:
            rows = [JudgedRow(j.image_id, j.dice, j.claimed, j.core) for j in progress.judged]
            self.store.judging.add_judged(running.row.id, rows)
            running.judged = True

    def _withhold(self, running: RunningRound, image_id: int, reason: Reason) -> None:
        name, seen = running.spec.learner, running.row.seen_label
        self.store.predictions.withhold(Withheld(image_id, name, seen, reason, running.row.id))
        self.publish(
            proposal(
                image_id, producer=name, round=running.row.id, seen=seen, expected_dice=None, withheld=True
            )
        )

    def _publish_one(self, running: RunningRound, image_id: int, claimed: float | None) -> None:
        name, directory = running.spec.learner, running.spec.directory
        objects = objects_file(directory, image_id)
        new = NewPrediction(
            image_id=image_id,
            producer=name,
            kind="predicted",
            seen_label=running.row.seen_label,
            classes=classes_file(directory, image_id),
            confidence=confidence_file(directory, image_id),
            objects=objects if objects.exists() else None,
            round_id=running.row.id,
            claimed=claimed,
            expected=self.expectations.of(name, image_id, claimed),
        )
        row = self.store.predictions.add(new)
        shown, seen = (row.expected.shown if row.expected else None), row.seen_label
        self.publish(
            proposal(
                image_id,
                producer=name,
                round=running.row.id,
                seen=seen,
                expected_dice=shown,
                withheld=False,
            )
        )
