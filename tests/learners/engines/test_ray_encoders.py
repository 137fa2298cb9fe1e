"""Encoders on a real Ray: the same bytes, a death, what is stale, and the end."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.prompting.embedding_cache import EmbeddingCache
from annotator.prompting.embedding_worker import EmbeddingWorker
from annotator.prompting.remote_encoders import RemoteEncoding
from learners.engines import make_encoders
from learners.engines.ray_cluster import ENCODER_SHARE, Encoding, RayCluster, encoding, gpus_of_a_round
from learners.engines.ray_encoders import under_the_name
from models.sam.model import DevicePrecision, SamModel
from tests.annotator.prompting.test_embeddings import picture_of, shown
from tests.support.small_models import GatedModel, tiny_sam

SECONDS = 240  # for an actor to start on a crowded machine
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def ray_runs() -> Iterator[None]:
    """One for all tests, which come and go beside it: it takes ten seconds to start."""
    ray = pytest.importorskip("ray")
    cluster = RayCluster(None, 1)
    cluster.start()
    yield
    cluster.end()
    assert not ray.is_initialized()


def where(folder: Path, value: int) -> list[int]:
    """Ids of the processes that began with this picture, or begin in time."""
    until = time.monotonic() + SECONDS
    while not (found := list(folder.glob(f"{value}.at-*"))):
        assert time.monotonic() < until, f"nobody took {value}"
        time.sleep(0.02)
    return [int(path.suffix.removeprefix(".at-")) for path in found]


def ready(embeddings: EmbeddingWorker, *indices: int) -> bool:
    until = time.monotonic() + SECONDS
    while not all(embeddings.ready(picture_of(shown(index))) for index in indices):
        assert time.monotonic() < until, "it was never embedded"
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    """Whether a process is there within five seconds' patience."""
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_embeddings_from_ray_are_the_same_files_as_from_here(ray_runs, one_thread, tmp_path):
    here, encoders = tiny_sam(), make_encoders("ray")
    assert encoders is not None
    picture = np.random.default_rng(1).integers(0, 256, (37, 61, 3), np.uint8)
    (encoder,) = encoders.start(tiny_sam, here.model_id)
    encoder.begin()
    for name, embedding in (("a", here.encode(picture)), ("b", encoder.encode(picture))):
        assert embedding.model_id == "tiny-128"
        EmbeddingCache(tmp_path / name, 10_000_000).put("key", embedding)
    assert (tmp_path / "a" / "key.npz").read_bytes() == (tmp_path / "b" / "key.npz").read_bytes()
    encoders.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_actor_costs_a_slice_stale_ones_are_dropped_and_closing_ends_it(ray_runs, tmp_path):
    encoders = make_encoders("ray")
    assert encoders is not None
    embeddings = EmbeddingWorker(
        EmbeddingCache(tmp_path / "kept", 10_000_000),
        picture_of,
        elsewhere=RemoteEncoding(encoders, lambda _: []),
    )
    embeddings.use("GatedModel", partial(GatedModel, tmp_path))
    until_up(embeddings)
    embeddings.look([shown(0, 2), shown(1, 2)])
    (first,) = where(tmp_path, 20)
    assert first != os.getpid()
    embeddings.look([shown(5)])  # 21 is stale
    os.kill(first, signal.SIGKILL)
    (tmp_path / "go").touch()
    assert ready(embeddings, 5)
    until_up(embeddings)
    assert not list(tmp_path.glob("21.at-*"))

    (tmp_path / "go").unlink()
    embeddings.look([shown(7)])
    (second,) = where(tmp_path, 17)
    assert second not in (first, os.getpid())  # made again, by Ray
    threading.Timer(0.2, (tmp_path / "go").touch).start()  # for what might be encoded here
    embeddings.close()
    assert not alive(first) and not alive(second)


def until_up(embeddings: EmbeddingWorker) -> None:
    until = time.monotonic() + SECONDS
    while not embeddings._state.queue.free:
        assert time.monotonic() < until, "no actor came up"
        time.sleep(0.02)


def test_rounds_and_encoders_leave_each_other_room():
    assert encoding([{"CPU": 8}, {"CPU": 4}]) == Encoding(2, 0)
    assert encoding([{"CPU": 8, "GPU": 4}, {"GPU": 2}]) == Encoding(3, 1)
    assert encoding([{"GPU": 1}, {"CPU": 9}]) == Encoding(1, ENCODER_SHARE)
    assert gpus_of_a_round([{"GPU": 1}]) + ENCODER_SHARE == 1
    assert gpus_of_a_round([{"GPU": 2}]) == 1 and gpus_of_a_round([{"CPU": 2}]) == 0


def test_a_model_takes_the_precision_that_the_server_has_or_is_refused():
    full, half = tiny_sam(), DevicePrecision(torch.device("cpu"), torch.bfloat16)
    picture = np.random.default_rng(1).integers(0, 256, (37, 61, 3), np.uint8)
    wanted = SamModel(full._sam, "tiny", half).encode(picture)
    made = under_the_name(full, "tiny-128-bfloat16").encode(picture)
    assert made.model_id == wanted.model_id == "tiny-128-bfloat16" and full.model_id == "tiny-128"
    assert np.array_equal(made.arrays["features"], wanted.arrays["features"])
    with pytest.raises(ValueError, match="give both machines the same weights"):
        under_the_name(full, "other-128")


def test_engines_of_one_machine_have_no_encoders():
    assert make_encoders("process") is None and make_encoders("serial") is None
