"""Encoders elsewhere beside the server's own worker: who makes what, and what a death costs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.prompting.embedding_cache import EmbeddingCache
from annotator.prompting.embedding_queue import EmbeddingQueue, SliceView
from annotator.prompting.embedding_state import EmbeddingProgress
from annotator.prompting.embedding_worker import EmbeddingWorker
from annotator.prompting.remote_encoders import RemoteEncoding
from annotator.prompting.service import PromptService
from models.prompt import Embedding, PromptModel
from storage.arrays import SliceRef
from storage.store import Store
from tests.annotator.prompting.test_embeddings import WINDOW, Threshold, picture_of, shown, until
from tests.conftest import ball

WAIT = 10


@dataclass
class DoubleEncoder:
    """An encoder with gates, which can be reported to die."""

    model: PromptModel
    comes_up: threading.Semaphore
    gate: threading.Semaphore
    lives: int = 3
    dies_of: set[int] = field(default_factory=set)
    encoded: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        self._pass(self.comes_up)
        if self.lives == 0:
            raise RuntimeError("it died too often")

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        self.encoded.append(int(picture[0, 0, 0]))
        self._pass(self.gate)
        if self.encoded[-1] in self.dies_of:
            self.lives -= 1
            raise BrokenExecutor("its process is gone")
        return self.model.encode(picture)

    def _pass(self, gate: threading.Semaphore) -> None:
        while not gate.acquire(timeout=0.01):
            if self.ended.is_set():
                raise BrokenExecutor("it was ended")


@dataclass
class DoublePool:
    """Starts doubles; their gates are here, since there are none before the model is loaded."""

    count: int = 1
    refusal: str = ""
    dies_of: set[int] = field(default_factory=set)
    come_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1000))
    started: list[DoubleEncoder] = field(default_factory=list)
    closed: bool = False

    def start(self, load: Callable[[], PromptModel], model_id: str) -> Sequence[DoubleEncoder]:
        if self.refusal:
            raise ValueError(self.refusal)
        model = load()
        assert model.model_id == model_id
        new = [DoubleEncoder(model, self.come_up, self.gate, dies_of=self.dies_of) for _ in range(self.count)]
        self.started += new
        return new

    def stop(self) -> None:
        for double in self.started:
            double.ended.set()

    def close(self) -> None:
        self.stop()
        self.closed = True

    @property
    def encoded(self) -> list[int]:
        return [value for double in self.started for value in double.encoded]


@dataclass
class EncoderBench:
    """A worker and a pool. `here` is the server's own model; encoders load another object, as a process would."""

    embeddings: EmbeddingWorker
    pool: DoublePool
    reported: list[EmbeddingProgress]
    here: Threshold = field(default_factory=Threshold)

    def use(self) -> None:
        models = iter([self.here])
        self.embeddings.use("Threshold", lambda: next(models, Threshold()))
        until(lambda: self.embeddings.model is not None)

    def up(self, count: int = 1) -> None:
        """Encoders come up and wait for slices."""
        for _ in range(count):
            self.pool.come_up.release()
        until(lambda: self.embeddings._state.queue.free == count)

    def ready(self, *indices: int) -> bool:
        return all(self.embeddings.ready(picture_of(shown(index))) for index in indices)

    def at_rest(self, total: int) -> bool:
        """Once all of these are made. What comes after them is added when they are done: idle is said before it too."""
        last = self.reported[-1]
        return last.phase == "idle" and last.done == last.total == total


@pytest.fixture
def pool() -> DoublePool:
    return DoublePool()


@pytest.fixture
def bench(tmp_path: Path, pool: DoublePool) -> Iterator[EncoderBench]:
    reported: list[EmbeddingProgress] = []
    others = set(threading.enumerate())  # of tests before this one
    cache = EmbeddingCache(tmp_path / "embeddings", 10_000_000)
    more = RemoteEncoding(pool, lambda opened: [shown(opened.ref.index + 50)])
    embeddings = EmbeddingWorker(cache, picture_of, reported.append, more)
    yield EncoderBench(embeddings, pool, reported)
    embeddings.close()
    assert pool.closed
    own = set(threading.enumerate()) - others
    assert not any(t.name.startswith(("embeddings", "encoder")) for t in own)


