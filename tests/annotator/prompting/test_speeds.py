"""Speeds of prompt models: measured once for a machine, told with the list; and the first start's download."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from annotator.jobs import Jobs
from annotator.prompting import auto_download as first_download
from annotator.prompting.service import PromptService
from annotator.prompting.speeds import SETTING, Speeds, machine, measure, measuring
from models import weights
from models.graphcut.model import GraphCut
from models.prompt import Embedding, MaskPrediction
from tests.models.test_weights import CONTENT, net, server  # noqa: F401


class Counting(GraphCut):
    """The training-free model, which counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded = self.predicted = 0

    def encode(self, image: np.ndarray) -> Embedding:
        self.encoded += 1
        return super().encode(image)

    def predict(self, embedding: Embedding, prompts) -> MaskPrediction:
        self.predicted += 1
        return super().predict(embedding, prompts)


def test_a_slow_encoder_is_asked_once_and_an_instant_one_at_every_click():
    slow, instant = Counting(), Counting()
    speed = measure(slow, instant=False)
    assert speed is not None and speed.first_ms > 0 and speed.next_ms > 0
    assert slow.encoded == 1 and slow.predicted == 4
    assert measure(instant, instant=True) is not None and instant.encoded == instant.predicted == 7
    assert measure(Counting(), instant=True, stop=lambda: True) is None


def test_a_model_is_measured_once_for_a_machine_and_remembered(store):
    changed = threading.Event()
    speeds = Speeds(store, changed.set, quiet_seconds=0)
    model = Counting()
    assert speeds.of("graphcut") is None
    speeds.request("graphcut", measuring(model, instant=True))
    speeds.request("graphcut", measuring(model, instant=True))
    assert changed.wait(60)
    speeds.close()
    assert model.encoded == 7 and speeds.of("graphcut") is not None
    again = Speeds(store, lambda: None)
    assert again.of("graphcut") == speeds.of("graphcut")
    values = json.loads(store.setting(SETTING))
    store.set_setting(SETTING, json.dumps({"another computer": values[machine()]}))
    assert Speeds(store, lambda: None).of("graphcut") is None
    store.set_setting(SETTING, "[]")
    assert Speeds(store, lambda: None).of("graphcut") is None


def test_a_model_that_fails_stays_unmeasured(store):
    class Broken(GraphCut):
        def encode(self, image: np.ndarray) -> Embedding:
            raise MemoryError("no memory")

    speeds = Speeds(store, lambda: None, quiet_seconds=0)
    speeds.request("broken", measuring(Broken(), instant=True))
    speeds.request("graphcut", measuring(GraphCut(), instant=True))
    until = time.monotonic() + 60
    while speeds.of("graphcut") is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    speeds.close()
    assert speeds.of("broken") is None


# the first start's download, from a server of the test's own


@pytest.fixture
def prompting(store, tmp_path, monkeypatch, server, net):  # noqa: F811
    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv(first_download.OFFLINE)
    for name in (first_download.ON_GPU, first_download.OTHERWISE):
        monkeypatch.setitem(weights.CATALOGUE, name, replace(net, file=f"{name}.pth"))
    prompting = PromptService(store)
    yield prompting
    prompting.close()


def run(prompting) -> tuple[Jobs, object]:
    jobs = Jobs(lambda job: None)
    job = first_download.begin(jobs, prompting)
    until = time.monotonic() + 30
    while job is not None and job.state == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    return jobs, job


def state_of(prompting, job) -> dict:
    return next(model for model in prompting.models() if model["name"] == job.details["model"])


def test_the_first_start_fetches_a_checkpoint_and_the_next_has_nothing_to_do(prompting):
    _, job = run(prompting)
    assert job.state == "done" and state_of(prompting, job)["state"] == "ready"
    assert run(prompting)[1] is None


def test_without_a_network_it_fails_in_words_and_is_tried_again(prompting, server):  # noqa: F811
    server.status = 503
    jobs, job = run(prompting)
    assert job.state == "failed" and "try again later" in job.progress.message
    assert jobs.visible_jobs() == [job]
    server.status, server.cut_at = 200, len(CONTENT) // 2
    _, job = run(prompting)
    assert job.state == "failed" and state_of(prompting, job)["arrived"] == len(CONTENT) // 2
    server.cut_at = None
    assert run(prompting)[1].state == "done" and server.asked[-1] is not None  # it went on where it was cut


def test_what_somebody_stopped_does_not_begin_by_itself_again(prompting, server):  # noqa: F811
    server.status = 503
    _, job = run(prompting)
    first_download.stopped(job)
    assert run(prompting)[1] is None and len(server.asked) == 1
    server.status = 200
    prompting.download(job.details["model"], job)
    assert state_of(prompting, job)["state"] == "ready"


def test_a_setting_turns_it_off(prompting, server, monkeypatch):  # noqa: F811
    monkeypatch.setenv(first_download.OFFLINE, "1")
    assert run(prompting)[1] is None and not server.asked
