"""A learner pauses while people wait for masks: the server leaves a mark, and whatever a worker does looks at it
between steps: training, reading tags, guessing, tuning, judging, predicting.

Its lower priority alone leaves it a tenth of a core on Linux, and the memory bus and the caches know no priority.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

MARK = "people-wait"  # a file in the folder of the rounds
FRESH_SECONDS = 2.0  # that a mark holds: a server that was killed leaves its own behind
PAUSE_SECONDS = 0.5  # for which one step waits at most: a busy project learns too
LOOK_SECONDS = 0.01

_mark: ContextVar[Path | None] = ContextVar("people-wait", default=None)  # of the job that this thread does


class PeopleWait:
    """Thread-safe. Enter it while somebody waits. `mark` None: nothing is marked."""

    def __init__(self, mark: Path | None) -> None:
        self._mark = mark
        self._lock = threading.Lock()  # protects the one below and the file; a leaf
        self._waiting = 0

    def __enter__(self) -> None:
        with self._lock:
            self._waiting += 1
            if self._mark is not None:
                with contextlib.suppress(OSError):  # a full disk: then the learner does not wait
                    self._mark.touch()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._waiting -= 1
            if self._mark is not None and not self._waiting:
                with contextlib.suppress(OSError):
                    self._mark.unlink(missing_ok=True)


@contextlib.contextmanager
def giving_way(mark: Path | None) -> Iterator[None]:
    """What is done in here pauses for people, wherever it calls `give_way`."""
    before = _mark.set(mark)
    try:
        yield
    finally:
        _mark.reset(before)


def give_way() -> None:
    """Between two steps of a job: wait until nobody waits, or as long as one step may."""
    mark, until = _mark.get(), time.monotonic() + PAUSE_SECONDS
    while mark is not None and _fresh(mark) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)


def _fresh(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False
