"""Keeps every learner up to date with the labels: compare the clocks, and start a round for what is behind."""

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from annotator.round_inputs import Inputs, RoundInputs, proposal_dice
from learners import LEARNERS
from learners.choice import Choice, Facts, choose
from learners.describe import Described, describe_all
from learners.pool import Pool, empty_pool, join, read_pool, write_pool
from learners.progress import STOP_FILE, Progress, classes_file, confidence_file, read_progress
from learners.rounds import run_round
from learners.spec import RoundResult, RoundSpec, Unready
from storage.arrays import TornFile
from storage.predictions import NewPrediction
from storage.rounds import Correction, Finished, RoundRow, Rounds, rounds_of
from storage.store import Store

log = logging.getLogger(__name__)

Message = dict[str, Any]
SETTING = "learning"
TICK_SECONDS = 0.5
TRIES = 2  # a round whose worker died is tried again so often, each time smaller
DESCRIBE_SECONDS = 20.0  # for a first look at all images
KNOWN_BY = 5  # corrections that count as much as the model's own word


@dataclass(frozen=True)
class LearnSettings:
    """How a project learns; kept in the project."""

    learners: tuple[str, ...] = ()  # empty: the app chooses
    paused: tuple[str, ...] = ()
    seconds: float = 20.0  # of the first round after a new label; each further one takes twice as long
    settle_seconds: float = 180.0  # how long to go on training on the same labels
    predict_seconds: float = 30.0
    device: str = "auto"
    network: str = "auto"
    steps: int | None = None

    def __post_init__(self) -> None:
        for name in (*self.learners, *self.paused):
            if name not in LEARNERS:
                raise LookupError(f"there is no learner {name!r}; there are: {', '.join(LEARNERS)}")
        if not 1 <= self.seconds <= 86400 or not 0 <= self.settle_seconds <= 7 * 86400:
            raise ValueError("a round takes between a second and a day; choose another time")


@dataclass
class _Running:
    row: RoundRow
    spec: RoundSpec
    polish: bool  # it trains on labels that an earlier round has seen too
    published: set[int] = field(default_factory=set)


