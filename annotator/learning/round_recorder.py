"""How a round ended, as a row: done, failed with its reason, or lost with its worker."""

import logging
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import asdict, dataclass

from annotator.learning.next_step import TRIES
from annotator.learning.prediction_publisher import PredictionPublisher, RunningRound
from annotator.learning.ranking_pools import PoolStore
from annotator.protocol.outgoing import Message, queue_changed
from annotator.text import error_sentence
from learners.progress import read_progress
from learners.spec import RoundResult, Unready
from storage.arrays import TornFile
from storage.database import is_full
from storage.rounds import Finished, Rounds

log = logging.getLogger(__name__)

FORESEEN = (Unready, ValueError, LookupError, FloatingPointError, TornFile)  # their text is for people


@dataclass(frozen=True)
class RoundRecorder:
    rounds: Rounds
    pools: PoolStore
    publisher: PredictionPublisher
    publish: Callable[[Message], None]

    def record(self, running: RunningRound, future: Future) -> None:
        """The future has ended."""
        row = running.row
        error = _error_of(future)
        if error is None:
            self._finish(running, future.result())
        elif isinstance(error, BrokenExecutor):
            self._lost(running)
        else:
            reason = _reason(error)
            foreseen = isinstance(error, (*FORESEEN, OSError)) or is_full(error)
            unforeseen = None if foreseen else error
            log.warning("round %d of %s ended: %s", row.id, row.learner, reason, exc_info=unforeseen)
            self.rounds.fail(row.id, reason)

    def _finish(self, running: RunningRound, result: RoundResult) -> None:
        row = running.row
        self.publisher.publish_ready(running)
        progress = read_progress(running.spec.directory)
        metrics = {
            "reliability": asdict(progress.reliability) if progress else None,
            "steps": result.steps,
            "seconds": result.trained_seconds,
            "per_class": {str(k): round(v, 4) for k, v in result.per_class.items()},
            "objects": {str(c): counts.as_json() for c, counts in result.objects.items()},
            "notes": list(result.notes),
            "remaining": result.remaining,
        }
        finished = Finished(
            int(result.model.name), result.dice, result.child_dice, result.parent_dice, metrics
        )
        if self.pools.keep(row.learner, running.spec.directory / "pool.npz"):
            self.publish(queue_changed(row.learner))
        self.rounds.finish(row.id, finished)
        log.info("round %d of %s done: %d steps, Dice %s", row.id, row.learner, result.steps, result.dice)

    def _lost(self, running: RunningRound) -> None:
        """The worker is gone: killed, or the memory of the machine did not suffice."""
        row = running.row
        dead = self.rounds.tries(row.learner, row.seen_label)
        if dead < TRIES:
            self.rounds.lose(row.id, "the worker died; the round starts again, smaller")
        else:
            self.rounds.fail(
                row.id,
                f"the worker died {dead + 1} times, probably because memory ran out; close other programs "
                "or choose a smaller network, then press Update now",
            )


def _error_of(future: Future) -> BaseException | None:
    """A round that was cancelled was lost too."""
    return BrokenExecutor("the round was cancelled") if future.cancelled() else future.exception()


def _reason(error: BaseException) -> str:
    """One sentence without a final stop."""
    text = str(error).strip().split("\n")[0][:300].rstrip(".")
    if isinstance(error, FORESEEN) and text and not is_full(error):
        return text
    if isinstance(error, OSError) or is_full(error):
        return error_sentence(error).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
