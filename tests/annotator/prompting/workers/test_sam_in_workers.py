"""Prompt models whose encoding takes long, in processes: the server's own masks, while it holds no copy itself."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from annotator.prompting.embedding_queue import SliceView
from annotator.prompting.service import PromptService
from annotator.prompting.workers import prompt_workers
from annotator.prompting.workers.prompt_workers import PromptWorkers, default_count, make_prompt_workers
from annotator.prompting.workers.worker_model import WorkerModel
from annotator.protocol.outgoing import Message
from annotator.workflow import Workflow
from learners.engines import ProcessExecutor
from models import BUILT_IN, PROMPT_MODELS, PromptModelEntry
from models.lazy import LazyFunction
from storage.arrays import SliceRef
from storage.store import Store
from tests.annotator.prompting.workers.test_prompt_workers import predict, project  # noqa: F401  # a fixture

TINY = PromptModelEntry("Tiny SAM", "tests", LazyFunction("tests.support.small_models:tiny_sam"))
SLICE = SliceRef(1, 0, 4)
PATIENCE = 200  # seconds for torch to load in three processes, on a crowded machine


@pytest.fixture(scope="module")
def workers() -> Iterator[PromptWorkers]:
    made = make_prompt_workers(2, "process")
    assert made is not None
    made.encoder = ProcessExecutor(threads=1, nice=0)  # one that gives way may starve beside other tests
    yield made
    made.close()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROMPT_MODELS, "tiny", TINY)
    monkeypatch.setattr(prompt_workers, "has_gpu", lambda: False)


def asked(workflow: Workflow, seq: int = 1) -> tuple[Message, bytes]:
    (told,) = workflow.predict_together([(predict(seq), b"")])
    assert isinstance(told, tuple), told
    return told


def by_tiny(workflow: Workflow) -> tuple[Message, bytes]:
    """The first answer of the chosen model; until then the built-in one answers and says why."""
    until = time.monotonic() + PATIENCE
    workflow.prompting.look(SliceView(SLICE, (0, 255)), 1)
    while (told := asked(workflow))[0]["model"] != "tiny":
        assert told[0]["model"] == BUILT_IN and "Tiny SAM is" in told[0]["why"]
        assert time.monotonic() < until, told[0]
        time.sleep(0.1)
    return told


def pids(workers: PromptWorkers) -> set[int]:
    return {workers.call(os.getpid) for _ in range(2 * len(workers))}


@pytest.mark.thorough  # three processes load torch, which takes long on a crowded machine
def test_workers_give_the_masks_of_the_servers_own_sam_and_it_holds_none(
    project: Store,  # noqa: F811
    workers: PromptWorkers,
    registered: None,
):
    here = Workflow(project, PromptService(project, "tiny"))
    own = by_tiny(here)
    prompting = PromptService(project, "tiny", workers=workers)
    there = by_tiny(Workflow(project, prompting))
    assert own[1] == there[1] and {**own[0], "ms": 0} == {**there[0], "ms": 0}
    assert isinstance(prompting._embeddings.model, WorkerModel) and not prompting._answerers
    here.prompting.close()

    for pid in pids(workers):  # kill -9 of both, between two clicks
        psutil.Process(pid).kill()
    assert by_tiny(Workflow(project, prompting))[1] == own[1]

    encoder = workers.encoder.submit(os.getpid).result()
    psutil.Process(encoder).kill()
    prompting.look(SliceView(SliceRef(1, 0, 7), (0, 255)), 1)
    until = time.monotonic() + PATIENCE
    while not prompting._embeddings.ready(prompting._pictures(_view(7))):
        assert time.monotonic() < until, "a killed encoder was not replaced"
        time.sleep(0.1)

    prompting.choose(BUILT_IN)
    assert asked(Workflow(project, prompting))[0]["model"] == BUILT_IN
    assert workers.encoder._pool is None, "its memory went back"
    prompting._speeds.close()
    prompting._embeddings.close()


def _view(index: int):

    return SliceView(SliceRef(1, 0, index), (0, 255))


def test_copies_are_made_only_where_there_is_memory_and_a_worker_to_answer_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "model.pth").write_bytes(bytes(10_000_000))
    free = SimpleNamespace(available=200_000_000)
    monkeypatch.setattr(prompt_workers.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(prompt_workers, "has_gpu", lambda: False)
    two, one = make_prompt_workers(2, "process"), make_prompt_workers(1, "process")
    assert two is not None and one is not None
    assert two.have_room_for(tmp_path / "model.pth") and two.have_room_for(tmp_path)
    assert not one.have_room_for(tmp_path / "model.pth")
    free.available = 80_000_000
    assert not two.have_room_for(tmp_path / "model.pth")
    monkeypatch.setattr(prompt_workers, "has_gpu", lambda: True)
    assert not two.have_room_for(None)


@pytest.mark.parametrize(("cores", "free", "count"), [(4, 64e9, 4), (32, 64e9, 8), (8, 4e9, 3), (8, 1e8, 1)])
def test_there_are_as_many_workers_as_cores_and_memory_allow(
    cores: int, free: float, count: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prompt_workers.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(prompt_workers.os, "cpu_count", lambda: cores)
    assert default_count() == count
