"""What every engine promises: results, reasons that survive the way back, and a death that costs one round."""

import importlib.util
import os
import signal
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path

import pytest

from annotator.learning.settings import LearnSettings
from learners.engines import ENGINES, ProcessExecutor, SerialExecutor, beside, make_engine
from learners.engines.ray_cluster import why_not
from learners.engines.worker_process import NICE
from learners.spec import Unready
from tests.annotator.learning.test_scheduler import label, project, scheduler_of  # noqa: F401

HAS_RAY = importlib.util.find_spec("ray") is not None
SECONDS = 300  # for a worker to start on a crowded machine
NAMES = [
    pytest.param(
        name,
        marks=[pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason="ray is not installed")]
        if name == "ray"
        else [],
    )
    for name in ENGINES
]
APART = [param for param in NAMES if param.values != ("serial",)]  # those with workers that can die


@pytest.fixture(scope="module")
def engine(request):
    """One for all tests of a name: starting Ray takes longer than the tests. A stranger's cluster is around."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # joining it would fail
        made: Executor = make_engine(request.param)
        yield made
        getattr(made, "kill", made.shutdown)()
    if request.param == "ray":
        import ray

        assert not ray.is_initialized()


def refuse(words: str) -> None:
    raise Unready(words)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(started: Path, stop: Path) -> str:
    started.write_text(str(os.getpid()))
    while not stop.exists():
        time.sleep(0.02)
    return "heard it"


LOWEST = 19  # that a system knows


def niceness() -> int:
    return os.nice(0)


def until_there(path: Path) -> None:
    until = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} never came"
        time.sleep(0.02)


@pytest.mark.parametrize("engine", NAMES, indirect=True)
def test_an_engine_gives_back_what_a_call_returns_or_raises(engine):
    assert engine.submit(divmod, 7, 2).result(SECONDS) == (3, 1)
    with pytest.raises(Unready, match="^label one more image$"):
        engine.submit(refuse, "label one more image").result(SECONDS)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("engine", APART, indirect=True)
def test_a_worker_that_dies_breaks_its_own_call_and_is_not_tried_again(engine, tmp_path):
    with pytest.raises(BrokenExecutor):
        engine.submit(die).result(SECONDS)
    assert engine.submit(divmod, 7, 2).result(SECONDS) == (3, 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no nice")
@pytest.mark.parametrize("engine", APART, indirect=True)
def test_workers_give_way_to_the_person_however_often_they_are_used(engine):
    heard = [engine.submit(niceness).result(SECONDS) for _ in range(3)]
    below_us = min(LOWEST, niceness() + NICE)
    assert set(heard) == {below_us if isinstance(engine, ProcessExecutor) else max(NICE, niceness())}


@pytest.mark.parametrize("engine", APART, indirect=True)
def test_a_stop_file_is_heard_and_handing_over_does_not_wait(engine, tmp_path):
    began = time.monotonic()
    future: Future = engine.submit(wait_for, tmp_path / "started", tmp_path / "stop")
    assert time.monotonic() - began < 5
    until_there(tmp_path / "started")
    (tmp_path / "stop").touch()
    assert future.result(SECONDS) == "heard it"


@pytest.mark.parametrize("name", APART)
def test_kill_ends_a_worker_in_the_middle_of_its_work(name, tmp_path):
    engine = make_engine(name)
    future = engine.submit(wait_for, tmp_path / "started", tmp_path / "stop")
    until_there(tmp_path / "started")
    engine.kill()
    with pytest.raises(BrokenExecutor):
        future.result(SECONDS)


@pytest.mark.parametrize("engine", APART, indirect=True)
def test_a_round_runs_from_a_label_to_proposals(engine, project):  # noqa: F811
    store, ids = project
    label(store, ids[0])
    settings = LearnSettings(("supervised",), seconds=1, settle_seconds=0, steps=2, device="cpu")
    scheduler = scheduler_of(store, engine, settings)
    scheduler.run_until_idle(SECONDS)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["done"]
    assert all(store.predictions.newest(i) is not None for i in ids)


@pytest.mark.parametrize("engine", [param for param in NAMES if param.values == ("ray",)], indirect=True)
def test_a_round_on_ray_asks_for_processors_and_for_a_gpu_where_there_are_any(engine):
    from learners.engines.ray_cluster import gpus_of_a_round, machines

    asked = engine.submit(assigned).result(SECONDS)
    assert asked["CPU"] == max(1, (os.cpu_count() or 2) - 1)
    assert asked.get("GPU", 0) == gpus_of_a_round(machines())


def assigned() -> dict[str, float]:
    import ray

    return ray.get_runtime_context().get_assigned_resources()


def test_an_engine_that_cannot_be_had_is_refused_in_words(monkeypatch):
    with pytest.raises(LookupError, match="there is no engine 'warp'; there are: process, serial, ray"):
        make_engine("warp")
    with pytest.raises(ValueError, match="takes no address"):
        make_engine("process", "10.0.0.1:6379")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install -r requirements-ray.txt"):
        make_engine("ray")


def test_what_lasts_never_waits_in_the_line_of_rounds():
    """On Ray it would hold what a round needs, and stand still until that round has run."""
    from learners.engines.ray_rounds import RayExecutor

    rounds = ProcessExecutor()
    assert isinstance(beside(rounds), ProcessExecutor) and beside(rounds) is not rounds
    serial = SerialExecutor()
    assert beside(serial) is serial
    ray = object.__new__(RayExecutor)  # Ray itself need not be installed
    ray._threads = 1
    assert isinstance(beside(ray), ProcessExecutor)


def test_a_cluster_that_wants_a_token_is_told_so_and_how_to_show_one():
    cause = RuntimeError(
        "Last connection error: ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken"
    )
    error = ConnectionError("Failed to connect to Ray cluster at 192.0.2.2:6379")
    assert why_not(error) == "Failed to connect to Ray cluster at 192.0.2.2:6379"
    error.__cause__ = cause
    assert "RAY_AUTH_MODE=token" in why_not(error)
