"""Keeps every learner up to date with the labels: compare the clocks, and start a round for what is behind."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from annotator.learning.final.model import FINAL, FinalModel, FinalOptions
from annotator.learning.learner_status import LearnerStatus, history
from annotator.learning.next_step import NextStep, next_challenge, next_step
from annotator.learning.prediction_publisher import PredictionPublisher, RunningRound
from annotator.learning.project_summary import summarize_project
from annotator.learning.quality.corrections import Corrections
from annotator.learning.quality.expectations import Expectations
from annotator.learning.quality.model_quality import model_quality
from annotator.learning.quality.object_words import object_sentences
from annotator.learning.quality.proposer import Proposer, proposer_of
from annotator.learning.ranking_pools import PoolStore
from annotator.learning.round_inputs import RoundInputs, missing
from annotator.learning.round_recorder import RoundRecorder
from annotator.learning.round_spec import RoundNeeds, make_spec
from annotator.learning.settings import LearnSettings, keep_settings, read_settings
from annotator.protocol.outgoing import Message
from learners import LEARNERS
from learners.choice import Choice, choose
from learners.engines import beside
from learners.progress import STOP_FILE
from learners.rankers.pool import Pool
from learners.rounds import run_round
from storage.database import StorageFull
from storage.store import Store

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5


class Scheduler:
    """Thread-safe. `notify` after every label; a thread of its own does the rest once `open` was called."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        settings: LearnSettings | None = None,
        publish: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self.store, self.rounds = store, store.rounds
        self.rounds.sweep()
        self._executor, self._publish = executor, publish
        self._beside = beside(executor)  # for what lasts, so that nobody waits for it
        self._inputs = RoundInputs(store, self.rounds)
        self._corrections = Corrections(store, self.rounds)
        self._pools = PoolStore(store, self.rounds)
        self._publisher = PredictionPublisher(store, Expectations(store), publish)
        self._recorder = RoundRecorder(self.rounds, self._pools, self._publisher, publish)
        # Protects everything below. The locks of the pools, of tagging, of the engine and of the store are taken
        # inside it, in this order. Not held while a round runs, except by an engine that runs it in this thread.
        self._lock = threading.RLock()
        self._settings = settings or read_settings(store)
        self.final = FinalModel(store)
        self._running: dict[str, RunningRound] = {}
        self._ended: queue.SimpleQueue[tuple[str, Future]] = queue.SimpleQueue()
        self._asked: dict[str, NextStep] = {}  # what somebody asked for, before anything else
        self._waiting: dict[str, str] = {}  # learner -> what it waits for, in words
        self._open_image: int | None = None
        self._wake, self._closed = threading.Event(), False
        self.off = ""  # why nothing will be trained, in words; "" where it will
        self._thread: threading.Thread | None = None

    # the loop

    def open(self) -> None:
        """Work in the background from now on."""
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop rounds and forget them; they start again when the project is opened."""
        self._closed = True
        self._wake.set()
        with self._lock:
            for running in self._running.values():
                _touch(running.spec.directory / STOP_FILE)
        if self._thread is not None:
            self._thread.join(10)
        for executor in {self._executor, self._beside}:
            kill = getattr(executor, "kill", None)
            if kill is not None:
                kill()
            else:
                executor.shutdown(wait=False)

    def notify(self) -> None:
        """Something changed. Costs nothing; call it after every label."""
        self._wake.set()

    def look(self, image_id: int) -> None:
        """This image is open now: it is predicted first."""
        self._open_image = image_id

    def reconcile(self) -> bool:
        """Record what ended, publish what is ready, start what is behind. Safe to call at any time, from any
        thread; true while something runs or was done."""
        with self._lock:
            busy = False
            while self._record_ended() | self._start_behind():
                busy = True
            for running in list(self._running.values()):
                self._publisher.publish_ready(running)
                self._publish(self._status(running.row.learner))
            self.final.give_way(self.busy)
            return busy or bool(self._running)

    def run_until_idle(self, seconds: float = 3600.0) -> None:
        """For the command line and tests: return when every learner has caught up. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while self.reconcile():
            if not self._running:
                continue
            if time.monotonic() > until:
                raise TimeoutError(f"the learners have not caught up within {seconds:.0f} s")
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()

    def _loop(self) -> None:
        while not self._closed:
            self._wake.wait(TICK_SECONDS if self._running else None)
            self._wake.clear()
            if self._closed:
                return
            try:
                self.reconcile()
            except StorageFull as error:
                log.warning("learning waits: %s", error)
                time.sleep(TICK_SECONDS)
            except Exception:
                log.exception("the scheduler stumbled; it goes on")
                time.sleep(TICK_SECONDS)

    # what people may ask

    @property
    def busy(self) -> bool:
        """Whether a round runs or waits for the worker; what lasts and gives way does not count."""
        return any(name != FINAL for name in self._running)

    @property
    def settings(self) -> LearnSettings:
        return self._settings

    def change(self, **changes: Any) -> LearnSettings:
        """Raises LookupError, ValueError. Kept in the project."""
        with self._lock:
            self._settings = replace(self._settings, **changes)
            keep_settings(self.store, self._settings)
            if "references" in changes:  # no label is news, yet those who learn from references are behind
                step = NextStep("train", self._settings.seconds)
                self._asked |= {name: step for name in self.active if not LEARNERS[name].network}
        self.notify()
        return self._settings

    def pause(self, learner: str) -> None:
        """No new round; one that runs is stopped and its result kept."""
        if LEARNERS[_known(learner)].lasting:
            return self.stop(learner)
        self.change(paused=tuple(sorted({*self._settings.paused, _known(learner)})))
        self.stop(learner)

    def resume(self, learner: str) -> None:
        if LEARNERS[_known(learner)].lasting:
            return self.train_final(self.final.options)
        self.change(paused=tuple(p for p in self._settings.paused if p != _known(learner)))

    def train_final(self, options: FinalOptions, by: str = "") -> None:
        """The final model, until it is done: it goes on by itself where the app was closed, and where it was stopped
        before. `by`: who asks, "" for nobody on the page. Raises ValueError while it trains."""
        with self._lock:
            if FINAL in self._running:
                raise ValueError("the final model trains already; stop it first")
            self.final.ask(options, by)
        self.notify()

    def forget_final(self) -> None:
        """What was trained of it and is no model yet. Raises ValueError while it trains."""
        with self._lock:
            if FINAL in self._running:
                raise ValueError("the final model trains; stop it first")
            self.final.forget()

    def update_now(self, learner: str) -> None:
        """One round, also where nothing is new or the last one failed. Raises Busy-like ValueError while one runs."""
        if LEARNERS[_known(learner)].lasting:
            return self.train_final(self.final.options)
        with self._lock:
            if learner in self._running:
                raise ValueError("a round of this learner is running; wait for it, or stop it")
            self._asked[learner] = NextStep("train", self._settings.seconds)
        self.notify()

    def predict_only(self, learner: str) -> None:
        """From now on nothing is trained: this learner's model predicts what it has not predicted, once. Raises
        LookupError where it has none."""
        with self._lock:
            self.propose(learner)
            self._settings = replace(self._settings, learners=(learner,), paused=(learner,))

    def propose(self, learner: str) -> None:
        """Predict what this learner's model has not predicted, before anything is trained, also where the learner is
        not active. Raises LookupError where it has no model."""
        with self._lock:
            if self.rounds.newest(_known(learner), "done") is None:
                raise LookupError(f"{learner} has no model yet; train one first")
            self._asked[learner] = NextStep("predict", 0.0)
        self.notify()

    def stop(self, learner: str) -> None:
        """End training now; what was learned is compared, kept or dropped as always."""
        with self._lock:
            running = self._running.get(_known(learner))
            if running is not None:
                _touch(running.spec.directory / STOP_FILE)

    def choice(self) -> Choice:
        """The learner that the app would take, and why."""
        return choose(summarize_project(self.store, self.rounds, self._settings))

    def proposer(self) -> Proposer:
        """Who proposes where the app chooses, why, and who trains beside it to be compared."""
        return proposer_of(self.store, self.choice())

    @property
    def active(self) -> tuple[str, ...]:
        return self._settings.learners or (self.proposer().learner,)

    def status(self) -> list[Message]:
        """A `round` message for each learner that is active or has run."""
        with self._lock:
            names = dict.fromkeys((*self.active, *self._running))
            return [self._status(name) for name in names]

    def waits_for(self, learner: str) -> str:
        """What this learner lacks before it can train, in words; empty for nothing."""
        with self._lock:
            return self._waiting.get(learner, "")

    def history(self, learner: str) -> list[Message]:
        """Held-out Dice over the project's life, against labelled slices and annotator minutes."""
        return history(self.rounds.of(_known(learner)), self.store.judging.core_sizes())

    def pool(self, learner: str | None = None) -> Pool:
        """What the rankers see: every image that a learner has predicted."""
        return self._pools.pool(learner or self.active[0])

    def ranked_learner(self) -> str | None:
        """Whose predictions the rankers see: those of the learner that proposes, else the newest there are. None
        where no model has predicted anything."""
        chosen = (name for name in self.active if self.pool(name).from_model)
        return next(chosen, None) or self._pools.newest()

    def described(self) -> Pool:
        """What the images look like, for the first queries."""
        return self._pools.described()

    # starting

    def _start_behind(self) -> bool:
        started, challenger = False, self._settle()
        others = [name for name in (challenger, FINAL if self.final.going else None) if name]
        for name in dict.fromkeys((*self.active, *self._asked, *others)) if not self._closed else ():
            running = self._running.get(name)
            if running is not None:
                if running.polish and self._clock(name) > running.row.seen_label:
                    _touch(running.spec.directory / STOP_FILE)  # people come before polish
                continue
            step = self._next_challenge(name) if name == challenger else self._next(name)
            if step is not None:
                started |= self._start(name, step, beside=name == challenger)
        return started

    def _settle(self) -> str | None:
        """Let a learner take over that is better than the one that proposes; who trains beside it now."""
        if self._settings.learners or self.store.newest_label() == 0:
            return None
        proposer = self.proposer()
        if proposer.keep(self.store) and self.rounds.newest(proposer.learner, "done") is not None:
            self._asked.setdefault(proposer.learner, NextStep("predict", 0.0))  # it has proposed nothing yet
        return proposer.challenger

    def _next_challenge(self, name: str) -> NextStep | None:
        asked = self._asked.get(name)
        return asked or next_challenge(self.store, self._settings, name, self._clock(name))

    def _next(self, name: str) -> NextStep | None:
        asked = self._asked.get(name)
        if name == FINAL and self.final.going and not self.off:
            return NextStep("train", self.final.options.seconds)
        return asked or next_step(self.rounds, self._settings, name, self._clock(name))

    def _clock(self, name: str) -> int:
        """The newest event that is news for this learner: tags are for those that read them."""
        return self.store.newest_label(tags=LEARNERS[name].reads_tags)

    def _start(self, name: str, step: NextStep, *, beside: bool = False) -> bool:
        """`beside`: it is compared with the learner that proposes, and proposes nothing itself."""
        last = self.rounds.newest(name, "done")
        clock = self._clock(name)  # before the labels are read: what comes later starts another round
        if step.kind == "predict" and last is not None:
            clock = last.seen_label
        lasts = name == FINAL and step.kind == "train"
        recipe = self.final.options.recipe if lasts else name
        since = clock if lasts else last.seen_label if last else 0  # nothing is news to a long training
        inputs = self._inputs.build(recipe, since, self._pools.stable(recipe))
        self._asked.pop(name, None)
        why = missing(inputs) if step.kind == "train" else None
        if why is not None:
            changed = self._waiting.get(name) != why
            self._waiting[name] = why
            if changed:
                self._publish(self._status(name))
            return False
        self._waiting.pop(name, None)
        dead = self.rounds.tries(name, clock)
        self._corrections.note(name, inputs)
        row = self.rounds.start(name, clock, step.kind, inputs.core)
        final = self.final if lasts else None
        needs = RoundNeeds(inputs, step.seconds, self._open_image, smaller=dead, silent=beside, final=final)
        spec = make_spec(self.store, row, self._settings, needs)
        polish = not lasts and (beside or (last is not None and last.seen_label == row.seen_label))
        self._running[name] = RunningRound(row, spec, polish)
        log.info("round %d of %s: %s on label %d", row.id, name, step.kind, row.seen_label)
        self._publish(self._status(name))
        self.final.give_way(self.busy)
        future = (self._beside if LEARNERS[name].lasting else self._executor).submit(run_round, spec)
        future.add_done_callback(partial(self._round_ended, name))
        return True

    def _round_ended(self, name: str, future: Future) -> None:
        """In whatever thread the engine calls from: note it, and let the loop do the rest."""
        self._ended.put((name, future))
        self._wake.set()

    # ending

    def _record_ended(self) -> bool:
        any_ended = False
        while True:
            try:
                name, future = self._ended.get_nowait()
            except queue.Empty:
                return any_ended
            any_ended = True
            self._record(name, future)

    def _record(self, name: str, future: Future) -> None:
        running = self._running.pop(name)
        self._recorder.record(running, future)
        if running.spec.lasting is not None:
            self.final.ended(self.rounds.get(running.row.id))
        self.rounds.tidy([r.spec.parent for r in self._running.values() if r.spec.parent is not None])
        if not self._running:
            self._inputs.forget_old()
        self._publish(self._status(name))

    # status

    def _status(self, name: str) -> Message:
        quality = model_quality(self.store, name)
        status = LearnerStatus(
            name=name,
            running=self._running.get(name),
            last=self.rounds.newest(name),
            done=self.rounds.newest(name, "done"),
            quality=quality,
            objects=tuple(object_sentences(self.store, quality.objects)) if quality else (),
            newest_label=self._clock(name),
            paused=name in self._settings.paused,
            waiting=self._waiting.get(name),
            off=self.off,
        )
        return status.message()


def _known(learner: str) -> str:
    if learner not in LEARNERS:
        raise LookupError(f"there is no learner {learner!r}; there are: {', '.join(LEARNERS)}")
    return learner


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.touch()
