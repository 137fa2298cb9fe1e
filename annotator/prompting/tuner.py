"""Keeps the built-in prompt model tuned to the project: when enough masks were finished, and again when they doubled.

A tuning round runs in the learners' worker, so never beside a learning round: it waits until none runs, and gives way
when one wants to start; then it goes on from where it was. What it makes is a file in `tuned/`, taken into use only
where it saves clicks on held-out masks. What is known of it is the project's setting `prompt_tuning`.
"""

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotator.prompting.tuned_model import FOLDER, Tuned, adapter_of, read_tuned, write_tuned
from annotator.prompting.tuning_inputs import MaskCount, gather
from annotator.text import error_sentence
from learners.give_way import MARK
from learners.progress import STOP_FILE, read_progress
from learners.rounds import run_tuning
from learners.spec import Unready
from learners.tuning_spec import ADAPTER, TuneResult, TuneSpec
from models.clicknet.adapter import belongs, digest
from storage.arrays import TornFile
from storage.database import is_full
from storage.store import Store

log = logging.getLogger(__name__)

WORK = "tuning"  # the folder of the round that runs, in the project
FIRST_OBJECTS, FIRST_SLICES = 20, 4
TICK_SECONDS, WAIT_SECONDS = 0.5, 5.0
NOTHING_JUDGES = (
    "The built-in model was not tuned: nothing judges it while nearly every mask was accepted as proposed. "
    "Label two images or slices yourself."
)
TRIES = 2  # a round whose worker died goes on that often


