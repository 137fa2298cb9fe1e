"""Rounds on Ray: on this machine by default, on a cluster where its address is given.

A cluster's machines must see the project's folder under the same path: rounds read arrays and write files there, and
only paths travel. Ray starts with the first round and is a library of its own: requirements-ray.txt.
"""

import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from learners.manners import give_way

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
START_TRIES = 3  # it gives itself 30 seconds, which do not always suffice on a crowded machine
START_MS = 120_000  # and its parts 15
STORE_BYTES = 80 << 20  # the least that Ray takes; no array ever goes through its store
ON_A_CLUSTER = 8  # processors for a round, or what the largest machine has
WAITING = 8  # rounds that may be handed over at once; Ray queues what does not fit


class RayExecutor(Executor):
    """A round is a Ray task that is never tried again by itself; a worker that dies breaks its future alone.

    `submit` returns at once: starting Ray takes seconds, and callers hold locks.
    """

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ValueError("the engine ray needs its package; run: pip install -r requirements-ray.txt")
        self._address = address
        self._threads = threads or max(1, (os.cpu_count() or 2) - 1)
        self._callers = ThreadPoolExecutor(WAITING, thread_name_prefix="ray")
        self._lock = threading.Lock()  # protects the three below; held while Ray starts
        self._running: set[Any] = set()
        self._ours = False  # we started Ray and are to end it
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return self._callers.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._callers.shutdown(wait, cancel_futures=cancel_futures)
        self._end()

    def kill(self) -> None:
        """End the workers at once, whatever they do. Ray's `cancel` stops nothing that runs; its force does."""
        with self._lock:
            running = list(self._running)
        if running:
            import ray

            for task in running:
                ray.cancel(task, force=True)
        self._callers.shutdown(wait=True, cancel_futures=True)
        self._end()

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In a thread of its own: hand the call to Ray and wait."""
        import ray

        with self._lock:
            if self._closed:
                raise BrokenExecutor("the engine was closed before this round began")
            self._start()
            task = self._remote().remote(fn, args, kwargs, self._threads)
            self._running.add(task)
        try:
            return ray.get(task)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except ray.exceptions.RayError as error:  # a worker, a machine or the memory is gone, or we ended it
            raise BrokenExecutor(str(error).strip().split("\n")[0]) from error
        finally:
            with self._lock:
                self._running.discard(task)

    def _start(self) -> None:
        """Raises ValueError with a sentence where Ray does not come up."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every start
        import ray

        for tries_left in reversed(range(1 if self._address else START_TRIES)):
            if ray.is_initialized():
                return
            try:
                self._init()
                self._ours = True
            except Exception as error:  # Ray raises what its parts raise, Exception itself among them
                ray.shutdown()
                if not tries_left:
                    said = (str(error).strip() or type(error).__name__).split("\n")[0]
                    where = f"was not reached at {self._address}" if self._address else "did not start"
                    raise ValueError(f"Ray {where} ({said}); update now tries again") from error
        log.info("rounds run on Ray at %s", self._address or "this machine")

    def _init(self) -> None:
        """A cluster of our own, unless an address was given: Ray would join any stranger's that it finds."""
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self._address is not None:
            modules = [str(ROOT / package) for package in ("learners", "models", "storage")]
            ray.init(self._address, runtime_env={"py_modules": modules}, **quiet)
            return
        ray.init(
            "local",
            num_cpus=self._threads,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
            _system_config={"agent_register_timeout_ms": START_MS, "worker_niceness": 0},  # see _politely
            **quiet,
        )

    def _remote(self) -> Any:
        """The task, with what it asks for: processors, and one GPU where there are any."""
        import ray

        cpus = self._threads
        if self._address is not None:
            cpus = min(
                ON_A_CLUSTER, *(int(n["Resources"].get("CPU", 0)) or ON_A_CLUSTER for n in ray.nodes())
            )
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
        return ray.remote(_politely).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)

    def _end(self) -> None:
        with self._lock:
            self._closed, ours, self._ours = True, self._ours, False
        if ours:
            import ray

            ray.shutdown()


def _politely(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], threads: int) -> Any:
    """In the worker, which Ray may use again and again."""
    give_way(threads)
    return fn(*args, **kwargs)
