"""Prompt workers on a Ray cluster that is there already: the masks of the server's own model, and a death."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotator.prompting.answering import PackedAnswer
from annotator.prompting.service import PromptService
from annotator.prompting.workers.prompt_workers import PromptWorkers, make_prompt_workers
from annotator.workflow import Workflow
from storage.store import Store
from tests.annotator.prompting.workers.test_prompt_workers import (  # noqa: F401  # a fixture
    CLASSICAL,
    predict,
    project,
    question,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
START_SECONDS = 240


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one with a processor. It asks for a token where this process shows one."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "1"]
    command += ["--port", address.split(":")[1], "--include-dashboard", "false", "--disable-usage-stats"]
    command += ["--system-config", '{"worker_niceness": 0}']  # docs/guide/learning.md says why
    log = (tmp_path_factory.mktemp("ray") / "log").open("w+")
    env = {"RAY_AUTH_MODE": "disabled", **os.environ}
    head = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
    try:
        until = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in Path(log.name).read_text():
            assert head.poll() is None and time.monotonic() < until, Path(log.name).read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(60)
        log.close()


@pytest.fixture
def workers(cluster: str) -> Iterator[PromptWorkers]:
    made = make_prompt_workers(1, "ray", cluster)
    assert made is not None
    yield made
    made.close()


def test_a_cluster_answers_as_the_server_does_also_after_its_worker_was_killed(
    project: Store,  # noqa: F811
    workers: PromptWorkers,
):
    here, there = (Workflow(project, PromptService(project, workers=each)) for each in (None, workers))
    asked = [(predict(1), b"")]
    (own,) = here.predict_together(asked)
    for _ in range(2):
        (told,) = there.predict_together(asked)
        assert isinstance(own, tuple) and isinstance(told, tuple), told
        assert own[1] == told[1] and {**own[0], "ms": 0} == {**told[0], "ms": 0}
        os.kill(workers.call(os.getpid), signal.SIGKILL)
    (last,) = workers.answer(CLASSICAL, [question(project, 2)])
    assert isinstance(last, PackedAnswer), last
