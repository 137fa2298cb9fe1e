"""Prompts of a page answered for the whole volume, and what stands in for a server that is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.prompting.selection import chosen_name, prompt_choice
from annotator.prompting.service import PromptService
from annotator.prompting.volumes.address import VolumeAddress
from annotator.prompting.volumes.server import VolumeServer
from annotator.protocol.arrays import unpack_volume
from annotator.protocol.incoming import PredictMessage
from annotator.workflow import Workflow
from models import BUILT_IN, REMOTE
from storage.store import Store
from tests.conftest import ball
from tests.support.volume_servers import Served, dialect_server

BALL, TRUTH = ball((12, 33, 39))
Z, Y, X = (int(v) for v in np.argwhere(TRUTH > 0).mean(axis=0))
INSIDE = TRUTH > 0


@contextmanager
def project(folder: Path, address: str, retry: float = 60.0) -> Iterator[Workflow]:
    """A volume, a picture, and that server chosen."""
    store = Store(folder / "project")
    store.add_class("one")
    store.add_image(BALL)
    store.add_image(ball((1, 20, 20))[0])
    service = PromptService(store, volumes=VolumeServer(VolumeAddress(address), retry))
    workflow = Workflow(store, service)
    workflow.choose_model(REMOTE)
    try:
        yield workflow
    finally:
        workflow.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Served]:
    with dialect_server(tmp_path / "other") as served:
        yield served


def asked(points: list[tuple[float, float]], **more: Any) -> PredictMessage:
    said: dict[str, Any] = {"image": 1, "axis": 0, "index": Z, "window": (0.0, 1000.0)}
    said |= {"labels": (1,) * len(points), **more}
    return PredictMessage(t="predict", seq=1, points=tuple(points), **said)


def whole(told: dict[str, Any], payload: bytes) -> np.ndarray:
    """(Z, Y, X)"""
    said = told["volume"]
    z0, z1, y0, y1, x0, x1 = said["box"]
    bits = payload[said["offset"] : said["offset"] + said["bytes"]]
    out = np.zeros(TRUTH.shape, np.bool_)
    out[z0:z1, y0:y1, x0:x1] = unpack_volume(bits, (z1 - z0, y1 - y0, x1 - x0))
    assert out.sum() == said["voxels"]
    return out


def dice(mask: np.ndarray) -> float:
    return float(2 * np.sum(mask & INSIDE) / max(1, mask.sum() + INSIDE.sum()))


def test_a_click_is_answered_for_the_volume_and_prompts_elsewhere_belong_to_it(tmp_path: Path, other: Served):
    with project(tmp_path, other.address) as workflow:
        told, payload = workflow.predict(asked([(Y, X)]), b"")
        assert told["model"] == REMOTE and not told["why"] and dice(whole(told, payload)) > 0.85
        box = told["candidates"][0]["box"]
        assert box[0] <= Y < box[2] and box[1] <= X < box[3]
        beside = {"axis": 1, "index": Y, "points": ((Z, X + 1),), "labels": (1,)}
        more, _ = workflow.predict(asked([(Y, X)], elsewhere=(beside,)), b"")
        assert more["model"] == REMOTE and more["volume"]["voxels"] > 0
        assert workflow.answering() == {
            "t": "model",
            "name": REMOTE,
            "answering": "nnInteractive at 127.0.0.1",
            "why": "",
            "volumes": True,
        }


def test_pictures_and_labels_to_correct_are_the_built_in_models(tmp_path: Path, other: Served):
    with project(tmp_path, other.address) as workflow:
        told, _ = workflow.predict(asked([(5, 5)], image=2, index=0), b"")
        assert told["model"] == BUILT_IN and "in volumes only" in told["why"] and "volume" not in told
        corrected = asked([(Y, X)], mask_box=(0, 0, 1, 8))
        told, _ = workflow.predict(corrected, b"\1")
        assert told["model"] == BUILT_IN and "corrects labels" in told["why"]


def test_when_the_server_dies_the_object_stays_and_the_built_in_model_goes_on(tmp_path: Path, other: Served):
    with project(tmp_path, other.address) as workflow:
        told, payload = workflow.predict(asked([(Y, X)]), b"")
        before = whole(told, payload)
        other.stop()
        told, payload = workflow.predict(asked([(Y, X), (Y, X + 2)]), b"")
        after = whole(told, payload)
        assert told["model"] == BUILT_IN
        assert told["why"] == ("nnInteractive at 127.0.0.1 cannot be reached, so the built-in model answered")
        apart = np.arange(len(before)) != Z
        np.testing.assert_array_equal(after[apart], before[apart])
        assert after[Z].any()
        said = workflow.answering()
        assert said["answering"] == "Built-in" and "tries again by itself" in said["why"]
        fresh, _ = workflow.predict(asked([(2, 2)]), b"")  # another object has no part in it
        assert fresh["model"] == BUILT_IN and "volume" not in fresh


def test_the_choice_is_kept_and_no_worker_is_told_to_open_it(tmp_path: Path, other: Served):
    with project(tmp_path, other.address) as workflow:
        assert chosen_name(workflow.store) == REMOTE and prompt_choice(workflow.store).name == BUILT_IN
        listed = {model["name"]: model for model in workflow.prompting.models()}
        assert listed[REMOTE]["active"] and listed[REMOTE]["state"] == "ready"
    store = Store(tmp_path / "project")
    without = PromptService(store)
    assert without.answering()["name"] == BUILT_IN
    without.close()
    store.close()
