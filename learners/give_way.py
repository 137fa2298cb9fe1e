"""A learner pauses while people wait for masks: the server leaves a mark, and the trainer looks at it between steps.

Its lower priority alone leaves it a tenth of a core on Linux, and the memory bus and the caches know no priority.
"""

import contextlib
import threading
import time
from pathlib import Path

MARK = "people-wait"  # a file in the folder of the rounds
FRESH_SECONDS = 2.0  # that a mark holds: a server that was killed leaves its own behind
PAUSE_SECONDS = 0.5  # for which one step waits at most: a busy project learns too
LOOK_SECONDS = 0.01


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


def give_way(mark: Path) -> None:
    """Between two steps: wait until nobody waits, or as long as one step may."""
    until = time.monotonic() + PAUSE_SECONDS
    while _fresh(mark) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)


def _fresh(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False
