"""A worker on a Ray cluster that answers people: an actor that does one call at a time."""

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

from learners.engines.ray_cluster import RayCluster, result_of


class RayWorker(Executor):
    """Ray starts with the first call. Where the actor dies its call is lost, and the next one gets a new actor."""

    def __init__(self, address: str | None = None) -> None:
        self._cluster = RayCluster(address, os.cpu_count() or 1)
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="ray")
        self._actor: Any = None  # only the caller's thread makes it

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return self._caller.submit(self._call, fn, args, kwargs)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._end_actor()
        self._caller.shutdown(wait=True, cancel_futures=True)
        self._cluster.end()

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._actor is None:
            self._cluster.start()
            self._actor = self._remote().remote()
        try:
            return result_of(self._actor.call.remote(fn, args, kwargs))
        except BrokenExecutor:
            self._end_actor()
            raise

    def _end_actor(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            import ray

            ray.kill(actor)

    def _remote(self) -> Any:
        """It holds no processor of Ray's: rounds ask for all of them, and give way to it."""
        import ray

        return ray.remote(_Hand).options(num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD")


class _Hand:
    """In the worker."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return fn(*args, **kwargs)
