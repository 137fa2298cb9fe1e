"""Rounds on Ray, which starts with the first of them. Only paths travel."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from learners.engines.ray_cluster import RayCluster, gpus_of_a_round, machines, result_of
from learners.engines.worker_process import LEAST, lower_process_priority

ON_A_CLUSTER = 8  # processors for a round, or what the largest machine has
WAITING = 8  # rounds that may be handed over at once; Ray queues what does not fit


class RayExecutor(Executor):
    """A round is a Ray task that is never tried again by itself; a worker that dies breaks its future alone.

    `submit` returns at once: starting Ray takes seconds, and callers hold locks.
    """

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        self._threads = threads or max(1, (os.cpu_count() or 2) - 1)
        self._cluster = RayCluster(address, self._threads)
        self._callers = ThreadPoolExecutor(WAITING, thread_name_prefix="ray")
        self._lock = threading.Lock()  # protects _running; the cluster's is taken inside it, while Ray starts
        self._running: set[Any] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return self._callers.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._callers.shutdown(wait, cancel_futures=cancel_futures)
        self._cluster.end()

    def beside(self) -> Executor:
        """On the server's own machine: a final model that stands still for a round would hold what Ray needs for it,
        and neither would ever go on."""
        from learners.engines import ProcessExecutor

        return ProcessExecutor(threads=self._threads, nice=LEAST)

    def kill(self) -> None:
        """End the workers at once, whatever they do. Ray's `cancel` stops nothing that runs; its force does."""
        with self._lock:
            running = list(self._running)
        if running:
            import ray

            for task in running:
                ray.cancel(task, force=True)
        self._callers.shutdown(wait=True, cancel_futures=True)
        self._cluster.end()

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In a thread of its own: hand the call to Ray and wait."""
        with self._lock:
            try:
                self._cluster.start()
            except ValueError as error:
                raise ValueError(f"{error}; update now tries again") from error
            task = self._remote().remote(fn, args, kwargs, self._threads)
            self._running.add(task)
        try:
            return result_of(task)
        finally:
            with self._lock:
                self._running.discard(task)

    def _remote(self) -> Any:
        """The task, with what it asks for: processors, and a GPU where there are any."""
        import ray

        found = machines()
        cpus = self._threads
        if self._cluster.address is not None:
            cpus = min(ON_A_CLUSTER, *(int(machine.get("CPU", 0)) or ON_A_CLUSTER for machine in found))
        gpus = gpus_of_a_round(found)
        return ray.remote(_politely).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)


def _politely(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], threads: int) -> Any:
    """In the worker, which Ray may use again and again."""
    lower_process_priority(threads)
    return fn(*args, **kwargs)
