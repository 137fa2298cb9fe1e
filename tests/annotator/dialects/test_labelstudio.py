"""Label Studio's protocol: its masks bit by bit, what it asks of pictures, and whose label an annotation becomes."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from annotator.dialects.labelstudio.rle import decode, encode
from annotator.workflow import Workflow
from storage.arrays import UNLABELLED
from storage.predictions import NewPrediction
from storage.scan import Scan
from tests.conftest import ball
from tests.support.asgi_client import client_of, small_app, small_workflow

# Made by `mask2rle` and `encode_rle` of label-studio-sdk 2.1.2 (Apache 2.0).
MASK = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0]], np.bool_)
THEIRS = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 252, 96, 17, 255, 225, 48, 0]
SINGLE = [0, 0, 0, 12, 57, 27, 252, 96, 0, 0, 128, 4, 0, 24, 31, 224, 4, 128, 16, 0, 56, 0, 0]
CONFIG = """<View><Image name="image" value="$picture"/>
<BrushLabels name="brush" toName="image"><Label value="one"/><Label value="two"/></BrushLabels>
<KeyPointLabels name="click" toName="image" smart="true"><Label value="one"/></KeyPointLabels>
<RectangleLabels name="box" toName="image" smart="true"><Label value="one"/></RectangleLabels></View>"""


def test_a_mask_is_written_as_label_studio_writes_it_and_read_back():
    assert encode(MASK) == THEIRS
    np.testing.assert_array_equal(decode(THEIRS, MASK.shape), MASK)
    np.testing.assert_array_equal(decode(SINGLE, (1, 3)), [[False, True, False]])


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 40), (37, 29)])
def test_any_mask_comes_back(shape: tuple[int, int], share: float):
    mask = np.random.default_rng(7).random(shape) < share
    np.testing.assert_array_equal(decode(encode(mask), shape), mask)


def test_a_large_even_mask_needs_runs_longer_than_a_count_holds():
    mask = np.ones((200, 300), np.bool_)
    np.testing.assert_array_equal(decode(encode(mask), mask.shape), mask)


@pytest.mark.parametrize("corner", [(0, 0), (3, 0), (2, 4), (5, 7)])
def test_a_small_mask_of_a_large_picture_is_the_whole_one(corner: tuple[int, int]):
    """Also one as wide as the picture, whose runs go on in the next row."""
    row, column = corner
    for columns in (6, 13):
        mask = np.random.default_rng(columns + row).random((4, 6)) < 0.7
        picture = np.zeros((11, max(columns, column + 6)), bool)
        picture[row : row + 4, column : column + 6] = mask
        assert encode(mask, corner, (picture.shape[0], picture.shape[1])) == encode(picture)


@pytest.mark.parametrize(
    "broken", [[], THEIRS[:12], [*THEIRS[:3], 97, *THEIRS[4:]], [300], ["x"], [255] * 40]
)
def test_a_damaged_mask_is_refused_before_anything_is_made_of_it(broken: list[Any]):
    with pytest.raises(ValueError, match="brush mask"):
        decode(broken, MASK.shape)


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        pixels = ball((9, 40, 60))[0].pixels[4:5]
        workflow.store.add_image(Scan("slides/a b.png", pixels, None, None))
        yield workflow


@pytest.fixture
def client(workflow: Workflow) -> Iterator[TestClient]:
    with client_of(small_app(workflow, fill=True, serve=("labelstudio",))) as client:
        yield client


def predict(client: TestClient, picture: str = "/data/upload/7/0a1b2c3d-a%20b.png", **more: Any) -> Any:
    said = {"tasks": [{"id": 1, "data": {"picture": picture}}], "label_config": CONFIG, "project": "7.1"}
    return client.post("/labelstudio/predict", json={**said, "params": more})


def test_label_studio_is_told_that_we_are_there(client: TestClient):
    assert client.get("/labelstudio/health").json() == {"status": "UP", "model_class": "Slicewise"}
    setup = {
        "project": "7.1",
        "schema": CONFIG,
        "hostname": "http://ls",
        "access_token": "x",
        "extra_params": None,
    }
    version = client.post("/labelstudio/setup", json=setup).json()
    assert version == {"model_version": "prompt model"}
    assert client.get("/labelstudio/versions").json() == {"versions": [version["model_version"]]}
    assert client.post("/labelstudio/setup", json={"schema": "<!DOCTYPE x><View/>"}).status_code == 400


def test_health_answers_while_all_threads_are_at_work(client: TestClient, workflow: Workflow):
    """Training is in another process; what could keep it waiting here are questions that take long."""
    gate = threading.Event()
    told = workflow.store.newest_label
    workflow.store.newest_label = lambda *a, **k: (gate.wait(20), told(*a, **k))[1]  # type: ignore[method-assign]
    waiting = [threading.Thread(target=predict, args=(client,)) for _ in range(45)]
    try:
        for thread in waiting:
            thread.start()
        assert client.get("/labelstudio/health").status_code == 200
        assert all(thread.is_alive() for thread in waiting)
    finally:
        gate.set()
        for thread in waiting:
            thread.join()


@pytest.mark.parametrize("pointed", ["click", "box"])
def test_a_click_or_a_box_is_answered_with_a_brush_mask(client: TestClient, pointed: str):
    about = {"original_width": 60, "original_height": 40, "from_name": pointed, "to_name": "image"}
    place = {"x": 100 * 9.5 / 60, "y": 100 * 7.5 / 40}
    click = {"type": "keypointlabels", "is_positive": 1, "value": {**place, "keypointlabels": ["one"]}}
    corner = {"x": 100 * 2 / 60, "y": 100 * 1 / 40, "width": 100 * 15 / 60, "height": 100 * 13 / 40}
    box = {"type": "rectanglelabels", "value": {**corner, "rectanglelabels": ["one"]}}
    result = [{**about, **(click if pointed == "click" else box)}]
    answer = predict(client, context={"result": result})
    (region,) = answer.json()["results"][0]["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "image", "brushlabels")
    assert region["value"]["brushlabels"] == ["one"]
    mask, truth = decode(region["value"]["rle"], (40, 60)), ball((9, 40, 60))[1][4]
    assert 2 * (mask & (truth > 0)).sum() / (mask.sum() + truth.sum()) > 0.8


def test_what_is_proposed_comes_before_anybody_labels(client: TestClient, workflow: Workflow):
    assert predict(client).json()["results"][0]["result"] == []
    truth = ball((9, 40, 60))[1][4:5]
    sure = np.full(truth.shape, 200, np.uint8)
    workflow.store.predictions.add(NewPrediction(2, "supervised", "predicted", 0, truth, sure))
    (region,) = predict(client).json()["results"][0]["result"]
    np.testing.assert_array_equal(decode(region["value"]["rle"], (40, 60)), truth[0] > 0)


def test_a_task_without_an_image_of_its_name_is_refused_alone_and_empty_among_others(client: TestClient):
    assert "o image is called 'nowhere.png'" in predict(client, "nowhere.png").json()["error"]
    assert "is a volume" in predict(client, "x/ball").json()["error"]
    tasks = [{"data": {"picture": "nowhere.png"}}, {"data": {"picture": "a b.png"}}]
    answer = client.post("/labelstudio/predict", json={"tasks": tasks, "label_config": CONFIG})
    assert [one["result"] for one in answer.json()["results"]] == [[], []]


def hook(client: TestClient, action: str, result: list[Any]) -> Any:
    annotation = {"id": 5, "completed_by": 3, "result": result}
    task = {"id": 1, "data": {"picture": "0a1b2c3d-a b.png"}}
    said = {"action": action, "annotation": annotation, "task": task, "project": {"label_config": CONFIG}}
    return client.post("/labelstudio/webhook", json=said)


def brush(label: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode(mask), "brushlabels": [label]}
    return {"type": "brushlabels", "from_name": "brush", "to_name": "image", "value": value}


def test_an_annotation_becomes_a_label_and_its_update_another(client: TestClient, workflow: Workflow):
    mask = np.zeros((40, 60), np.bool_)
    mask[5:12, 6:20] = True
    answer = hook(client, "ANNOTATION_CREATED", [brush("two", mask)])
    assert answer.status_code == 201 and answer.json() == {"slices": 1}
    ids = {row.name: row.id for row in workflow.store.classes()}
    np.testing.assert_array_equal(workflow.labels(2, 0, 1)[0][0], np.where(mask, ids["two"], 0))
    assert {row.prompts["tool"] for row in workflow.store.labels(2) if row.kind == "patch"} == {
        "Label Studio"
    }
    assert hook(client, "ANNOTATION_UPDATED", [brush("two", mask)]).json() == {"slices": 0}
    corners = [[10, 10], [30, 10], [30, 30], [10, 30]]
    polygon = {"type": "polygonlabels", "value": {"points": corners, "polygonlabels": ["one"]}}
    hook(client, "ANNOTATION_UPDATED", [brush("two", mask), polygon])
    known = workflow.labels(2, 0, 1)[0][0]
    assert (known[5:11, 7:17] == ids["one"]).all() and (known[5:12, 19] == ids["two"]).all()
    assert hook(client, "ANNOTATIONS_DELETED", []).json() == {}


def test_an_annotation_that_cannot_be_read_changes_nothing(client: TestClient, workflow: Workflow):
    answer = hook(client, "ANNOTATION_CREATED", [brush("one", np.ones((3, 3), np.bool_))])
    assert answer.status_code == 400 and "another size" in answer.json()["error"]
    assert client.post("/labelstudio/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 400
    assert (workflow.labels(2, 0, 1)[0] == UNLABELLED).all() and workflow.store.newest_label() == 0


def test_label_studio_itself_works_with_us():
    """LABEL_STUDIO is the address and the token of a running one, with a space between; see the benchmark for how it
    is started."""
    told = os.environ.get("LABEL_STUDIO")
    if told is None:
        pytest.skip("LABEL_STUDIO names no running Label Studio")
    from benchmarks.hub.labelstudio_real import tried_with

    lines = list(tried_with(*told.split()))
    assert len(lines) == 6 and all(": works: " in line for line in lines[1:]), lines
