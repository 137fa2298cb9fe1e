"""Embeddings ahead of the person: bounded, torn files ignored, clicks never waiting, the newest look first."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.prompting.embedding_cache import EmbeddingCache, key_of
from annotator.prompting.embedding_queue import SliceView, neighbours
from annotator.prompting.embedding_state import EmbeddingProgress
from annotator.prompting.embedding_worker import EmbeddingWorker
from models import PROMPT_MODELS
from models.prompt import Embedding, MaskPrediction, Prompts
from models.sam.checkpoint import WrongFile
from storage.arrays import SliceRef

CLICK = Prompts(points_rc=((3, 4),), labels=(1,))
WINDOW = (0.0, 255.0)


def picture_of(shown: SliceView) -> NDArray[np.uint8]:
    """A different (9, 13, 3) picture for every slice; image 99 does not exist."""
    if shown.ref.image_id == 99:
        raise LookupError("no such image")
    return np.full((9, 13, 3), 10 * shown.ref.image_id + shown.ref.index, np.uint8)


def shown(index: int, image: int = 1) -> SliceView:
    return SliceView(SliceRef(image, 0, index), WINDOW)


@dataclass
class Threshold:
    """A small real model with a gate: it encodes when it is let."""

    model_id: str = "threshold-1"
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1000))
    encoded: list[int] = field(default_factory=list)
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        self.encoded.append(int(image[0, 0, 0]))
        self.started.release()
        assert self.gate.acquire(timeout=10)
        return Embedding(self.model_id, image.shape[:2], {"light": image.mean(2, dtype=np.float32)})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        light = embedding.arrays["light"]
        return MaskPrediction((light >= light[3, 4])[None], np.ones(1, np.float32))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not happen within ten seconds"
        time.sleep(0.002)


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "embeddings", 10_000_000)


@pytest.fixture
def made(cache: EmbeddingCache) -> Iterator[tuple[EmbeddingWorker, list[EmbeddingProgress]]]:
    told: list[EmbeddingProgress] = []
    embeddings = EmbeddingWorker(cache, picture_of, told.append)
    yield embeddings, told
    embeddings.close()
    assert not any(t.name == "embeddings" for t in threading.enumerate())


def embedding(value: float, count: int = 100) -> Embedding:
    return Embedding("m", (5, 7), {"features": np.full(count, value, np.float32)})


def test_what_was_put_comes_back_in_half_precision_also_after_a_restart(tmp_path):
    EmbeddingCache(tmp_path, 10_000).put("ab", embedding(0.5))
    found = EmbeddingCache(tmp_path, 10_000).get("ab", "m")
    assert found is not None and found.shape == (5, 7)
    assert found.arrays["features"].dtype == np.float16 and (found.arrays["features"] == 0.5).all()


def test_the_quota_holds_and_the_least_recently_used_goes_first(tmp_path):
    cache = EmbeddingCache(tmp_path, 100_000)
    for i in range(10):
        cache.put(f"k{i}", embedding(i, 10_000))
        if i >= 2:
            cache.get("k0", "m")
            with cache._lock:
                cache._memory.clear()
            cache.get("k0", "m")
    assert cache.used_bytes <= 100_000
    assert cache.used_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert "k0" in EmbeddingCache(tmp_path, 100_000) and "k3" not in EmbeddingCache(tmp_path, 100_000)


def test_a_smaller_quota_is_kept_at_the_next_start(tmp_path):
    cache = EmbeddingCache(tmp_path, 1_000_000)
    for i in range(5):
        cache.put(f"k{i}", embedding(i, 10_000))
    assert EmbeddingCache(tmp_path, 45_000).used_bytes <= 45_000


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-200] + b"\0" * 200]
)
def test_a_torn_file_counts_as_absent_and_is_made_again(tmp_path, damage):
    EmbeddingCache(tmp_path, 1_000_000).put("ab", embedding(1))
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(damage(path.read_bytes()))
    cache = EmbeddingCache(tmp_path, 1_000_000)
    assert cache.get("ab", "m") is None and "ab" not in cache
    cache.put("ab", embedding(2))
    assert EmbeddingCache(tmp_path, 1_000_000).get("ab", "m") is not None


def test_another_models_file_is_not_used(tmp_path):
    EmbeddingCache(tmp_path, 1_000_000).put("ab", embedding(1))
    assert EmbeddingCache(tmp_path, 1_000_000).get("ab", "other") is None


def test_half_written_files_of_a_killed_server_are_removed(tmp_path):
    (tmp_path / "x.npz.tmp").write_bytes(b"half")
    EmbeddingCache(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_embedding_in_memory(cache, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    cache.put("ab", embedding(1))
    assert cache.get("ab", "m") is not None and cache.used_bytes == 0


def test_the_key_knows_pixels_shape_and_model():
    flat = np.zeros((4, 6, 3), np.uint8)
    others = {key_of(flat, "a"), key_of(flat, "b"), key_of(flat.reshape(6, 4, 3), "a"), key_of(flat + 1, "a")}
    assert len(others) == 4 and key_of(flat.copy(), "a") in others


def test_neighbours_come_in_the_direction_of_scrolling_and_stay_in_the_volume():
    forward = [s.ref.index for s in neighbours(shown(5), 8, 1)]
    assert forward == [5, 6, 4, 7, 3]
    assert [s.ref.index for s in neighbours(shown(0), 3, -1)] == [0, 1, 2]


def test_a_click_is_answered_by_the_stand_in_until_the_embedding_is_there(made):
    embeddings, _ = made
    stand_in, slow = PROMPT_MODELS["graphcut"].factory(None), Threshold(gate=threading.Semaphore(0))
    picture = picture_of(shown(3))
    assert embeddings.answer(picture, CLICK, stand_in).why == ""
    embeddings.use("Threshold", lambda: slow)
    embeddings.look([shown(3)])
    assert slow.started.acquire(timeout=10)
    first = embeddings.answer(picture, CLICK, stand_in)
    assert not first.by_chosen and "Threshold" in first.why and "built-in" in first.why
    slow.gate.release()
    until(lambda: embeddings.ready(picture))
    second = embeddings.answer(picture, CLICK, stand_in)
    assert second.by_chosen and second.why == "" and second.prediction.mask.all()


def test_stale_wishes_are_dropped_and_the_open_slice_comes_first(made):
    embeddings, told = made
    slow = Threshold(gate=threading.Semaphore(0))
    embeddings.use("Threshold", lambda: slow)
    embeddings.look([shown(0), shown(1), shown(2)])
    assert slow.started.acquire(timeout=10)
    embeddings.look([shown(7), shown(8)], far=[shown(9)])
    for _ in range(4):
        slow.gate.release()
    until(lambda: bool(told) and told[-1].phase == "idle" and told[-1].done == told[-1].total == 3)
    assert slow.encoded == [10, 17, 18, 19]


def test_nothing_is_embedded_twice(made, cache):
    embeddings, told = made
    model = Threshold()
    embeddings.use("Threshold", lambda: model)
    for _ in range(2):
        told.clear()
        embeddings.look([shown(1), shown(2)])
        until(lambda: bool(told) and told[-1].phase == "idle" and told[-1].total == 2 == told[-1].done)
    assert sorted(model.encoded) == [11, 12]


def test_a_model_that_does_not_load_is_named_and_clicks_go_on(made):
    embeddings, told = made

    def load() -> Threshold:
        raise WrongFile("net.pth is a web page, not weights; download the file itself")

    embeddings.use("SAM", load)
    until(lambda: bool(told) and told[-1].phase == "failed")
    answer = embeddings.answer(picture_of(shown(1)), CLICK, PROMPT_MODELS["graphcut"].factory(None))
    assert "web page" in answer.why and answer.prediction.mask.shape == (9, 13)


def test_a_missing_image_does_not_stop_the_worker(made):
    embeddings, told = made
    model = Threshold()
    embeddings.use("Threshold", lambda: model)
    embeddings.look([shown(0, image=99), shown(4)])
    until(lambda: embeddings.ready(picture_of(shown(4))))
    assert model.encoded == [14]


def test_changing_the_model_drops_what_waited_for_the_last(made):
    embeddings, _ = made
    first, second = Threshold(gate=threading.Semaphore(0)), Threshold("threshold-2")
    embeddings.use("first", lambda: first)
    embeddings.look([shown(1), shown(2)])
    assert first.started.acquire(timeout=10)
    embeddings.use("second", lambda: second)
    embeddings.look([shown(5)])
    first.gate.release()
    until(lambda: embeddings.ready(picture_of(shown(5))))
    assert first.encoded == [11] and second.encoded == [15]


def test_closing_waits_for_the_worker_and_is_quick_when_idle(cache):
    embeddings = EmbeddingWorker(cache, picture_of)
    start = time.monotonic()
    embeddings.close()
    assert time.monotonic() - start < 2
