"""Processes that answer people: each does one call at a time, at the server's own priority, and is replaced when it
dies."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from typing import Any, TypeVar

AWAKENINGS = 3  # processes that die before they do anything; then another one will not help
NOBODY = (
    "no prompt worker stays alive, probably because memory is full; close other programs, "
    "or start with --prompt-workers 0"
)

Result = TypeVar("Result")


class WorkerTeam:
    """Executors of one worker each, of which a call takes a free one. Thread-safe."""

    def __init__(self, workers: Sequence[Executor]) -> None:
        self._workers = tuple(workers)
        self._changed = threading.Condition()  # protects the one below; a leaf
        self._free = list(self._workers)  # the one that is free longest first

    def __len__(self) -> int:
        return len(self._workers)

    def call(self, fn: Callable[..., Result], *args: Any) -> Result:
        """Raises what it raises; BrokenExecutor where its worker died. Another one is there for the next call."""
        with self._taken() as worker:
            result: Result = worker.submit(fn, *args).result()
            return result

    def call_awake(self, fn: Callable[..., Result], *args: Any) -> Result:
        """By a worker that lived when this began: it raises BrokenExecutor only where that died of this, or beside it.
        Workers may all be dead already where they were killed together. Raises ValueError where none stays alive."""
        with self._taken() as worker:
            wake(worker)
            result: Result = worker.submit(fn, *args).result()
            return result

    def each(self, fn: Callable[..., Any], *args: Any) -> None:
        """Once in every worker, side by side."""
        for future in [worker.submit(fn, *args) for worker in self._workers]:
            future.result()

    def each_in_turn(self, fn: Callable[..., Any], *args: Any) -> None:
        """Once in every worker, one after another: the others answer people meanwhile."""
        for worker in self._workers:
            with self._taken(worker):
                wake(worker)
                worker.submit(fn, *args).result()

    def kill(self) -> None:
        """End them at once, whatever they do."""
        for worker in self._workers:
            getattr(worker, "kill", worker.shutdown)()

    @contextmanager
    def _taken(self, wanted: Executor | None = None) -> Iterator[Executor]:
        """A free worker, or this one once it is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free if wanted is None else wanted in self._free)
            worker = self._free[0] if wanted is None else wanted
            self._free.remove(worker)
        try:
            yield worker
        finally:
            with self._changed:
                self._free.append(worker)
                self._changed.notify_all()


def wake(worker: Executor) -> None:
    """Its process lives: one that had died is replaced. Raises ValueError where none stays alive."""
    for _ in range(AWAKENINGS):
        try:
            worker.submit(os.getpid).result()
            return
        except BrokenExecutor:
            continue
    raise ValueError(NOBODY)
