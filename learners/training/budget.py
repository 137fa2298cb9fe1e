"""How long a job may train: time as progress in 0..1."""

import time
from pathlib import Path

from learners.give_way import give_way

WAIT_SECONDS = 0.1  # between two looks whether others still need the machine


class Budget:
    """Time as progress in 0..1, by seconds or steps, whichever is further; ends early when asked to."""

    _now = staticmethod(time.monotonic)

    def __init__(
        self,
        seconds: float,
        steps: int | None = None,
        stop: Path | None = None,
    ) -> None:
        self._seconds, self._steps, self._stop = seconds, steps, stop
        self.others_run: Path | None = (
            None  # while this file exists nothing is done, and the clock stands still
        )
        self._started = self._now()
        self.step = 0

    def start(self) -> None:
        """Loading does not count: on a busy machine it may take longer than the training is meant to."""
        self._started = self._now()

    def go_on(self, spent: float, step: int) -> None:
        """From where an earlier process was."""
        self._started, self.step = self._now() - spent, step

    @property
    def spent(self) -> float:
        return self._now() - self._started

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._seconds - self.spent)

    @property
    def progress(self) -> float:
        """By steps alone where a number is given, so that the same seed makes the same weights."""
        if self._steps is not None:
            return min(1.0, self.step / max(1, self._steps))
        return min(1.0, self.spent / self._seconds) if self._seconds else 1.0

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.exists()

    def left(self) -> bool:
        """One step at least is always taken, unless somebody asked to stop. Waits for people and for others first."""
        give_way()
        self._wait()
        return (self.progress < 1 or self.step == 0) and not self.stopped

    def _wait(self) -> None:
        began = self._now()
        while self.others_run is not None and self.others_run.exists() and not self.stopped:
            time.sleep(WAIT_SECONDS)
            self._started += self._now() - began
            began = self._now()
