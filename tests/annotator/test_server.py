"""The server as a whole, over real sockets: where it listens, how it stops, what a slow reader does to others."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from annotator.protocol.frames import MAX_FRAME, encode_runs, pack, unpack
from annotator.server import App, _listen, _Server
from annotator.server_settings import ServerSettings
from annotator.web import hub
from annotator.workflow import Workflow
from tests.support.asgi_client import small_app, small_workflow
from tests.support.chromium import start_server
from tests.support.socket_client import SocketClient, label_message


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@contextmanager
def running(app: App) -> Iterator[tuple[_Server, str]]:
    """A server in a thread, on a free port."""
    listener = _listen(ServerSettings(port=0))
    server = _Server(app, ServerSettings(), listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.handle_exit(15, None)
        thread.join(20)
        assert not thread.is_alive()


def signed_in(address: str) -> ClientConnection:
    http = httpx.Client(base_url=address)
    http.get("/")
    cookies = "; ".join(f"{c.name}={c.value}" for c in http.cookies.jar)
    url = address.replace("http", "ws", 1) + "/api/live"
    headers = {"cookie": cookies}
    return connect(url, additional_headers=headers, origin=Origin(address), max_size=None)


def heard(tab: ClientConnection, seconds: float) -> str:
    """The kind of the next message."""
    frame = tab.recv(seconds)
    assert isinstance(frame, bytes)
    return unpack(frame)[0]["t"]


def test_a_taken_port_moves_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    first = _listen(ServerSettings(port=0))
    port = first.getsockname()[1]
    second = _listen(ServerSettings(port=port))
    assert port < second.getsockname()[1] <= port + 50
    assert f"Port {port} is taken" in capsys.readouterr().out
    first.close()
    second.close()


def test_an_address_that_is_not_ours_says_so() -> None:
    with pytest.raises(OSError):
        _listen(ServerSettings(host="203.0.113.7"))


def test_the_server_says_where_it_is_and_stops_at_once_with_pages_open(
    workflow: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(small_app(workflow)) as (server, address):
        assert f"Slicewise is ready at {address}/" in capsys.readouterr().out
        socket_ = signed_in(address)
        assert heard(socket_, 5) == "hello"
        server.handle_exit(15, None)
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket_.recv(10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
    assert time.monotonic() - began < 3


def test_a_frame_over_the_limit_closes_that_connection_only(workflow: Workflow) -> None:
    with running(small_app(workflow)) as (_, address):
        big, other = signed_in(address), signed_in(address)
        with pytest.raises(ConnectionClosed):
            big.send(bytes(MAX_FRAME + 1))
            while True:
                big.recv(20)
        other.recv(5)
        other.close()


def test_a_page_that_does_not_read_is_dropped_and_holds_up_nobody(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE_BYTES", 8 << 20)
    app = small_app(workflow)
    with running(app) as (server, address):
        slow, quick = signed_in(address), signed_in(address)
        slow.recv(5)
        loop = server._loop
        assert loop is not None
        until = time.monotonic() + 20
        while len(app.context.hub) > 1 and time.monotonic() < until:
            loop.call_soon_threadsafe(app.context.hub.broadcast, {"t": "project"}, bytes(1 << 20))
            began = time.monotonic()
            quick.send(pack({"t": "ping", "n": 1}))
            while heard(quick, 5) != "pong":
                pass
            assert time.monotonic() - began < 5
        assert len(app.context.hub) == 1
        slow.socket.close()
        quick.close()


def test_a_commit_under_way_is_finished_when_the_server_stops(workflow: Workflow) -> None:
    with running(small_app(workflow)) as (server, address):
        tab = signed_in(address)
        ones = np.ones((2, 2), np.uint8)
        for index in range(5):
            tab.send(pack(label_message(1, 0, index, ones), encode_runs(ones)))
        acks = 0
        while not acks:
            acks += heard(tab, 10) == "ack"
        server.handle_exit(15, None)
        try:
            while True:
                acks += heard(tab, 10) == "ack"
        except ConnectionClosed:
            pass
    assert len(workflow.store.labels(1)) >= acks


@pytest.mark.slow
def test_the_real_program_stops_on_a_signal_although_gradio_holds_streams_open(tmp_path: Path) -> None:
    with small_workflow(tmp_path) as workflow:
        project = workflow.store.root
    server = start_server(tmp_path, "--project", str(project))
    try:
        browser = SocketClient(server.address)
        with browser.http.stream("GET", "/gradio_api/heartbeat/abc") as stream:
            assert stream.status_code == 200
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 8
    finally:
        server.kill()


def test_the_port_is_free_again_after_a_stop(workflow: Workflow) -> None:
    with running(small_app(workflow)) as (_, address):
        port = int(address.rsplit(":", 1)[1])
    again = socket.socket()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("127.0.0.1", port))
    again.close()
