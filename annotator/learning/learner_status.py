"""How a learner stands, in the words and numbers that the page and the command line show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from annotator.learning.final.model import progress_of
from annotator.learning.prediction_publisher import RunningRound
from annotator.learning.quality.model_quality import ModelQuality
from annotator.protocol.outgoing import Message, RoundState, round_progress, round_status
from learners import LEARNERS
from learners.progress import RoundProgress
from learners.spec import GOES_ON
from storage.rounds import RoundRow

TOLD = 100  # images that wait for a proposal


@dataclass(frozen=True)
class LearnerStatus:
    """What is known about a learner now."""

    name: str
    running: RunningRound | None
    last: RoundRow | None  # its newest round
    done: RoundRow | None  # the newest that ended well
    quality: ModelQuality | None
    newest_label: int
    paused: bool
    waiting: str | None  # what it waits for, in words
    objects: tuple[str, ...]  # sentences about objects that judge it
    off: str  # why nothing will be trained, in words; "" where it will

    def message(self) -> Message:
        """The `round` message."""
        running, last, done = self.running, self.last, self.done
        return round_status(
            self.name,
            title=LEARNERS[self.name].title,
            state=self._state(),
            round=running.row.id if running else (last.id if last else None),
            dice=None if self.quality is None else round(self.quality.dice, 4),
            taught=self.quality is not None and self.quality.slices > 0,
            behind=self.newest_label > (done.seen_label if done else 0),
            message=self._words(),
            objects=self.objects,
            progress=None if running is None else _progress(running),
        )

    def _state(self) -> RoundState:
        if self.running is not None:
            return "running"
        if self.paused or self._stopped:
            return "paused"
        if self.last is not None and self.last.status == "failed":
            return "failed"
        return "waiting" if self.waiting is not None or self.last is None else "idle"

    @property
    def _stopped(self) -> bool:
        """A lasting round that somebody stopped."""
        return bool(self.last and self.last.error and self.last.error.endswith(GOES_ON))

    def _words(self) -> str:
        last = self.last
        if self.off or self.waiting is not None:
            return self.off or self.waiting or ""
        if last is None and LEARNERS[self.name].lasting:
            return "There is none yet; start its training under Final model."
        if last is None:
            return "Label a slice; training starts by itself."
        if self._stopped and last.error:
            return f"{last.error[:1].upper()}{last.error[1:]}."
        if last.status in ("failed", "lost"):
            return f"The last round {'failed' if last.status == 'failed' else 'was lost'}: {last.error}."
        return " ".join(f"{note[:1].upper()}{note[1:]}." for note in last.metrics.get("notes", ()))


def _progress(running: RunningRound) -> Message:
    found = progress_of(running)
    at = found or RoundProgress("waiting for its turn")
    done = set(at.done)
    coming = (image_id for image_id in running.spec.predict if image_id not in done)
    return round_progress(
        found is not None,
        phase=at.phase,
        step=at.step,
        loss=at.loss,
        seconds_left=at.seconds_left,
        next_images=tuple(islice(coming, TOLD)),
    )


def history(rows: Sequence[RoundRow], core_sizes: Mapping[int, int]) -> list[Message]:
    """Held-out Dice over the project's life, against labelled slices and annotator minutes: the most there were, for
    what is taken back was labelled once. Rounds of different `core` are not to be compared."""
    done = [r for r in rows if r.status == "done" and r.kind == "train"]
    slices = accumulate((r.labelled_slices for r in done), max)
    seconds = accumulate((r.annotator_seconds for r in done), max)
    return [
        {
            "round": r.id,
            "at": r.finished_at,
            "dice": r.dice,
            "child_dice": r.child_dice,
            "parent_dice": r.parent_dice,
            "core": r.core,
            "judged_by": None if r.core is None else core_sizes.get(r.core),
            "slices": labelled,
            "minutes": round(spent / 60, 2),
        }
        for r, labelled, spent in zip(done, slices, seconds, strict=True)
    ]
