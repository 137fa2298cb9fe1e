"""Ray: one on this machine by default, a cluster where its address is given. Rounds and encoders share it.

A cluster's machines must see the project's folder and the weights under the same path: rounds read arrays and write
files there. Ray is a library of its own: requirements-ray.txt.
"""

import importlib.util
import logging
import os
import threading
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
START_TRIES = 3  # it gives itself 30 seconds, which do not always suffice on a crowded machine
START_MS = 120_000  # and its parts 15
STORE_BYTES = (
    80 << 20
)  # the least that Ray takes: pictures and embeddings pass through it, larger ones by the disk
WANTS_TOKEN = "it wants a token: restart with RAY_AUTH_MODE=token, and its token in ~/.ray/auth_token"
ENCODER_SHARE = 0.1  # of a cluster's only GPU: an encoder and a round fit on it, two rounds do not
MAX_ENCODERS = 8  # more than that wait for the server, which makes their pictures


@dataclass(frozen=True)
class Encoding:
    """How many encoders a cluster has room for, and what each asks for."""

    count: int
    gpus: float


class RayCluster:
    """One holder of the process's Ray, which starts with the first and ends with the last of them. Thread-safe."""

    # Ray is one for the whole process; protects all below, of every holder, and is held while Ray starts
    _lock = threading.Lock()
    _holders: ClassVar[set["RayCluster"]] = set()
    _ours: ClassVar[bool] = False  # we started Ray and are to end it

    def __init__(self, address: str | None, threads: int) -> None:
        """Costs nothing. `threads`: of this machine, for a Ray started here. Raises ValueError without its package."""
        if importlib.util.find_spec("ray") is None:
            raise ValueError("the engine ray needs its package; run: pip install -r requirements-ray.txt")
        self.address, self._threads = address, threads
        self._closed = False

    def start(self) -> None:
        """Seconds, the first time. Raises ValueError with a sentence where Ray does not come up, BrokenExecutor after
        `end`."""
        with RayCluster._lock:
            if self._closed:
                raise BrokenExecutor("the engine was closed before this began")
            self._start()
            RayCluster._holders.add(self)

    def end(self) -> None:
        with RayCluster._lock:
            self._closed = True
            RayCluster._holders.discard(self)
            if RayCluster._ours and not RayCluster._holders:
                import ray

                ray.shutdown()
                RayCluster._ours = False

    def _start(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every start
        import ray

        for tries_left in reversed(range(1 if self.address else START_TRIES)):
            if ray.is_initialized():
                return
            try:
                self._init()
                RayCluster._ours = True
            except Exception as error:  # Ray raises what its parts raise, Exception itself among them
                ray.shutdown()
                if not tries_left:
                    where = f"was not reached at {self.address}" if self.address else "did not start"
                    raise ValueError(f"Ray {where} ({why_not(error)})") from error
        log.info("Ray works at %s", self.address or "this machine")

    def _init(self) -> None:
        """A cluster of our own, unless an address was given: Ray would join any stranger's that it finds."""
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self.address is not None:
            modules = [str(ROOT / package) for package in ("annotator", "learners", "models", "storage")]
            ray.init(self.address, runtime_env={"py_modules": modules}, **quiet)
            return
        ray.init(
            "local",
            num_cpus=self._threads,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
            _system_config={"agent_register_timeout_ms": START_MS, "worker_niceness": 0},  # see give_way
            **quiet,
        )


def why_not(error: BaseException) -> str:
    """In one line; where a cluster wants a token, what to do. Ray says that in a cause, and names its own settings."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if any("AuthToken" in str(one) or "AuthenticationError" in str(one) for one in causes):
        return WANTS_TOKEN
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def machines() -> list[dict[str, float]]:
    """What each machine of the cluster has, such as {"CPU": 8, "GPU": 1}."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def encoding(found: list[dict[str, float]]) -> Encoding:
    """Half of the GPUs, so that rounds have the others; of an only one a share. Without any, an encoder a machine,
    which holds no processors: rounds ask for all of them, and both give way to the person."""
    gpus = int(sum(machine.get("GPU", 0) for machine in found))
    if gpus == 1:
        return Encoding(1, ENCODER_SHARE)
    if gpus:
        return Encoding(min(MAX_ENCODERS, gpus // 2), 1)
    return Encoding(min(MAX_ENCODERS, max(1, len(found))), 0)


def gpus_of_a_round(found: list[dict[str, float]]) -> float:
    """One where there are any; what the encoder leaves of an only one."""
    gpus = int(sum(machine.get("GPU", 0) for machine in found))
    return min(gpus, 1) if gpus != 1 else 1 - ENCODER_SHARE


def result_of(task: Any) -> Any:
    """Wait for what a task or an actor's call gives or raises. BrokenExecutor where a worker, a machine or the memory
    is gone, or we ended it."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise BrokenExecutor(str(error).strip().split("\n")[0]) from error
