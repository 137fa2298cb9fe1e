"""Workers that answer people: side by side, at the server's own priority, replaced when they die."""

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import psutil
import pytest

from learners.engines import ProcessExecutor, SerialExecutor
from learners.engines.team import WorkerTeam

RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


@pytest.fixture(scope="module", params=["process", pytest.param("ray", marks=RAY)])
def team(request: pytest.FixtureRequest) -> Iterator[WorkerTeam]:
    if request.param == "ray":
        from learners.engines.ray_team import RayWorker

        made = WorkerTeam([RayWorker() for _ in range(2)])
    else:
        made = WorkerTeam([ProcessExecutor(threads=1, nice=0) for _ in range(2)])
    yield made
    made.kill()


def who() -> tuple[int, int]:
    return os.getpid(), os.nice(0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(words: str) -> None:
    raise LookupError(words)


def test_calls_take_turns_among_workers_that_are_as_urgent_as_the_server(team: WorkerTeam):
    seen = {team.call(who) for _ in range(4)}
    assert len(seen) == 2 and {nice for _, nice in seen} == {os.nice(0)}
    assert os.getpid() not in {pid for pid, _ in seen}
    with pytest.raises(LookupError, match="not here"):
        team.call(refuse, "not here")


def test_a_death_costs_its_call_alone(team: WorkerTeam):
    before = {team.call(who)[0] for _ in range(2)}
    with pytest.raises(BrokenExecutor):
        team.call(die)
    after = {team.call(who)[0] for _ in range(4)}
    assert len(after) == 2 and len(after - before) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_a_fork_server_that_was_killed_costs_no_call():
    """Also at the moment when it is to make a process: it begins to, and is gone."""
    team = WorkerTeam([ProcessExecutor(threads=1, nice=0)])
    for _ in range(3):
        worker = psutil.Process(team.call(os.getpid))
        server = worker.parent()
        assert server is not None and server.pid != os.getpid()
        worker.kill()
        server.kill()
        assert team.call_awake(os.getpid) != worker.pid
    team.kill()


class Counting(SerialExecutor):
    """How many calls run in it at once, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def submit(self, fn, /, *args, **kwargs):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            self.now -= 1


def test_a_worker_does_one_call_at_a_time_and_each_loads_what_all_need():
    workers = [Counting(), Counting()]
    team = WorkerTeam(workers)
    both = threading.Barrier(2)
    threads = [threading.Thread(target=team.call, args=(both.wait, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not both.broken and [worker.most for worker in workers] == [1, 1]
    loaded: list[int] = []
    team.each(loaded.append, 1)
    assert loaded == [1, 1]


def test_while_one_worker_loads_the_others_answer():
    workers = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    team = WorkerTeam(workers)
    began, go = threading.Semaphore(0), threading.Semaphore(0)
    where: list[int] = []

    def load() -> None:
        where.append(threading.get_ident())
        began.release()
        assert go.acquire(timeout=20)

    loading = threading.Thread(target=team.each_in_turn, args=(load,))
    loading.start()
    for _ in workers:
        assert began.acquire(timeout=20)
        assert team.call(threading.get_ident) != where[-1]
        go.release()
    loading.join(20)
    assert len(set(where)) == 2
    for worker in workers:
        worker.shutdown()