class Scheduler:
    """Thread-safe. `poke` after every label; a thread of its own does the rest once `open` was called."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        settings: LearnSettings | None = None,
        tell: Callable[[Message], None] = lambda message: None,
        rounds: Rounds | None = None,
    ) -> None:
        self.store, self.rounds = store, rounds or rounds_of(store)
        self.rounds.sweep()
        self._executor, self._tell = executor, tell
        self._inputs = RoundInputs(store, self.rounds)
        # Protects everything below. The store's lock is taken inside it; it is never held while a round runs,
        # except by an engine that runs rounds in the calling thread.
        self._lock = threading.RLock()
        self._settings = settings or self._read_settings()
        self._running: dict[str, _Running] = {}
        self._ended: queue.SimpleQueue[tuple[str, Future]] = queue.SimpleQueue()
        self._asked: set[str] = set()  # update-now
        self._waiting: dict[str, str] = {}  # learner -> what it waits for, in words
        self._pools: dict[str, Pool] = {}
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
        kill = getattr(self._executor, "kill", None)
        if kill is not None:
            kill()
        else:
            self._executor.shutdown(wait=False)

    def poke(self) -> None:
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
                self._publish(running)
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
            except Exception:
                log.exception("the scheduler stumbled; it goes on")
                time.sleep(TICK_SECONDS)

    # what people may ask

    @property
    def settings(self) -> LearnSettings:
        return self._settings

    def change(self, **changes: Any) -> LearnSettings:
        """Raises LookupError, ValueError. Kept in the project."""
        with self._lock:
            self._settings = replace(self._settings, **changes)
            values = {**vars(self._settings)}
            self.store.set_setting(SETTING, json.dumps(values))
        self.poke()
        return self._settings

    def pause(self, learner: str) -> None:
        """No new round; one that runs is stopped and its result kept."""
        self.change(paused=tuple(sorted({*self._settings.paused, _known(learner)})))
        self.stop(learner)

    def resume(self, learner: str) -> None:
        self.change(paused=tuple(p for p in self._settings.paused if p != _known(learner)))

    def update_now(self, learner: str) -> None:
        """One round, also where nothing is new or the last one failed. Raises Busy-like ValueError while one runs."""
        with self._lock:
            if _known(learner) in self._running:
                raise ValueError("a round of this learner is running already; stop it or wait")
            self._asked.add(learner)
        self.poke()

    def stop(self, learner: str) -> None:
        """End training now; what was learned is compared, kept or dropped as always."""
        with self._lock:
            running = self._running.get(_known(learner))
            if running is not None:
                _touch(running.spec.directory / STOP_FILE)

    def choice(self) -> Choice:
        """The learner that the app would take, and why."""
        return choose(self._facts())

    @property
    def active(self) -> tuple[str, ...]:
        return self._settings.learners or (self.choice().learner,)

    def status(self) -> list[Message]:
        """A `round` message for each learner that is active or has run."""
        with self._lock:
            names = dict.fromkeys((*self.active, *self._running))
            return [self._status(name) for name in names]

    def history(self, learner: str) -> list[Message]:
        """Held-out Dice over the project's life, against labelled slices and annotator minutes."""
        rows = [r for r in self.rounds.of(_known(learner)) if r.status == "done" and r.kind == "train"]
        return [
            {
                "round": r.id,
                "at": r.finished_at,
                "dice": r.dice,
                "child_dice": r.child_dice,
                "parent_dice": r.parent_dice,
                "slices": r.labelled_slices,
                "minutes": round(r.annotator_seconds / 60, 2),
            }
            for r in rows
        ]

    def corrective_dice(self, learner: str) -> list[Message]:
        """How much people changed proposals: 1 is nothing."""
        return [
            {"image": c.image_id, "expected": c.expected, "dice": round(c.dice, 4)}
            for c in self.rounds.corrections(learner)
        ]

    def pool(self, learner: str | None = None) -> Pool:
        """What the rankers see: every image that a learner has predicted."""
        with self._lock:
            name = learner or self.active[0]
            if name not in self._pools:
                path = self._pool_path(name)
                try:
                    self._pools[name] = read_pool(path) if path.exists() else empty_pool()
                except TornFile as error:
                    log.warning("%s", error)
                    self._pools[name] = empty_pool()
            return self._pools[name]

    def described(self) -> Pool:
        """What the images look like, for the first queries; made on demand, once for each number of images."""
        total, rows = self.store.images(limit=-1)
        path = self.rounds.directory / f"described-{total}.npz"
        if not path.exists():
            describe_all([Described(r.id, r.path, r.shape) for r in rows], path, DESCRIBE_SECONDS)
        return read_pool(path) if path.exists() else empty_pool()

    # starting

    def _start_behind(self) -> bool:
        started = False
        for name in self.active if not self._closed else ():
            running = self._running.get(name)
            if running is not None:
                if running.polish and self.store.newest_label() > running.row.seen_label:
                    _touch(running.spec.directory / STOP_FILE)  # people come before polish
                continue
            plan = self._next(name)
            if plan is not None:
                started |= self._start(name, plan)
        return started

    def _next(self, name: str) -> tuple[str, float] | None:
        """What to do now, and for how many seconds of training; None where there is nothing."""
        if name in self._asked:
            return "train", self._settings.seconds
        if name in self._settings.paused:
            return None
        last, newest = self.rounds.newest(name), self.store.newest_label()
        if newest == 0:
            return None
        if last is None or newest > last.seen_label:
            return "train", self._settings.seconds
        if last.status == "lost":
            dead = self.rounds.tries(name, last.seen_label)
            return ("train", self._settings.seconds) if dead <= TRIES else None
        if last.status == "failed":
            return None
        return self._polish(name, newest)

    def _polish(self, name: str, newest: int) -> tuple[str, float] | None:
        """Go on for a while on the same labels, each time twice as long; then predict what is left."""
        trained = self.rounds.trained_seconds(name, newest)
        left = self._settings.settle_seconds - trained
        if left >= self._settings.seconds:
            return "train", min(left, max(self._settings.seconds, trained))
        model = self.rounds.newest(name, "done")
        if model is not None and self.rounds.unpredicted(name, model.seen_label):
            return "predict", 0.0
        return None

    def _start(self, name: str, plan: tuple[str, float]) -> bool:
        kind, seconds = plan
        last = self.rounds.newest(name, "done")
        clock = self.store.newest_label()  # before the labels are read: what comes later starts another round
        if kind == "predict" and last is not None:
            clock = last.seen_label
        inputs = self._inputs.build(name, last.seen_label if last else 0, self._stable(name))
        why = _not_ready(inputs)
        if why is not None:
            changed = self._waiting.get(name) != why
            self._waiting[name] = why
            self._asked.discard(name)
            if changed:
                self._tell(self._status(name))
            return False
        self._waiting.pop(name, None)
        self._asked.discard(name)
        dead = self.rounds.tries(name, clock)
        self._note_corrections(name, inputs)
        row = self.rounds.start(name, clock, kind)
        spec = self._spec(name, row, inputs, seconds, dead)
        self._running[name] = _Running(
            row, spec, polish=last is not None and last.seen_label == row.seen_label
        )
        log.info("round %d of %s: %s on label %d", row.id, name, kind, row.seen_label)
        self._tell(self._status(name))
        future = self._executor.submit(run_round, spec)
        future.add_done_callback(partial(self._ring, name))
        return True

    def _stable(self, name: str) -> dict[int, float]:
        """How settled the last models were on each image."""
        pool = self.pool(name)
        return {int(i): float(s) for i, s in zip(pool.refs[:, 0], pool.stability) if s == s}

    def _spec(self, name: str, row: RoundRow, inputs: Inputs, seconds: float, dead: int) -> RoundSpec:
        return RoundSpec(
            learner=name,
            class_ids=inputs.class_ids,
            examples=inputs.examples,
            directory=self.rounds.folder(row.id),
            parent=self.rounds.model(name) or self.rounds.any_model(),
            seconds=seconds,
            predict=self._order(name, row),
            predict_seconds=self._settings.predict_seconds,
            seed=row.id,
            device=self._settings.device,
            network=self._settings.network,
            smaller=dead,
            steps=self._settings.steps if seconds else None,
            mirror=inputs.mirror,
            late_ids=inputs.late_ids,
        )

    def _order(self, name: str, row: RoundRow) -> tuple[int, ...]:
        """The open image, then what was never predicted, then the oldest; a round that only predicts leaves out
        what this model has predicted already."""
        newer_than = row.seen_label + (row.kind == "train")
        order = self.rounds.unpredicted(name, newer_than)
        first = [self._open_image] if self._open_image in order else []
        return tuple(i for i in dict.fromkeys([*first, *order]) if i is not None)

    def _ring(self, name: str, future: Future) -> None:
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
        error = None if not future.cancelled() and future.exception() is None else _error_of(future)
        if error is None:
            self._finish(name, running, future.result())
        elif isinstance(error, BrokenExecutor):
            self._lost(name, running)
        else:
            log.warning("round %d of %s failed", running.row.id, name, exc_info=error)
            self.rounds.fail(running.row.id, _reason(error))
        self.rounds.tidy()
        if not self._running:
            self._inputs.forget_old()
        self._tell(self._status(name))

    def _finish(self, name: str, running: _Running, result: RoundResult) -> None:
        self._publish(running, result)
        metrics = {
            "steps": result.steps,
            "seconds": result.trained_seconds,
            "per_class": {str(k): round(v, 4) for k, v in result.per_class.items()},
            "notes": list(result.notes),
            "remaining": result.remaining,
        }
        kept = Finished(int(result.model.name), result.dice, result.child_dice, result.parent_dice, metrics)
        self._keep_pool(name, running.spec.directory / "pool.npz")
        self.rounds.finish(running.row.id, kept)
        log.info("round %d of %s done: %d steps, Dice %s", running.row.id, name, result.steps, result.dice)

    def _lost(self, name: str, running: _Running) -> None:
        """The worker is gone: killed, or the memory of the machine did not suffice."""
        row = running.row
        dead = self.rounds.tries(name, row.seen_label)
        if dead < TRIES:
            self.rounds.lose(row.id, "the worker died; the round starts again, smaller")
        else:
            self.rounds.fail(
                row.id,
                f"the worker died {dead + 1} times, probably for want of memory; close other programs or choose "
                "a smaller network, then update now",
            )

    def _publish(self, running: _Running, result: RoundResult | None = None) -> None:
        """Show finished predictions, while a round still runs as well."""
        progress = read_progress(running.spec.directory)
        if progress is None:
            return
        kind = running.spec
        for image_id in progress.done:
            if image_id in running.published:
                continue
            with contextlib.suppress(
                PermissionError
            ):  # Windows: the worker has it open; the next look gets it
                self._publish_one(running, image_id, progress)
                running.published.add(image_id)
        if result is None:
            self._tell(self._status(kind.learner, progress))

    def _publish_one(self, running: _Running, image_id: int, progress: Progress) -> None:
        name, directory = running.spec.learner, running.spec.directory
        expected = self._calibrated(name, progress.scores.get(image_id))
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
        self._tell(
            {
                "t": "proposal",
                "image": image_id,
                "producer": name,
                "round": running.row.id,
                "seen": row.seen_label,
                "expected_dice": None if expected is None else round(expected, 3),
            }
        )

    # what people changed

    def _note_corrections(self, name: str, inputs: Inputs) -> None:
        """Compare the last proposals with what people said after them, once for each proposal."""
        for example in inputs.examples:
            if not example.fresh:
                continue
            row = self.store.predictions.newest(example.image_id, name)
            if row is None or self.rounds.has_correction(row.image_id, name, row.seen_label):
                continue
            newer = [label for label in self.store.labels(row.image_id) if label.id > row.seen_label]
            dice = proposal_dice(example.shape, newer, row.classes_path, inputs.class_ids)
            if dice is not None:
                note = Correction(row.image_id, name, row.seen_label, row.expected_dice, dice)
                self.rounds.add_correction(note)

    def _calibrated(self, name: str, expected: float | None) -> float | None:
        """The model's own word, moved by how wrong it was where people looked."""
        if expected is None:
            return None
        pairs = [(c.expected, c.dice) for c in self.rounds.corrections(name) if c.expected is not None]
        if not pairs:
            return expected
        off = sum(dice - said for said, dice in pairs) / len(pairs)
        return min(1.0, max(0.0, expected + off * len(pairs) / (len(pairs) + KNOWN_BY)))

    # facts

    def _facts(self) -> Facts:
        total, rows = self.store.images(limit=-1)
        labelled = self.rounds.labelled_images()
        kinds = self.rounds.label_kinds()
        best = [r.dice for name in LEARNERS if (r := self.rounds.newest(name, "done")) is not None and r.dice]
        return Facts(
            images=total,
            volumes=sum(row.is_volume for row in rows),
            labelled=len(labelled),
            complete_slices=kinds["complete"],
            drawn=kinds["patch"],
            boxes=kinds["boxes"],
            has_gpu=self._settings.device != "cpu" and _has_gpu(),
            dice=max(best, default=None),
        )

    def _status(self, name: str, progress: Progress | None = None) -> Message:
        running = self._running.get(name)
        last = self.rounds.newest(name)
        done = self.rounds.newest(name, "done")
        message = {
            "t": "round",
            "learner": name,
            "title": LEARNERS[name].title,
            "state": self._state(name, last),
            "round": running.row.id if running else (last.id if last else None),
            "dice": None if done is None or done.dice is None else round(done.dice, 4),
            "behind": self.store.newest_label() > (done.seen_label if done else 0),
            "message": self._message(name, last),
        }
        if running is not None:
            progress = progress or read_progress(running.spec.directory) or Progress("waiting for a worker")
            message |= {"phase": progress.phase, "step": progress.step, "loss": progress.loss}
            message["seconds_left"] = progress.seconds_left
        return message

    def _state(self, name: str, last: RoundRow | None) -> str:
        if name in self._running:
            return "running"
        if name in self._settings.paused:
            return "paused"
        if last is not None and last.status == "failed":
            return "failed"
        return "waiting" if name in self._waiting or last is None else "idle"

    def _message(self, name: str, last: RoundRow | None) -> str:
        if self.off or name in self._waiting:
            return self.off or self._waiting[name]
        if last is None:
            return "Label something; training starts by itself."
        if last.status in ("failed", "lost"):
            return f"The last round {'failed' if last.status == 'failed' else 'was lost'}: {last.error}."
        return " ".join(f"{note[:1].upper()}{note[1:]}." for note in last.metrics.get("notes", ()))

    def _read_settings(self) -> LearnSettings:
        text = self.store.setting(SETTING)
        try:
            values: dict[str, Any] = json.loads(text) if text else {}
            for name in ("learners", "paused"):
                values[name] = tuple(values.get(name, ()))
            return LearnSettings(**values)
        except (ValueError, TypeError, LookupError) as error:
            log.warning("the learning settings cannot be read (%s); the defaults hold", error)
            return LearnSettings()

    def _pool_path(self, name: str) -> Path:
        return self.rounds.directory / f"pool-{name}.npz"

    def _keep_pool(self, name: str, path: Path) -> None:
        """The new rows beside those of images that this round did not predict."""
        with contextlib.suppress(TornFile):
            if path.exists():
                self._pools[name] = join([self.pool(name), read_pool(path)])
                write_pool(self._pool_path(name), self._pools[name])
                self._tell({"t": "queue", "learner": name})


def _not_ready(inputs: Inputs) -> str | None:
    """What is missing before anything can be learned, as a sentence for the person."""
    if not inputs.class_ids:
        return "Label one object, then say that the slice is complete (or paint some background)."
    says_background = any(e.known is not None for e in inputs.examples)
    return None if says_background else "Label one slice; training starts by itself."


def _error_of(future: Future) -> BaseException:
    if future.cancelled():
        return BrokenExecutor("the round was cancelled")
    error = future.exception()
    assert error is not None
    return error


def _reason(error: BaseException) -> str:
    """One sentence without a final stop."""
    text = str(error).strip().split("\n")[0][:300].rstrip(".")
    if isinstance(error, (Unready, ValueError, LookupError, FloatingPointError, TornFile)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _known(learner: str) -> str:
    if learner not in LEARNERS:
        raise LookupError(f"there is no learner {learner!r}; there are: {', '.join(LEARNERS)}")
    return learner


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.touch()


def _has_gpu() -> bool:
    """Without loading torch: the driver's own tool or device file."""
    import shutil

    return shutil.which("nvidia-smi") is not None
