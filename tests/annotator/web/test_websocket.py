"""The websocket: commits in order, newest prompt first, everybody on an image sees the same."""

import json
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import IntegrityError
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from annotator.access.rate_limits import Rate
from annotator.prompting.embedding_state import EmbeddingProgress
from annotator.protocol.frames import (
    MAX_JSON,
    BadFrame,
    decode_runs,
    encode_runs,
    pack,
    pack_bits,
    packed_size,
    split,
    unpack,
    unpack_bits,
)
from annotator.protocol.incoming import (
    BadMessage,
    CommitMessage,
    PredictMessage,
    UndoMessage,
    message_key,
    parse_message,
)
from annotator.server import App
from annotator.web import hub
from annotator.web import websocket as live_module
from annotator.workflow import Outcome, Workflow
from storage.arrays import UNLABELLED, TornFile
from storage.database import StorageBusy, StorageFull
from tests.support.asgi_client import Live, live, small_app, small_workflow, visit

ONE = np.ones((2, 3), np.uint8)


class GatedWorkflow(Workflow):
    """The real workflow; the first prediction waits for the gate, `fails` makes commits fail as a disk does."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.gate, self.started = threading.Event(), threading.Event()
        self.gate.set()
        self.predicted: list[int] = []
        self.fails: Exception | None = None

    def predict_together(
        self, asked: Sequence[tuple[PredictMessage, bytes]]
    ) -> list[tuple[dict[str, Any], bytes] | Exception]:
        self.predicted += [message.seq for message, _ in asked]
        self.started.set()
        assert self.gate.wait(20)
        return super().predict_together(asked)

    def commit(self, user: str, message: CommitMessage, payload: bytes) -> Outcome:
        if self.fails is not None:
            raise self.fails
        return super().commit(user, message, payload)


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[GatedWorkflow]:
    with small_workflow(tmp_path, GatedWorkflow) as workflow:
        assert isinstance(workflow, GatedWorkflow)
        yield workflow


@pytest.fixture
def app(workflow: GatedWorkflow) -> App:
    return small_app(workflow)


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    with visit(app) as client:
        yield client


@pytest.fixture
def tab(client: TestClient) -> Iterator[Live]:
    with live(client) as tab:
        tab.send({"t": "open", "image": 1})
        tab.wait("presence")
        yield tab


def label(classes: np.ndarray = ONE, **more: Any) -> tuple[dict[str, Any], bytes]:
    said = {
        "t": "label",
        "id": uuid.uuid4().hex,
        "image": 1,
        "axis": 0,
        "index": 4,
        "source": "drawn",
        "base_rev": 0,
    }
    return {**said, "box": [1, 2, 1 + classes.shape[0], 2 + classes.shape[1]], **more}, encode_runs(classes)


def prompt(seq: int, **more: Any) -> dict[str, Any]:
    said = {"t": "predict", "seq": seq, "image": 1, "axis": 0, "index": 4, "window": [0, 255]}
    return {**said, "points": [[7, 9]], "labels": [1], **more}


# frames, runs and bits


@given(
    message=st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers() | st.none(), max_size=4),
    payload=st.binary(max_size=60),
)
def test_a_frame_is_read_back_and_its_payload_is_aligned(message: dict, payload: bytes) -> None:
    frame = pack(message, payload)
    assert unpack(frame) == (message, payload)
    assert (4 + struct.unpack_from("<I", frame)[0]) % 4 == 0


@given(frame=st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(frame: bytes) -> None:
    try:
        text, payload = split(frame)
        assert len(text) + len(payload) + 4 == len(frame)
        unpack(frame)
    except BadFrame:
        pass


def test_a_frame_that_announces_more_than_it_holds_is_refused() -> None:
    for length in (MAX_JSON + 1, 2**32 - 1, 100):
        with pytest.raises(BadFrame):
            split(struct.pack("<I", length) + b"{}")


@given(data=st.data(), height=st.integers(1, 30), width=st.integers(1, 30))
def test_runs_and_bits_are_read_back(data: st.DataObject, height: int, width: int) -> None:
    flat = data.draw(
        st.lists(st.sampled_from([0, 1, 254, 255]), min_size=height * width, max_size=height * width)
    )
    values = np.array(flat, np.uint8).reshape(height, width)
    assert (decode_runs(encode_runs(values), values.shape) == values).all()
    assert (unpack_bits(pack_bits(values == 1), values.shape) == (values == 1)).all()


def test_a_long_run_is_cut_in_pieces() -> None:
    values = np.full((400, 500), 7, np.uint8)
    runs = np.frombuffer(encode_runs(values), "<u2").reshape(-1, 2)
    assert runs.tolist() == [[7, 65535]] * 3 + [[7, 3395]]
    assert (decode_runs(runs.tobytes(), (400, 500)) == values).all()


@given(data=st.binary(max_size=64), height=st.integers(1, 2**20), width=st.integers(1, 2**20))
def test_runs_that_do_not_fill_their_box_are_refused_before_memory_is_taken(
    data: bytes, height: int, width: int
) -> None:
    pairs = np.frombuffer(data[: len(data) // 4 * 4], "<u2").reshape(-1, 2)
    fits = len(data) % 4 == 0 and pairs[:, 1].sum(dtype=int) == height * width and (pairs[:, 0] < 256).all()
    if fits:
        assert decode_runs(data, (height, width)).shape == (height, width)
    else:
        with pytest.raises(BadFrame):
            decode_runs(data, (height, width))


def test_bits_of_the_wrong_length_are_refused() -> None:
    for length in (0, packed_size((3, 9)) - 1, packed_size((3, 9)) + 1):
        with pytest.raises(BadFrame):
            unpack_bits(b"\0" * length, (3, 9))


# what may be said

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["open", "look", "predict", "label", "complete", "undo", "redo", "ping", "x"])
FIELDS = st.sampled_from(
    "id seq image axis index window points labels box scribbles view mask_box source base_rev instance prompts seconds "
    "on target direction n".split()
)
SAID = st.builds(lambda kind, rest: {**rest, "t": kind}, KINDS, st.dictionaries(FIELDS, JSON, max_size=12))


@settings(max_examples=150, deadline=None)
@given(said=SAID | JSON)
def test_any_json_is_understood_or_refused(said: Any) -> None:
    try:
        understood = parse_message(json.dumps(said).encode())
        json.dumps(understood.model_dump(), allow_nan=False)
    except (BadFrame, BadMessage) as error:
        assert str(error).strip() and "\n" not in str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "1"},
        {"image": 0},
        {"image": 2**60},
        {"axis": 3},
        {"axis": True},
        {"index": -1},
        {"index": 1.5},
        {"index": 2**40},
        {"box": [0, 0, 0, 5]},
        {"box": [5, 5, 1, 1]},
        {"box": [0, 0, 1]},
        {"box": [0, 0, 1, 2**40]},
        {"source": "imported"},
        {"instance": -2},
        {"instance": 70000},
        {"seconds": -1},
        {"seconds": 1e9},
        {"prompts": []},
        {"prompts": {"x": "y" * 300_000}},
        {"base_rev": None},
        {"id": "../x"},
        {"id": ""},
        {"id": "x" * 65},
    ],
    ids=str,
)
def test_a_field_out_of_range_is_refused_by_name(change: dict[str, Any]) -> None:
    said = label(**change)[0]
    with pytest.raises(BadMessage) as refused:
        parse_message(json.dumps(said).encode())
    assert next(iter(change)) in str(refused.value) and len(str(refused.value)) < 200
    assert message_key(json.dumps(said).encode()) == {"id": said["id"]}


@pytest.mark.parametrize(
    "change", [{"min_confidence": 2}, {"lo": -1}, {"hi": 0}, {"prediction": 0}, {"number": 1}], ids=str
)
def test_a_range_to_accept_that_cannot_be_is_refused_by_name(change: dict[str, Any]) -> None:
    said = {"t": "accept", "id": "a", "image": 1, "axis": 0, "lo": 0, "hi": 9, **change}
    with pytest.raises(BadMessage, match=next(iter(change))):
        parse_message(json.dumps(said).encode())


def test_a_message_arrives_as_the_type_of_its_kind() -> None:
    said = {**prompt(3), "scribbles": [{"label": 0, "points": [[1, 2], [3, 4]]}], "new": "unknown"}
    understood = parse_message(json.dumps(said).encode())
    assert isinstance(understood, PredictMessage) and understood.points == ((7, 9),)
    assert understood.scribbles[0].points == ((1, 2), (3, 4)) and understood.box is None
    assert isinstance(parse_message(b'{"t":"redo","id":"a","target":"b"}'), UndoMessage)


# commits


def test_an_acknowledged_label_is_durable_and_everybody_sees_its_region(
    client: TestClient, tab: Live
) -> None:
    with live(client) as other, live(client) as elsewhere:
        other.send({"t": "open", "image": 1})
        assert other.wait("presence")[0]["users"] == [tab.wait("presence")[0]["users"][0]]
        elsewhere.send({"t": "open", "image": 2})
        elsewhere.wait("presence")
        assert elsewhere.wait("image")[0]["gone"]  # there is none
        said, runs = label()
        tab.send(said, runs)
        ack = tab.wait("ack", id=said["id"])[0]
        for viewer in (tab, other):
            region, payload = viewer.wait("region")
            assert region["box"] == [4, 5, 1, 3, 2, 5] and region["rev"] == ack["rev"] == ack["label"]
            assert payload == b"\1" * 6
            assert viewer.wait("slices")[0]["slices"] == [[0, 4, "labelled"]]
        elsewhere.send({"t": "ping", "n": 5})
        assert elsewhere.next()[0] == {"t": "pong", "n": 5}
    labels = client.get("/api/images/1/labels", params={"z0": 4, "z1": 5})
    assert labels.headers["x-revision"] == str(ack["rev"])
    plane = np.frombuffer(labels.content, np.uint8).reshape(17, 23)
    assert (plane[1:3, 2:5] == 1).all() and (plane == UNLABELLED).sum() == 17 * 23 - 6


def test_a_change_sent_twice_is_taken_once_and_acknowledged_twice(tab: Live, workflow: Workflow) -> None:
    said, runs = label()
    for _ in range(2):
        tab.send(said, runs)
    acks = [tab.wait("ack", id=said["id"])[0] for _ in range(2)]
    assert acks[0]["label"] == acks[1]["label"] and len(workflow.store.labels(1)) == 1


def test_commits_are_acknowledged_in_the_order_in_which_they_were_sent(tab: Live) -> None:
    sent = []
    for n in range(40):
        said, runs = label(index=n % 9)
        tab.send(said, runs)
        sent.append(said["id"])
    acks = [tab.wait("ack")[0] for _ in sent]
    assert [a["id"] for a in acks] == sent
    assert [a["rev"] for a in acks] == sorted({a["rev"] for a in acks})


def test_undo_and_complete_are_seen_by_everybody(client: TestClient, tab: Live) -> None:
    said, runs = label()
    tab.send(said, runs)
    tab.wait("slices")
    tab.send({"t": "complete", "id": "done-1", "image": 1, "axis": 0, "index": 4, "on": True})
    tab.wait("ack", id="done-1")
    assert tab.wait("slices")[0]["slices"] == [[0, 4, "complete"]]
    tab.send({"t": "undo", "id": "undo-1", "target": said["id"]})
    tab.wait("ack", id="undo-1")
    assert set(tab.wait("region")[1]) == {0}
    assert len(client.get("/api/history").json()["redo"]) == 1


def test_what_arrived_before_the_connection_broke_is_still_saved(
    client: TestClient, workflow: GatedWorkflow
) -> None:
    with live(client) as tab:
        for n in range(9):
            tab.send(*label(index=n))
    until = time.monotonic() + 10
    while len(workflow.store.labels(1)) < 9 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(workflow.store.labels(1)) == 9


@pytest.mark.parametrize(
    ("error", "retry", "words"),
    [
        (StorageFull("the disk is full"), True, "disk is full"),
        (OSError(28, "No space left on device"), True, "disk is full"),
        (StorageBusy("another program uses the database"), True, "nother program"),
        (TornFile("the label file 7.npz cannot be read (cut short)"), False, "7.npz"),
        (PermissionError(13, "Permission denied", "/secret/place"), False, "Permission denied"),
        (IntegrityError("UNIQUE constraint failed: labels.client_id"), False, "went wrong"),
        (MemoryError(), True, "went wrong"),
        (ValueError("there is no class 9"), False, "There is no class 9."),
        (LookupError("there is no image 9"), False, "There is no image 9."),
        (KeyError("surprise"), False, "went wrong"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_commit_that_fails_is_refused_in_one_sentence(
    tab: Live, workflow: GatedWorkflow, error: Exception, retry: bool, words: str
) -> None:
    workflow.fails = error
    said, runs = label()
    tab.send(said, runs)
    refused = tab.wait("refused")[0]
    assert refused["id"] == said["id"] and refused["retry"] is retry
    assert words in refused["message"] and "/secret" not in refused["message"]
    workflow.fails = None
    tab.send(said, runs)
    assert tab.wait("ack")[0]["id"] == said["id"]


def test_after_a_full_disk_nothing_overtakes_the_change_that_waits(
    tab: Live, workflow: GatedWorkflow
) -> None:
    first, second = label(), label(np.zeros((2, 3), np.uint8))
    workflow.fails = StorageFull("the disk is full")
    tab.send(*first)
    tab.wait("refused", id=first[0]["id"])
    workflow.fails = None
    tab.send(*second)
    refused = tab.wait("refused", id=second[0]["id"])[0]
    assert refused["retry"] and "waits" in refused["message"]
    for said in (first, second):
        tab.send(*said)
        tab.wait("ack", id=said[0]["id"])
    assert [row.client_id for row in workflow.store.labels(1)] == [first[0]["id"], second[0]["id"]]


# prompts


def test_a_prompt_is_answered_with_packed_masks(tab: Live) -> None:
    tab.send(prompt(3))
    mask, payload = tab.wait("mask")
    best = mask["candidates"][0]
    r0, c0, r1, c1 = best["box"]
    bits = unpack_bits(payload[best["offset"] : best["offset"] + best["bytes"]], (r1 - r0, c1 - c0))
    assert mask["seq"] == 3 and bits[7 - r0, 9 - c0]


def test_a_superseded_prompt_is_never_answered(tab: Live, workflow: GatedWorkflow) -> None:
    workflow.gate.clear()
    tab.send(prompt(1))
    assert workflow.started.wait(10)
    for seq in (2, 3, 4):
        tab.send(prompt(seq))
    tab.send({"t": "ping", "n": 1})
    tab.wait("pong")
    workflow.gate.set()
    assert tab.wait("mask")[0]["seq"] == 4
    assert workflow.predicted == [1, 4]
    tab.send({"t": "ping", "n": 2})
    assert tab.next()[0]["t"] == "pong"


def test_a_prompt_superseded_while_another_tab_is_served_is_never_computed(
    client: TestClient, tab: Live, workflow: GatedWorkflow
) -> None:
    with live(client) as other:
        workflow.gate.clear()
        other.send(prompt(100))
        assert workflow.started.wait(10)
        for seq in (1, 2):
            tab.send(prompt(seq))
            tab.send({"t": "ping", "n": seq})
            tab.wait("pong", n=seq)
        workflow.gate.set()
        assert tab.wait("mask")[0]["seq"] == 2
        assert other.wait("mask")[0]["seq"] == 100
    assert workflow.predicted == [100, 2]


def test_a_slow_prediction_stops_nobody_else(client: TestClient, tab: Live, workflow: GatedWorkflow) -> None:
    workflow.gate.clear()
    tab.send(prompt(1))
    assert workflow.started.wait(10)
    said, runs = label()
    tab.send(said, runs)
    tab.wait("ack", id=said["id"])
    assert client.get("/api/images/1/slice/0/3").status_code == 200
    workflow.gate.set()
    assert tab.wait("mask")[0]["seq"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"index": 99},
        {"image": 5},
        {"labels": []},
        {"mask_box": [0, 0, 5, 5]},
        {"mask_box": [0, 0, 999, 999]},
        {"points": [], "labels": []},
    ],
    ids=str,
)
def test_an_impossible_prompt_is_refused_with_its_number(tab: Live, change: dict[str, Any]) -> None:
    tab.send(prompt(8, **change))
    refused = tab.wait("refused")[0]
    assert refused["seq"] == 8 and not refused["retry"] and refused["message"].endswith((".", "!"))


# odd and slow clients


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0",
        b"\xff" * 8,
        pack({"t": "x"}),
        pack({}),
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 4) + b"nope",
    ],
    ids=repr,
)
def test_a_frame_that_breaks_the_form_ends_the_connection_with_a_word(tab: Live, frame: bytes) -> None:
    tab.session.send_bytes(frame)
    assert tab.wait("refused")[0]["retry"] is False
    with pytest.raises(WebSocketDisconnect) as ended:
        tab.next()
    assert ended.value.code == 1008


def test_text_is_not_spoken_here(tab: Live) -> None:
    tab.session.send_text("hello")
    tab.wait("refused")
    with pytest.raises(WebSocketDisconnect):
        tab.next()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(said=SAID, payload=st.binary(max_size=40), raw=st.none() | st.binary(max_size=60))
def test_whatever_is_sent_the_server_answers_the_next_ping_or_closes_cleanly(
    client: TestClient, said: dict[str, Any], payload: bytes, raw: bytes | None
) -> None:
    text = json.dumps(said).encode()
    frame = raw if raw is not None else struct.pack("<I", len(text)) + text + payload
    with live(client) as tab:
        tab.session.send_bytes(frame)
        tab.send({"t": "ping", "n": 77})
        try:
            tab.wait("pong", n=77)
        except WebSocketDisconnect as ended:
            assert ended.code == 1008


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_label_that_is_slightly_wrong_is_refused_or_taken_and_never_sticks(
    client: TestClient, data: st.DataObject
) -> None:
    number = st.integers(-3, 30) | st.sampled_from([2**31, 2**53, -(2**40)])
    change = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "image": number,
                "axis": number,
                "index": number,
                "instance": number,
                "base_rev": number,
            },
        )
    )
    box = data.draw(st.none() | st.lists(number, min_size=4, max_size=4))
    said, runs = label(**(change if box is None else {**change, "box": box}))
    runs = data.draw(st.just(runs) | st.binary(max_size=24))
    with live(client) as tab:
        tab.send(said, runs)
        while (answer := tab.next()[0])["t"] not in ("ack", "refused"):
            pass
        assert answer["id"] == said["id"]
        if answer["t"] == "refused":
            assert answer["retry"] is False and "\n" not in answer["message"]


def test_a_tab_that_falls_behind_is_dropped_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "QUEUE_FRAMES", 10)
    everybody, slow, quick = hub.Hub(), hub.Tab("slow"), hub.Tab("quick")
    for tab in (slow, quick):
        everybody.add(tab)
    for n in range(30):
        everybody.broadcast({"t": "pong", "n": n})
        assert quick._frames.get_nowait()
    assert slow.dropped.is_set() and slow.closing == hub.TOO_SLOW and slow._frames.qsize() == 11
    assert not quick.dropped.is_set()


def test_presence_follows_who_has_an_image_open(client: TestClient, tab: Live) -> None:
    with live(client) as other:
        other.send({"t": "open", "image": 1})
        other.wait("presence")
        tab.wait("presence")
    gone = tab.wait("presence")[0]
    assert gone["image"] == 1 and len(gone["users"]) == 1


def test_a_tab_that_opens_what_was_deleted_meanwhile_hears_of_it(client: TestClient) -> None:
    with live(client) as tab:
        headers = {"x-slicewise": "1"}
        assert client.post("/api/images/delete", json={"images": [1]}, headers=headers).is_success
        tab.send({"t": "open", "image": 1})
        told = tab.wait("image")[0]
        assert (told["image"], told["gone"]) == (1, True)
        tab.send({"t": "open", "image": 2})
        tab.wait("presence", image=2)


def test_a_new_tab_is_greeted_with_who_answers(client: TestClient) -> None:
    with live(client) as tab:
        assert tab.next()[0].items() >= {"t": "hello", "protocol": 1}.items()
        assert tab.next()[0]["t"] == "model"


def test_many_small_messages_wait_rather_than_vanish(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "MESSAGES", Rate(per_second=500, burst=20))
    with live(client) as tab:
        began = time.monotonic()
        for n in range(200):
            tab.send({"t": "ping", "n": n})
        assert [tab.wait("pong")[0]["n"] for _ in range(200)] == list(range(200))
        assert time.monotonic() - began > 0.3


def test_the_page_hears_how_far_the_chosen_model_is(client: TestClient, workflow: GatedWorkflow) -> None:
    with live(client) as tab:
        tab.wait("model")
        workflow.prompting._worked(EmbeddingProgress("SAM", "embedding", 2, 5))
        job = tab.wait("job")[0]
        assert (job["kind"], job["state"], job["done"], job["total"]) == ("embed", "running", 2, 5)
        tab.wait("model")
