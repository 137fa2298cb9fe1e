"""Show finished predictions, while their round still runs as well."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from annotator.learning.corrections import Corrections
from annotator.protocol.outgoing import Message, proposal
from learners.progress import classes_file, confidence_file, read_progress
from learners.spec import RoundSpec
from storage.predictions import NewPrediction
from storage.rounds import RoundRow
from storage.store import Store


@dataclass
class RunningRound:
    """A round that a worker has."""

    row: RoundRow
    spec: RoundSpec
    polish: bool  # it trains on labels that an earlier round has seen too
    published: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class PredictionPublisher:
    """Takes a round's files into the project, each once."""

    store: Store
    corrections: Corrections
    publish: Callable[[Message], None]

    def publish_ready(self, running: RunningRound) -> None:
        progress = read_progress(running.spec.directory)
        if progress is None:
            return
        for image_id in progress.done:
            if image_id in running.published:
                continue
            with contextlib.suppress(
                PermissionError
            ):  # Windows: the worker has it open; the next call gets it
                self._publish_one(running, image_id, progress.scores.get(image_id))
                running.published.add(image_id)

    def _publish_one(self, running: RunningRound, image_id: int, expected: float | None) -> None:
        name, directory = running.spec.learner, running.spec.directory
        expected = self.corrections.calibrated(name, expected)
        new = NewPrediction(
            image_id=image_id,
            producer=name,
            kind="predicted",
            seen_label=running.row.seen_label,
            classes=classes_file(directory, image_id),
            confidence=confidence_file(directory, image_id),
            round_id=running.row.id,
            expected_dice=expected,
        )
        row = self.store.predictions.add(new)
        shown = None if expected is None else round(expected, 3)
        self.publish(
            proposal(image_id, producer=name, round=running.row.id, seen=row.seen_label, expected_dice=shown)
        )
