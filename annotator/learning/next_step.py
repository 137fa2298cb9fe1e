"""What a learner has to do next, decided from the rows alone: running it twice does no harm."""

from dataclasses import dataclass

from annotator.learning.settings import LearnSettings
from learners import LEARNERS
from storage.rounds import Rounds
from storage.store import Store

MORE = 1.25  # times as many labelled slices, before a learner that proposes nothing trains again
TRIES = 2  # a round whose worker died is tried again so often, each time smaller


@dataclass(frozen=True)
class NextStep:
    kind: str  # "train" or "predict"
    seconds: float  # of training


def next_step(rounds: Rounds, settings: LearnSettings, name: str, newest: int) -> NextStep | None:
    """What brings the learner up to the newest label; None where there is nothing to do."""
    if name in settings.paused or newest == 0:
        return None
    if LEARNERS[name].lasting:  # it trains only where somebody asks
        return _rest(rounds, name)
    last = rounds.newest(name)
    if last is None or newest > last.seen_label:
        return NextStep("train", settings.seconds)
    if last.status == "lost":
        dead = rounds.tries(name, last.seen_label)
        return NextStep("train", settings.seconds) if dead <= TRIES else None
    return None if last.status == "failed" else _polish(rounds, settings, name, newest)


def next_challenge(store: Store, settings: LearnSettings, name: str, newest: int) -> NextStep | None:
    """What a learner does that is only compared with the one that proposes: a round when it has none, when another set
    judges, and when a quarter more is labelled than it knows."""
    last = store.rounds.newest(name)
    if last is None or last.status == "lost" or name in settings.paused:
        return next_step(store.rounds, settings, name, newest)
    core = store.judging.core()
    moved = core is not None and core.id != last.core
    grown = store.rounds.labelled_slices() >= MORE * last.labelled_slices
    return NextStep("train", settings.seconds) if newest > last.seen_label and (moved or grown) else None


def _polish(rounds: Rounds, settings: LearnSettings, name: str, newest: int) -> NextStep | None:
    """Go on for a while on the same labels, each time twice as long; then predict what is left."""
    trained = rounds.trained_seconds(name, newest)
    left = settings.settle_seconds - trained
    if left >= settings.seconds and LEARNERS[name].network:
        return NextStep("train", min(left, max(settings.seconds, trained)))
    return _rest(rounds, name)


def _rest(rounds: Rounds, name: str) -> NextStep | None:
    """Predict what its model has not predicted."""
    model = rounds.newest(name, "done")
    if model is not None and rounds.unpredicted(name, model.seen_label):
        return NextStep("predict", 0.0)
    return None
