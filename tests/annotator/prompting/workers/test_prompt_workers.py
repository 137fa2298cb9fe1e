"""Prompt workers: the masks of the server's own model, from processes that may die."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import pytest

from annotator.prompting.answering import KEPT_BYTES, Answerer, Question, StoredSlice, bytes_of
from annotator.prompting.service import PromptService
from annotator.prompting.workers.prompt_workers import GIVEN_UP, PromptWorkers, make_prompt_workers
from annotator.protocol.incoming import PredictMessage
from annotator.workflow import Refused, Workflow
from learners.engines import SerialExecutor, make_prompt_team
from learners.engines.team import WorkerTeam
from models import PromptChoice
from models.graphcut.model import GraphCut
from storage.arrays import TornFile
from storage.store import Store
from tests.conftest import ball

CLASSICAL = PromptChoice("graphcut")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "project")
    store.add_class("one")
    store.add_image(ball()[0])
    yield store
    store.close()


@pytest.fixture(scope="module")
def workers() -> Iterator[PromptWorkers]:
    made = make_prompt_workers(2, "process")
    assert made is not None
    yield made
    made.close()


def predict(seq: int, index: int = 4, point: tuple[float, float] = (8.0, 11.0)) -> PredictMessage:
    return PredictMessage(
        t="predict", seq=seq, image=1, axis=0, index=index, window=(0, 255), points=(point,), labels=(1,)
    )


def question(store: Store, seq: int, **more) -> Question:
    message = predict(seq, **more)
    return Question(StoredSlice(store.image(1).path, 0, message.index, message.window), message, b"")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_give_the_masks_that_the_server_would_give(project: Store, workers: PromptWorkers):
    here = Workflow(project, PromptService(project))
    there = Workflow(project, PromptService(project, workers=workers))
    asked = [(predict(n, index=index), b"") for n, index in enumerate((3, 4, 5))]
    for one, other in zip(here.predict_together(asked), there.predict_together(asked), strict=True):
        assert isinstance(one, tuple) and isinstance(other, tuple)
        assert one[1] == other[1] and {**one[0], "ms": 0} == {**other[0], "ms": 0}


def test_a_question_that_is_wrong_is_refused_alone(project: Store, workers: PromptWorkers):
    workflow = Workflow(project, PromptService(project, workers=workers))
    odd = PredictMessage(t="predict", seq=2, image=1, axis=0, index=4, window=(0, 255))
    good, wrong, missing = workflow.predict_together(
        [(predict(1), b""), (odd, b""), (predict(3, index=99), b"")]
    )
    assert isinstance(good, tuple) and good[0]["seq"] == 1 and good[1]
    assert isinstance(wrong, Refused) and "nothing points at an object" in wrong.message
    assert isinstance(missing, Refused) and "slice" in missing.message


def test_a_worker_that_dies_is_replaced(project: Store, workers: PromptWorkers):
    for _ in range(2):
        with pytest.raises(BrokenExecutor):
            workers._team.call(die)
    assert [type(one).__name__ for one in workers.answer(CLASSICAL, [question(project, 1)])] == [
        "PackedAnswer"
    ]


class Mortal(SerialExecutor):
    """Dies of every call that holds a question with this number, so many times."""

    def __init__(self, deadly: int, deaths: int) -> None:
        self.deadly, self.left = deadly, deaths
        self.calls: list[list[int]] = []

    def submit(self, fn, /, *args, **kwargs):
        if not args:  # only whether it lives
            return super().submit(fn)
        asked = [one.message.seq for one in args[1]]
        self.calls.append(asked)
        if self.deadly in asked and self.left:
            self.left -= 1
            raise BrokenExecutor("it died")
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("deaths", [1, 2])
def test_what_a_dead_worker_was_asked_is_asked_again_each_by_itself(project: Store, deaths: int):
    mortal = Mortal(2, deaths)
    answers = PromptWorkers(WorkerTeam([mortal])).answer(CLASSICAL, [question(project, n) for n in (1, 2, 3)])
    assert mortal.calls == [[1, 2, 3], [1], [2], [3]]
    refused = [str(one) for one in answers if isinstance(one, Exception)]
    assert refused == ([GIVEN_UP] if deaths == 2 else [])


def test_workers_that_are_killed_together_cost_no_answer(project: Store, workers: PromptWorkers):
    for _ in range(3):
        for pid in {workers._team.call(os.getpid) for _ in range(2 * len(workers))}:
            os.kill(pid, signal.SIGKILL)
        told = workers.answer(CLASSICAL, [question(project, n) for n in (1, 2)])
        assert [type(one).__name__ for one in told] == ["PackedAnswer"] * 2, told


class Stillborn(SerialExecutor):
    """Every process that begins here dies at once."""

    def submit(self, fn, /, *args, **kwargs):
        raise BrokenExecutor("it died")


def test_where_no_worker_stays_alive_the_click_is_told_so(project: Store):
    (told,) = PromptWorkers(WorkerTeam([Stillborn()])).answer(CLASSICAL, [question(project, 1)])
    assert isinstance(told, ValueError) and "--prompt-workers 0" in str(told)


def test_slices_are_read_once_and_what_is_kept_is_bounded(tmp_path: Path):
    class Counting(GraphCut):
        count = 0

        def encode(self, image):
            self.count += 1
            return super().encode(image)

    side = 1024
    np.save(tmp_path / "volume.npy", np.zeros((30, side, side), np.uint8))
    model = Counting()
    answerer = Answerer(model)
    shown = [StoredSlice(tmp_path / "volume.npy", 0, n, (0, 255)) for n in range(30)]
    for one in (shown[0], shown[0], *shown):
        answerer.embedding(one)
    assert model.count == 30
    assert answerer._bytes == sum(map(bytes_of, answerer._kept.values())) <= KEPT_BYTES
    assert shown[-1] in answerer._kept and shown[0] not in answerer._kept
    with pytest.raises(TornFile):
        answerer.embedding(StoredSlice(tmp_path / "gone.npy", 0, 0, (0, 255)))


def test_no_workers_where_none_are_wanted_and_an_impossible_number_is_refused():
    assert make_prompt_workers(0, "process") is None and make_prompt_team(0, "ray", "here:1") is None
    for odd in (-1, 1000):
        with pytest.raises(ValueError, match="0 to 64 prompt workers"):
            make_prompt_workers(odd, "process")
