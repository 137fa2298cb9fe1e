"""Where rounds run: anything that is a concurrent.futures.Executor; and what encodes where they outgrow a machine."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from learners.engines.team import WorkerTeam
from learners.engines.worker_process import LEAST, NICE, set_up_worker

if TYPE_CHECKING:
    from learners.engines.ray_encoders import RayEncoders


GONE_SECONDS = 0.2  # after which a killed process is known to be dead


class SerialExecutor(Executor):
    """Runs each call at once, in this thread: for tests, debuggers and the command line."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class ProcessExecutor(Executor):
    """A warm worker process that is replaced when it dies: a round that crashes costs only itself."""

    def __init__(self, workers: int = 1, threads: int | None = None, nice: int = NICE) -> None:
        self._workers, self._threads = workers, threads or max(1, (os.cpu_count() or 2) - 1)
        self._nice = nice
        self._lock = threading.Lock()  # protects _pool; a leaf
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        with self._lock:
            for _ in range(3):
                if self._pool is None:
                    self._pool = self._start()
                try:
                    return self._pool.submit(fn, *args, **kwargs)
                except BrokenExecutor:
                    self._drop()
                except (EOFError, OSError):  # the fork server was killed; the system says so a moment later
                    self._drop()
                    time.sleep(GONE_SECONDS)
        raise RuntimeError("no worker process can be started; restart the app")

    def _drop(self) -> None:
        """Called with the lock held."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def beside(self) -> Executor:
        return ProcessExecutor(threads=self._threads, nice=LEAST)

    def kill(self) -> None:
        """End the workers at once, whatever they do."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=context(),
            initializer=set_up_worker,
            initargs=(self._threads, self._nice),
        )


def context() -> multiprocessing.context.BaseContext:
    """A fork server that has torch loaded (a worker in 0.05 s instead of seconds), else spawn. Never fork: a
    forked copy of a server with threads may hang."""
    if sys.platform != "win32" and "forkserver" in multiprocessing.get_all_start_methods():
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(["learners.rounds.train"])
        return server
    return multiprocessing.get_context("spawn")


def _ray(address: str | None = None) -> Executor:
    from learners.engines.ray_rounds import RayExecutor

    return RayExecutor(address)


ENGINES: dict[str, Callable[..., Executor]] = {
    "process": ProcessExecutor,
    "serial": SerialExecutor,
    "ray": _ray,
}


def make_engine(name: str, address: str | None = None) -> Executor:
    """`address`: of the Ray cluster. Raises LookupError for an unknown engine, ValueError where one cannot be had."""
    if name not in ENGINES:
        raise LookupError(f"there is no engine {name!r}; there are: {', '.join(ENGINES)}")
    if name == "ray":
        return ENGINES[name](address)
    if address is not None:
        raise ValueError(f"the engine {name} takes no address; say --engine ray with it")
    return ENGINES[name]()


def beside(engine: Executor) -> Executor:
    """Where a training of days runs while `engine` runs rounds that people wait for: for engines of this machine a
    process of the least priority. It costs nothing before its first call."""
    if isinstance(engine, SerialExecutor) or not hasattr(engine, "beside"):
        return engine
    found: Executor = engine.beside()
    return found


def make_encoders(engine: str, address: str | None = None) -> "RayEncoders | None":
    """What embeds slices ahead of people beside the server's own worker; nothing for engines of one machine. Costs
    nothing yet. Raises ValueError where Ray is not installed."""
    if engine != "ray":
        return None
    from learners.engines.ray_encoders import RayEncoders

    return RayEncoders(address)


def make_prompt_team(workers: int, engine: str, address: str | None = None) -> WorkerTeam | None:
    """Who answers prompts beside the server: processes of this machine, or of the Ray cluster at `address`, which reach
    the project's folder as its rounds do. None for 0 workers. Costs nothing yet."""
    if workers <= 0:
        return None
    if engine == "ray" and address is not None:
        from learners.engines.ray_team import RayWorker

        return WorkerTeam([RayWorker(address) for _ in range(workers)])
    return WorkerTeam([ProcessExecutor(threads=1, nice=0) for _ in range(workers)])
