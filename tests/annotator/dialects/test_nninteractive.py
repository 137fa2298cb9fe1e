"""nnInteractive's protocol: leases, prompts in every plane, only what changed on the wire, nothing unpacked unseen."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from starlette.testclient import TestClient

from annotator.dialects.nninteractive.drawing import Drawing, changed_bounds
from annotator.dialects.nninteractive.wire import pack, unpack
from storage.formats import FileRefused
from tests.conftest import ball
from tests.support.asgi_client import client_of, small_app, small_workflow

BALL, TRUTH = ball((12, 33, 39))
CENTRE = [int(v) for v in np.argwhere(TRUTH > 0).mean(axis=0)]


class Tool:
    """A client with a volume and a buffer of its own."""

    def __init__(self, http: TestClient, folder: Path) -> None:
        self.http, self.folder = http, folder
        lease = http.post("/nninteractive/claim").json()
        self.headers = {"X-Lease-Token": lease["lease_token"]}
        self.buffer = np.zeros(BALL.pixels.shape, np.uint8)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Response:
        return self.http.post(f"/nninteractive/{path}", json=body or {}, headers=self.headers)

    def send(self, path: str, array: NDArray[Any], **meta: Any) -> Response:
        told = {**self.headers, "X-Meta": json.dumps(meta)}
        return self.http.post(f"/nninteractive/{path}", content=pack(array), headers=told)

    def open(self) -> None:
        pixels = np.asarray(BALL.pixels, np.float32)[None]
        told = self.send("set_image", pixels, image_properties={"spacing": [3.0, 1.0, 1.0]})
        assert told.json() == {"original_image_shape": [1, *BALL.pixels.shape]}, told.text
        answer = self.post("set_target_buffer", {"shape": list(self.buffer.shape), "dtype": "uint8"})
        assert answer.status_code == 200, answer.text

    def take(self, answer: Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        meta: dict[str, Any] = json.loads(answer.headers["X-Meta"])
        if meta["bbox"] is not None:
            (self.folder / "diff").write_bytes(answer.content)
            self.buffer[tuple(slice(a, b) for a, b in meta["bbox"])] = unpack(self.folder / "diff")
        return meta

    def point(self, at: list[int], include: bool = True, run: bool = True) -> dict[str, Any]:
        body = {"coordinates": at, "include_interaction": include, "run_prediction": run}
        return self.take(self.post("add_point_interaction", body))

    @property
    def dice(self) -> float:
        truth = TRUTH > 0
        return float(2 * np.sum(truth & (self.buffer > 0)) / (truth.sum() + self.buffer.sum()))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with (
        small_workflow(tmp_path_factory.mktemp("server")) as workflow,
        client_of(small_app(workflow, fill=True, serve=("nninteractive",))) as client,
    ):
        yield client


@pytest.fixture
def tool(http: TestClient, tmp_path: Path) -> Iterator[Tool]:
    found = Tool(http, tmp_path)
    yield found
    found.post("release")


def test_a_point_on_one_slice_is_answered_for_the_volume_and_undone(tool: Tool):
    tool.open()
    meta = tool.point(CENTRE)
    assert meta["ran_prediction"] and tool.dice > 0.85
    assert [b - a for a, b in meta["bbox"]] == list(meta["shape"]) and meta["shape"][1] < 33
    first = tool.buffer.copy()
    away = [CENTRE[0], int(np.argwhere(TRUTH[CENTRE[0]])[0][0]) + 1, CENTRE[2]]
    tool.point(away, include=False)
    assert tool.buffer[tuple(away)] == 0
    assert tool.take(tool.post("undo"))["ran_prediction"]
    np.testing.assert_array_equal(tool.buffer, first)
    assert tool.take(tool.post("undo"))["ran_prediction"] and not tool.buffer.any()
    assert not tool.take(tool.post("undo"))["ran_prediction"]


def test_boxes_strokes_and_lassos_in_any_plane_find_it(tool: Tool):
    tool.open()
    inside = TRUTH > 0
    ends = [(int(at.min()), int(at.max()) + 1) for at in np.nonzero(inside)]
    flat = [list(ends[0]), [CENTRE[1], CENTRE[1] + 1], list(ends[2])]
    tool.take(tool.post("add_bbox_interaction", {"bbox_coords": flat, "include_interaction": True}))
    assert tool.dice > 0.8
    for kind in ("scribble", "lasso"):
        tool.post("reset_interactions")
        tool.buffer[:] = 0
        marked = np.zeros(inside.shape, np.uint8)
        marked[:, :, CENTRE[2]] = inside[:, :, CENTRE[2]]
        if kind == "scribble":
            marked[:, : CENTRE[1]] = marked[:, CENTRE[1] + 1 :] = 0
        cut = tuple(slice(a, b) for a, b in ends)
        tool.take(tool.send(f"add_{kind}_interaction", marked[cut], interaction_bbox=ends))
        assert tool.dice > 0.8, kind


def test_what_a_tool_begins_with_is_corrected(tool: Tool):
    tool.open()
    begun = (TRUTH > 0).astype(np.uint8)
    begun[:, :, CENTRE[2] + 1 :] = 0
    meta = tool.take(tool.send("add_initial_seg_interaction", begun, run_prediction=False))
    assert meta == {"ran_prediction": False, "bbox": None, "ms": 0.0}
    tool.buffer[:] = begun  # as the client does
    before = tool.dice
    tool.point([CENTRE[0], CENTRE[1], CENTRE[2] + 3])
    assert tool.dice > before


def test_prompts_wait_until_a_prediction_is_asked_for(tool: Tool):
    tool.open()
    assert not tool.point(CENTRE, run=False)["ran_prediction"] and not tool.buffer.any()
    assert tool.take(tool.post("predict"))["ran_prediction"] and tool.dice > 0.85


def test_a_lease_is_of_one_tool_and_is_told_when_it_is_gone(http: TestClient, tool: Tool):
    assert http.get("/nninteractive/healthz").text == "ok"
    known = http.get("/nninteractive/capabilities", headers=tool.headers).json()
    assert known["supported_interactions"]["points"] and known["supports_undo"]
    assert tool.post("heartbeat").json()["remaining_seconds"] > 0
    early = tool.post("add_point_interaction", {"coordinates": [0, 0, 0]})
    assert early.status_code == 400 and "set_image first" in early.json()["error"]
    tool.post("release")
    assert tool.post("heartbeat").status_code == 410
    assert http.post("/nninteractive/heartbeat").status_code == 410


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("add_point_interaction", {"coordinates": [99, 0, 0]}, "outside the image"),
        ("add_point_interaction", {"coordinates": [0, 0]}, "is wrong"),
        ("add_bbox_interaction", {"bbox_coords": [[0, 1], [0, 5], [90, 99]]}, "outside the image"),
        ("set_target_buffer", {"shape": [3, 3, 3], "dtype": "uint8"}, "and the buffer (3, 3, 3)"),
        ("set_target_buffer", {"shape": [3, 3, 3], "dtype": "object"}, "is wrong"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tool: Tool, path: str, body: dict, sentence: str):
    tool.open()
    answer = tool.post(path, body)
    assert answer.status_code in (400, 422) and sentence in answer.json()["error"]


def test_arrays_of_other_shapes_and_broken_ones_are_refused(tool: Tool):
    tool.open()
    wrong = tool.send("add_scribble_interaction", np.ones((3, 3, 3), np.uint8))
    assert wrong.status_code == 400 and "has to have (12, 33, 39)" in wrong.json()["error"]
    two = tool.send("set_image", np.zeros((2, 3, 3, 3), np.float32))
    assert two.status_code == 400 and "send one channel" in two.json()["error"]
    odd = tool.http.post("/nninteractive/set_image", content=b"NNIA", headers=tool.headers)
    assert odd.status_code == 400 and "cut short or damaged" in odd.json()["error"]
    meta = {**tool.headers, "X-Meta": '{"interaction_bbox": 3}'}
    odd = tool.http.post("/nninteractive/add_lasso_interaction", content=b"", headers=meta)
    assert odd.status_code == 400 and "interaction_bbox of the header X-Meta" in odd.json()["error"]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float32", "float64"])
def test_arrays_travel_as_they_are(tmp_path: Path, dtype: str):
    for shape in ((5, 6, 7), (1, 5, 9), (1, 1, 1)):
        for array in (np.arange(np.prod(shape)).reshape(shape).astype(dtype), np.zeros(shape, dtype)):
            (tmp_path / "a").write_bytes(pack(array))
            found = unpack(tmp_path / "a", shape)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


def test_a_size_is_believed_only_where_all_heads_agree(tmp_path: Path):
    path, whole = tmp_path / "a", pack(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    first = 8 + 5 + 24 + 4  # of the chunk's two lengths
    huge = whole[:13] + struct.pack("<3q", 1 << 20, 1 << 20, 1 << 20) + whole[37:]
    path.write_bytes(huge)
    with pytest.raises(FileRefused, match="the limit is"):
        unpack(path)
    inside = bytearray(whole)
    inside[first + 16 + 4 : first + 16 + 8] = struct.pack("<i", 1 << 30)  # blosc2's own word for it
    for broken in (bytes(inside), whole[:-1], whole[:20], b"NNIB" + whole[4:]):
        path.write_bytes(broken)
        with pytest.raises(ValueError):
            unpack(path)


def test_a_correction_keeps_what_was_there(tmp_path: Path):
    mask = np.zeros((5, 20, 20), np.bool_)
    mask[1:4, 4:16, 4:16] = True
    drawing = Drawing.empty((5, 20, 20), 0).begun(mask)
    said = drawing.point((2, 2, 10), include=True).prompts[0, 2]
    assert said.foreground[-1] == (2.0, 10.0) and mask[2][tuple(int(v) for v in said.foreground[0])]
    against = drawing.point((0, 1, 1), include=False)
    assert not against.prompts and against.against is not None and against.against[0, 1, 1]
    assert changed_bounds(mask, mask) is None
    assert changed_bounds(mask, np.zeros_like(mask)) == ((1, 4), (4, 16), (4, 16))


def test_the_real_client_does_all_it_can():
    pytest.importorskip("nnInteractive.inference.remote", reason="nninteractive-client is not installed")
    from benchmarks.hub.__main__ import SMALL
    from benchmarks.hub.nninteractive import calls, connected

    with connected(SMALL) as (session, pixels, truth):
        lines = list(calls(session, pixels, truth))
    assert all(float(line.rpartition(" ")[2]) > 0.6 for line in lines if "Dice" in line)
    assert sum("Dice" in line for line in lines) == 8 and lines[-1].endswith("lease True")
