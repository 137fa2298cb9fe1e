"""A real server under odd requests and handshakes: refused or closed, and nothing about it in the log."""

import random
import socket
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.support.chromium import RunningServer, start_server

ROUTES = (
    "gradio_api/run/predict", "gradio_api/call/predict", "gradio_api/call/predict/abc", "gradio_api/reset",
    "gradio_api/queue/join", "gradio_api/queue/data", "gradio_api/upload", "gradio_api/file=/etc/passwd",
    "gradio_api/proxy=http://127.0.0.1/", "gradio_api/stream/a/b/c", "gradio_api/component_server",
    "gradio_api/cancel", "run/predict", "reset", "monitoring", "custom_component/a/b/c", "assets/" + "x" * 255,
    "static/" + "y" * 4000, "svelte/%00", "theme.css?x=%ff", "config?deep_link=" + "z" * 3000, "api/images/1e9",
    "api/images/99999999999999999999999", "api/images/1/pixels?z0=-1&z1=2", "api/live", "metrics", "ui/../x",
    "api/images/1/labels?z0=0&z1=999999999999", "%2e%2e/private/session.key", "api/thumbnails/1/9/9",
)  # fmt: skip
BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"data":[1]}',
    b"[" * 20_000,
    b'{"fn_index":-1}',
    b"\xff" * 99,
    b'{"a":' * 9000,
)
RAW = (
    b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n",
    b"POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99\r\n\r\nhalf",
    b"POST /api/classes HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhallo\r\nzz\r\n",
    b"GET /api/live HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: " + b"a" * 70_000 + b"\r\n\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("odd")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "a.png")
    running = start_server(folder, "a.png", "--project", "p", "--no-download")
    yield running
    running.stop()


@pytest.fixture
def quiet(server: RunningServer) -> Iterator[RunningServer]:
    """The log of what a test does, and of a plain request after it, holds no complaint."""
    before = len(server.said)
    yield server
    assert httpx.get(f"{server.address}/healthz").text == "ok\n", "it still answers"
    complaints = [line for line in server.said[before:] if any(w in line for w in COMPLAINTS)]
    assert not complaints


COMPLAINTS = ("Traceback", "ERROR", "Exception", "ASGI", "Error")


@pytest.mark.parametrize("signed_in", [False, True])
def test_odd_requests_are_refused_without_a_word_in_the_log(quiet: RunningServer, signed_in: bool):
    with httpx.Client(
        base_url=quiet.address, headers={"origin": quiet.address, "content-type": "application/json"}
    ) as http:
        if signed_in:
            http.get("/", headers={"accept": "text/html"})
        odd = random.Random(0)
        for route in ROUTES:
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"):
                body = odd.choice(BODIES) if method not in ("GET", "HEAD") else None
                answer = http.request(method, f"/{route}", content=body)
                fine = method in ("GET", "HEAD") and route.split("?")[0] in ("theme.css", "config", "metrics")
                assert answer.status_code < 500, (method, route)
                assert fine or answer.status_code >= 400, (method, route, answer.status_code)
                assert "Traceback" not in answer.text, (method, route)


def test_broken_requests_are_closed_without_a_word_in_the_log(quiet: RunningServer):
    for raw in RAW:
        with socket.create_connection(("127.0.0.1", quiet.port), timeout=20) as plain:
            plain.sendall(raw)
            plain.shutdown(socket.SHUT_WR)
            answered = b""
            while more := plain.recv(65536):
                answered += more
        status = answered.split(b" ", 2)[1] if answered else b"closed"
        assert status == b"closed" or status.startswith(b"4"), (raw[:60], status)


def test_refused_websockets_get_an_answer_and_no_word_in_the_log(quiet: RunningServer):
    address = quiet.address.replace("http", "ws", 1)
    for path in ("/api/live", "/", "/gradio_api/queue/join", "/ui/engine/codec.js", "/nowhere"):
        for origin in (quiet.address, "https://evil.example", None):
            with pytest.raises(InvalidHandshake) as refused:
                connect(address + path, origin=Origin(origin) if origin else None).close()
            assert isinstance(refused.value, InvalidStatus), (path, origin)
            assert 400 <= refused.value.response.status_code < 500
