"""ITK-SNAP's routes: a session, a volume, points, strokes and lassos, and the whole mask back each time."""

import base64
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from annotator.dialects.itksnap.images import read_volume
from tests.conftest import ball
from tests.support.asgi_client import client_of, small_app, small_workflow

BALL, TRUTH = ball((12, 33, 39))
SHAPE = BALL.pixels.shape
CENTRE = [int(v) for v in np.argwhere(TRUTH > 0).mean(axis=0)]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with (
        small_workflow(tmp_path_factory.mktemp("server")) as workflow,
        client_of(small_app(workflow, fill=True, serve=("itksnap",))) as client,
    ):
        yield client


@pytest.fixture
def session(http: TestClient) -> str:
    (model,) = http.get("/itksnap/v2/models").json()["models"]
    key: str = http.get(f"/itksnap/v2/start_session/{model['id']}").json()["session_id"]
    assert post(http, f"v2/upload_raw/{key}", BALL.pixels).status_code == 200
    return key


def post(http: TestClient, path: str, array: NDArray[Any], **form: Any) -> Any:
    body = gzip.compress(np.asarray(array, np.float32).tobytes())
    told = {"dimensions": list(array.shape[::-1]), "components_per_pixel": 1, **form}
    return http.post(
        f"/itksnap/{path}", files={"file": ("raw.gz", body)}, data={"metadata": json.dumps(told)}
    )


def mask_in(answer: Any) -> NDArray[np.bool_]:
    assert answer.status_code == 200 and answer.json()["status"] == "success", answer.text
    raw = gzip.decompress(base64.b64decode(answer.json()["result"]))
    return np.frombuffer(raw, np.int8).reshape(SHAPE) > 0


def dice(mask: NDArray[np.bool_]) -> float:
    truth = TRUTH > 0
    return float(2 * np.sum(truth & mask) / (truth.sum() + mask.sum()))


def test_a_point_is_answered_by_the_whole_mask_and_a_reset_forgets_it(http: TestClient, session: str):
    z, y, x = CENTRE
    asked = f"/itksnap/v2/process_point_interaction/{session}"
    found = mask_in(http.get(f"{asked}?point={x}&point={y}&point={z}&foreground=true"))
    assert dice(found) > 0.85
    edge = int(np.argwhere(TRUTH[z])[0][0])
    now = mask_in(http.get(f"{asked}?point={x}&point={edge}&point={z}&foreground=false"))
    assert not now[z, edge, x]
    assert http.get(f"/itksnap/reset_interactions/{session}").json() == {"status": "success"}
    old = f"/itksnap/process_point_interaction/{session}?x={x}&y={y}&z={z}&foreground=true"
    again = mask_in(http.get(old))
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("kind", ["scribble", "lasso"])
def test_strokes_and_lassos_find_it(http: TestClient, session: str, kind: str):
    drawn = np.zeros(SHAPE, np.float32)
    drawn[:, CENTRE[1]] = (TRUTH > 0)[:, CENTRE[1]]
    if kind == "scribble":
        drawn[:, :, : CENTRE[2]] = drawn[:, :, CENTRE[2] + 1 :] = 0
    found = mask_in(post(http, f"process_{kind}_interaction/{session}?foreground=true", drawn))
    assert dice(found) > 0.8


def test_a_session_that_ended_is_told(http: TestClient, session: str):
    http.get(f"/itksnap/v2/end_session/{session}")
    answer = http.get(f"/itksnap/v2/process_point_interaction/{session}?point=1&point=1&point=1")
    assert answer.status_code == 404 and "has ended" in answer.json()["error"]
    assert http.get("/itksnap/v2/start_session/other").status_code == 404
    assert http.get("/itksnap/status").json()["status"] == "ok"


def test_what_does_not_fit_is_refused_in_one_sentence(http: TestClient, session: str):
    small = post(http, f"process_scribble_interaction/{session}", np.ones((2, 3, 4)))
    assert small.status_code == 400 and "has (2, 3, 4) voxels" in small.json()["error"]
    empty = post(http, f"process_lasso_interaction/{session}", np.zeros(SHAPE))
    assert empty.status_code == 400 and "Nothing was drawn" in empty.json()["error"]
    colour = post(http, f"v2/upload_raw/{session}", BALL.pixels, components_per_pixel=3)
    assert colour.status_code == 400 and "3 components" in colour.json()["error"]
    nothing = http.post(f"/itksnap/v2/upload_raw/{session}", data={"metadata": "{}"})
    assert nothing.status_code == 400 and "fields file and metadata" in nothing.json()["error"]


@pytest.mark.parametrize(
    ("sides", "body", "sentence"),
    [
        ([2, 2, 2], gzip.compress(bytes(1 << 24)), "more voxels came"),
        ([2, 2, 2], gzip.compress(bytes(31)), "fewer voxels came"),
        ([2, 2, 2], gzip.compress(bytes(32))[:-9], "fewer voxels came|damaged"),
        ([2, 2, 2], b"no gzip", "no gzip"),
        ([1 << 20, 1 << 20, 1 << 20], b"", "the limit is"),
        ([2, 2], b"", "three dimensions"),
    ],
)
def test_no_more_is_unpacked_than_was_announced(sides: list[int], body: bytes, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        read_volume(io.BytesIO(body), json.dumps({"dimensions": sides}))


def test_nobody_without_an_account_gets_in_where_accounts_exist(tmp_path: Path):
    with small_workflow(tmp_path) as workflow:
        app = small_app(workflow, fill=True, serve=("itksnap",))
        app.context.sessions.accounts.add_user("ann", "a long password")
        with client_of(app) as stranger:
            assert stranger.get("/itksnap/v2/models").status_code == 401
            ann = app.context.sessions.accounts.user("ann")
            basic = base64.b64encode(b"ann:" + app.context.sessions.value_for(ann).encode()).decode()
            told = {"Authorization": f"Basic {basic}"}
            assert stranger.get("/itksnap/v2/models", headers=told).status_code == 200