def test_what_is_up_elsewhere_makes_all_of_it_and_then_what_comes_next(bench):
    bench.use()
    bench.up()
    bench.embeddings.look([shown(1), shown(2)])
    until(lambda: bench.ready(1, 2, 51))
    assert bench.pool.encoded == [11, 12, 61] and bench.here.encoded == []
    until(lambda: bench.at_rest(3))


def test_until_they_are_up_the_servers_own_worker_makes_it(bench):
    bench.use()
    bench.embeddings.look([shown(1), shown(2)])
    until(lambda: bench.ready(1, 2))
    assert bench.here.encoded == [11, 12] and bench.pool.encoded == []


def test_a_later_look_drops_what_waited(bench, pool):
    pool.gate = threading.Semaphore(0)
    bench.use()
    bench.up()
    bench.embeddings.look([shown(1), shown(2), shown(3)])
    until(lambda: pool.encoded == [11])
    bench.embeddings.look([shown(7)])
    for _ in range(3):
        pool.gate.release()
    until(lambda: bench.ready(1, 7, 57))
    until(lambda: bench.at_rest(2))
    assert pool.encoded == [11, 17, 67] and not bench.ready(2)


def test_a_death_costs_a_slice_which_waits_again_first_of_all(bench, pool):
    pool.dies_of = {11}
    bench.use()
    bench.up()
    bench.embeddings.look([shown(1), shown(2)])
    until(lambda: bench.ready(1, 2))
    assert pool.encoded == [11] and bench.here.encoded == [11, 12]  # while it comes up again, here


def test_a_slice_that_ends_encoders_is_given_up_and_never_tried_in_the_server(bench, pool):
    pool.dies_of = {11}
    pool.count = 2
    bench.use()
    bench.up(2)
    bench.embeddings.look([shown(1), shown(2)])
    until(
        lambda: (
            bench.ready(2) and any("was given up (its process is gone)" in w.message for w in bench.reported)
        )
    )
    assert pool.encoded.count(11) == 2 and 11 not in bench.here.encoded and not bench.ready(1)


def test_who_gives_up_is_missed_in_words_and_the_work_goes_on_here(bench, pool):
    bench.use()
    until(lambda: bool(pool.started))
    pool.started[0].lives = 0
    pool.come_up.release()
    until(lambda: any("it died too often" in work.message for work in bench.reported))
    bench.embeddings.look([shown(1)])
    until(lambda: bench.ready(1))
    until(lambda: "goes on without it" in bench.reported[-1].message)


def test_where_no_encoder_can_be_started_all_is_made_here(bench, pool):
    pool.refusal = "Ray did not start (no room)"
    bench.use()
    bench.embeddings.look([shown(1)])
    until(lambda: bench.ready(1))
    until(lambda: "no room" in bench.reported[-1].message)


def test_another_model_ends_the_encoders_of_the_last(bench, pool):
    pool.gate = threading.Semaphore(0)
    bench.use()
    bench.up()
    bench.embeddings.look([shown(1)])
    until(lambda: pool.encoded == [11])
    bench.embeddings.use("", None)
    until(lambda: pool.started[0].ended.is_set())
    assert not bench.ready(1)


@pytest.mark.parametrize(
    ("here", "there", "free", "expected"),
    [(1, 1, 1, False), (1, 1, 0, True), (3, 1, 0, False), (0, 1, 0, True), (1, 0, 0, False)],
)
def test_the_open_slice_is_made_wherever_it_is_sooner(here, there, free, expected):
    queue = EmbeddingQueue()
    queue.replace([shown(1), shown(2)])
    queue.up, queue.free, queue.seconds_here, queue.seconds_there = 1, free, here, there
    assert queue.local_worker_takes_next is expected
    queue.take()
    assert not queue.local_worker_takes_next  # its neighbours are for the others


def test_ahead_are_the_queues_head_and_the_rest_of_the_volume_from_here_outwards(tmp_path):
    store = Store(tmp_path / "project")
    ids = [store.add_image(ball(seed=seed)[0]) for seed in range(2)]
    prompting = PromptService(store)
    prompting.subscribe(queue_head=lambda count: [SliceRef(ids[1], 0, 3)])
    found = prompting._ahead(SliceView(SliceRef(ids[0], 0, 1), WINDOW))
    prompting.close()
    assert found[0] == SliceView(SliceRef(ids[1], 0, 3), store.image(ids[1]).window)
    assert [one.ref.index for one in found[1:]] == [5, 6, 7, 8]
    store.close()