class Tuner:
    """Thread-safe. `notify` after every label; a thread of its own does the rest once `open` was called."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        busy: Callable[[], bool] = lambda: False,
        use_tuned_layers: Callable[[], None] = lambda: None,
        steps: int | None = None,
        judged: int | None = None,
    ) -> None:
        """`busy`: a learning round runs or waits. `use_tuned_layers` is called when the adapter in use changes."""
        self._store, self._executor, self._busy, self._use_tuned_layers = (
            store,
            executor,
            busy,
            use_tuned_layers,
        )
        self._limits: dict[str, Any] = {
            k: v for k, v in (("steps", steps), ("judged", judged)) if v is not None
        }
        self._count = MaskCount(store)
        # Protects everything below. Taken before the locks of the embedding state, prompt service, engine and store.
        # Not held while a round runs, except by an engine that runs it in this thread.
        self._lock = threading.RLock()
        self._spec: TuneSpec | None = None
        self._objects, self._deaths, self._asked = 0, 0, False
        self._future: Future[TuneResult] | None = None
        self._wake, self._closed = threading.Event(), False
        self._thread: threading.Thread | None = None
        shutil.rmtree(self._work, ignore_errors=True)  # of a round that ended with its server

    @property
    def _work(self) -> Path:
        return self._store.root / WORK

    def open(self) -> None:
        """Work in the background from now on."""
        self._thread = threading.Thread(target=self._loop, name="tuner", daemon=True)
        self._thread.start()
        self.notify()

    def close(self) -> None:
        """Stop the round and forget it. The executor is its owner's to close."""
        self._closed = True
        self._wake.set()
        self._stop()
        if self._thread is not None:
            self._thread.join(10)

    def notify(self) -> None:
        """Something changed. Costs nothing."""
        self._wake.set()

    def ask(self) -> None:
        """Tune now, however few masks are new. Raises ValueError where there are too few for any tuning."""
        masks = self._count()
        if masks.objects < FIRST_OBJECTS or masks.slices < FIRST_SLICES:
            raise ValueError(
                f"tuning needs {FIRST_OBJECTS} finished masks on {FIRST_SLICES} slices or images; "
                f"there are {masks.objects} on {masks.slices}. Prompt, accept or import some more"
            )
        with self._lock:
            self._asked = True
        self.notify()

    @property
    def running(self) -> bool:
        with self._lock:
            return self._future is not None

    def phase(self) -> str:
        """Where a running round is, in words; "" where none runs."""
        progress = read_progress(self._work) if self.running else None
        return "" if progress is None else f"{progress.phase} {progress.step or ''}".strip()

    def reconcile(self) -> bool:
        """Record what ended, give way, start what is due; from any thread. True while something is to be done."""
        with self._lock:
            if self._future is not None and self._future.done():
                self._record(self._future)
            if self._future is not None:
                if self._busy():
                    self._stop()
                return True
            if self._spec is None and not self._due():
                return False
            if self._busy():
                return True
            self._start()
            return self._future is not None

    def run_until_idle(self) -> Tuned:
        """For the command line and tests: what came of it."""
        while self.reconcile():
            self._wake.wait(TICK_SECONDS if self.running else 0.01)
            self._wake.clear()
        return read_tuned(self._store)

    def _loop(self) -> None:
        waiting = False
        while not self._closed:
            self._wake.wait((TICK_SECONDS if self.running else WAIT_SECONDS) if waiting else None)
            self._wake.clear()
            try:
                waiting = not self._closed and self.reconcile()
            except Exception:
                log.exception("tuning stumbled; it goes on after the next label")
                waiting = False

    def _due(self) -> bool:
        if self._asked:
            return True
        masks, tried = self._count(), read_tuned(self._store).tried
        return masks.slices >= FIRST_SLICES and masks.objects >= max(FIRST_OBJECTS, 2 * tried)

    def _start(self) -> None:
        """Gather the masks, or go on with a round that gave way."""
        self._asked = False
        if self._spec is None and not self._gathered():
            return
        assert self._spec is not None
        with contextlib.suppress(OSError):
            (self._spec.directory / STOP_FILE).unlink(missing_ok=True)
        self._future = self._executor.submit(run_tuning, self._spec)
        self._future.add_done_callback(lambda _: self._wake.set())

    def _gathered(self) -> bool:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        counted = self._count().objects
        try:
            gathered = gather(self._store, self._work)
        except (TornFile, LookupError) as error:
            self._ended(counted, f"The built-in model was not tuned: {error}.")
            return False
        held = sum(each.held for each in gathered.slices)
        if held == 0:
            self._ended(counted, NOTHING_JUDGES)
            return False
        if gathered.objects < FIRST_OBJECTS or held == len(gathered.slices):
            self._ended(counted, "The built-in model was not tuned: too few finished masks of a usable size.")
            return False
        current = adapter_of(self._store)
        usable = current if current is not None and belongs(current) else None
        mark = self._store.rounds.directory / MARK
        self._spec = TuneSpec(self._work, gathered.slices, current=usable, people_wait=mark, **self._limits)
        self._objects, self._deaths = counted, 0
        return True

    def _record(self, future: "Future[TuneResult]") -> None:
        self._future = None
        error = future.exception() if not future.cancelled() else BrokenExecutor("it was cancelled")
        if error is None and not future.result().finished:
            return  # it gave way, and goes on when the worker is free
        if isinstance(error, BrokenExecutor) and self._deaths < TRIES:
            self._deaths += 1
            return
        if error is None:
            self._finish(future.result())
        else:
            known = isinstance(error, (Unready, ValueError, OSError, FloatingPointError)) or is_full(error)
            log.warning("tuning failed: %s", error, exc_info=None if known else error)
            why = (
                error_sentence(error).rstrip(".")
                if known
                else "its worker died, probably because memory ran out"
            )
            self._ended(self._objects, f"The built-in model was not tuned: {why}.")

    def _finish(self, result: TuneResult) -> None:
        assert result.before is not None and result.after is not None
        difference = (
            f"{result.before.clicks:.1f} -> {result.after.clicks:.1f} clicks to 0.85 on held-out masks"
        )
        if not result.kept:
            return self._ended(
                self._objects, f"Tuning saved no clicks ({difference}); the model stays as it was."
            )
        made = self._work / ADAPTER
        folder = self._store.root / FOLDER
        folder.mkdir(exist_ok=True)
        old, name = read_tuned(self._store).file, f"{digest(made.read_bytes())}.safetensors"
        made.replace(folder / name)
        tuned = Tuned(0, name, self._objects, result.before.clicks, result.after.clicks)
        self._ended(self._objects, f"The built-in model was tuned: {difference}.", tuned)
        self._use_tuned_layers()
        if old and old != name:
            with contextlib.suppress(OSError):  # Windows: the old model may still have it open
                (folder / old).unlink()

    def _ended(self, objects: int, message: str, tuned: Tuned | None = None) -> None:
        tuned = replace(tuned or read_tuned(self._store), tried=objects, message=message)
        write_tuned(self._store, tuned)
        self._spec = None
        shutil.rmtree(self._work, ignore_errors=True)
        log.info("%s", message)

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            if self._work.is_dir():
                (self._work / STOP_FILE).touch()


def tune_project(project: Path, on_phase: Callable[[str], None], **limits: Any) -> Tuned:
    """Tune now, in this process; what came of it. Raises FileNotFoundError, ValueError."""
    from learners.engines import SerialExecutor

    store = Store.existing(project)
    try:
        tuner = Tuner(store, SerialExecutor(), **limits)
        tuner.ask()
        on_phase("tuning the built-in model; this takes some minutes")
        return tuner.run_until_idle()
    finally:
        store.close()
