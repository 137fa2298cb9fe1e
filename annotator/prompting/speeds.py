"""How fast each prompt model answers on this machine: measured once, behind the person, and kept in the project."""

import json
import logging
import os
import platform
import queue
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.machine import lower_thread_priority
from models.prompt import PromptModel, Prompts
from storage.store import Store

log = logging.getLogger(__name__)

SETTING = "prompt_speeds"
QUIET_SECONDS = 3.0  # the first clicks after a start are the person's
REPEATS = 3
SIDE = 512  # pixels of the slice that is measured on


@dataclass(frozen=True)
class Speed:
    first_ms: float  # a click on a slice that the model has not seen
    next_ms: float  # each further one


# Measures a model in the calling thread; it is handed what says whether to stop.
MeasureModel = Callable[[Callable[[], bool]], Speed | None]


class Speeds:
    """Thread-safe. `changed` is called from the measuring thread when a number is new."""

    def __init__(
        self, store: Store, changed: Callable[[], None], quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self._store, self._changed, self._quiet = store, changed, quiet_seconds
        self._lock = threading.Lock()  # protects `_known` and `_asked`; the store's lock is taken inside it
        self._known = _read(store)
        self._asked: set[str] = set()
        self._waiting: queue.SimpleQueue[tuple[str, MeasureModel] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def of(self, name: str) -> Speed | None:
        """None where it was not measured on this machine yet."""
        with self._lock:
            return self._known.get(name)

    def request(self, name: str, measured: MeasureModel) -> None:
        """Measure this model once, soon. Returns at once."""
        with self._lock:
            if name in self._known or name in self._asked or self._closing.is_set():
                return
            self._asked.add(name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="speeds", daemon=True)
                self._thread.start()
        self._waiting.put((name, measured))

    def close(self) -> None:
        """Waits for an answer that is being measured."""
        self._closing.set()
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        lower_thread_priority()
        while (item := self._waiting.get()) is not None:
            name, measured = item
            if self._closing.wait(self._quiet):
                return
            try:
                self._keep(name, measured(self._closing.is_set))
            except Exception as error:  # no memory, a model of another kind: it stays unmeasured
                log.warning("the speed of %s could not be measured: %s", name, error)

    def _keep(self, name: str, speed: Speed | None) -> None:
        if speed is None:
            return
        with self._lock:
            self._known[name] = speed
            values = _read_all(self._store) | {machine(): {n: asdict(s) for n, s in self._known.items()}}
            self._store.set_setting(SETTING, json.dumps(values))
        self._changed()


def measuring(model: PromptModel, *, instant: bool) -> MeasureModel:
    """`measure`, of a model in this process."""
    return lambda stop: measure(model, instant=instant, stop=stop)


def measure(model: PromptModel, *, instant: bool, stop: Callable[[], bool] = lambda: False) -> Speed | None:
    """Medians in milliseconds; None where it was stopped. An `instant` one encodes anew at each click, others once."""
    point = Prompts(points_rc=((SIDE / 2, SIDE / 2),), labels=(1,))
    more = Prompts(points_rc=((SIDE / 2, SIDE / 2), (SIDE / 8, SIDE / 8)), labels=(1, 0))
    if instant:
        model.predict(
            model.encode(_picture(0)), point
        )  # what is loaded by the first answer is no click's fault
    firsts: list[float] = []
    nexts: list[float] = []
    for seed in range(1, 1 + (REPEATS if instant else 1)):
        if stop():
            return None
        picture = _picture(seed)
        started = time.perf_counter()
        embedding = model.encode(picture)
        model.predict(embedding, point)
        firsts.append(time.perf_counter() - started)
        for _ in range(1 if instant else REPEATS):
            if stop():
                return None
            started = time.perf_counter()
            model.predict(model.encode(picture) if instant else embedding, more)
            nexts.append(time.perf_counter() - started)
    return Speed(round(1000 * statistics.median(firsts), 1), round(1000 * statistics.median(nexts), 1))


def machine() -> str:
    """A project that moves to another computer is measured anew."""
    return f"{platform.node()} {platform.machine()} {os.cpu_count()}"


def _picture(seed: int) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) a bright disc in noise."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:SIDE, :SIDE]
    disc = (y - SIDE / 2) ** 2 + (x - SIDE / 2) ** 2 < (SIDE / 6) ** 2
    grey = np.clip(80 + 90 * disc + rng.normal(0, 12, (SIDE, SIDE)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def _read(store: Store) -> dict[str, Speed]:
    return {name: Speed(**speed) for name, speed in _read_all(store).get(machine(), {}).items()}


def _read_all(store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """machine -> model -> its numbers; nothing where somebody damaged the setting."""
    try:
        values = json.loads(store.setting(SETTING) or "{}")
        return {
            m: {n: {k: float(s[k]) for k in ("first_ms", "next_ms")} for n, s in of.items()}
            for m, of in values.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
