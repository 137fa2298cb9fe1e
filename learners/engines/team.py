"""Processes that answer people: each does one call at a time, at the server's own priority, and is replaced when it
dies."""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

Result = TypeVar("Result")


class WorkerTeam:
    """Executors of one worker each, of which a call takes a free one. Thread-safe."""

    def __init__(self, workers: Sequence[Executor]) -> None:
        self._workers = tuple(workers)
        self._free: queue.SimpleQueue[Executor] = queue.SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)

    def __len__(self) -> int:
        return len(self._workers)

    def call(self, fn: Callable[..., Result], *args: Any) -> Result:
        """Raises what it raises; BrokenExecutor where its worker died. Another one is there for the next call."""
        worker = self._free.get()
        try:
            result: Result = worker.submit(fn, *args).result()
            return result
        finally:
            self._free.put(worker)

    def each(self, fn: Callable[..., Any], *args: Any) -> None:
        """Once in every worker, side by side."""
        for future in [worker.submit(fn, *args) for worker in self._workers]:
            future.result()

    def kill(self) -> None:
        """End them at once, whatever they do."""
        for worker in self._workers:
            getattr(worker, "kill", worker.shutdown)()
