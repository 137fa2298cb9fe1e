"""The live link and its outbox in real Chromium, against a websocket that can be told to misbehave."""

import json
import mimetypes
import random
import struct
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from tests.conftest import ROOT
from tests.page.test_workspace import until

pytestmark = pytest.mark.browser

STATIC = ROOT / "annotator" / "page" / "static"
PAGE = """<!doctype html><html lang="en"><title>link</title><script type="module">
import { Link } from "/ui/net/link.js";
window.seen = [];
window.project = new URLSearchParams(location.search).get("project") ?? "p";
window.theirs = window.project;
window.link = new Link({ url: `ws://${location.host}/api/live`, verify: async () => window.theirs === window.project });
for (const type of ["up", "down", "dropped", "stranger", "ack", "mask"])
  link.addEventListener(type, (event) => window.seen.push([type, event.detail]));
await link.start(window.project);
window.started = true;
</script></html>"""

WireFrame = tuple[dict[str, Any], bytes]
Reply = Callable[["DoubleServer", ServerConnection, dict[str, Any]], None]


def pack(message: dict[str, Any], payload: bytes = b"") -> bytes:
    text = json.dumps(message).encode()
    text += b" " * (-(4 + len(text)) % 4)
    return struct.pack("<I", len(text)) + text + payload


def unpack(frame: bytes) -> WireFrame:
    (length,) = struct.unpack_from("<I", frame)
    assert (4 + length) % 4 == 0
    return json.loads(frame[4 : 4 + length]), frame[4 + length :]


def acknowledge(double: "DoubleServer", socket: ServerConnection, message: dict[str, Any]) -> None:
    socket.send(
        pack({"t": "ack", "id": message["id"], "label": 1, "rev": 1, "instance": 0, "conflict": None})
    )


def stay_silent(double: "DoubleServer", socket: ServerConnection, message: dict[str, Any]) -> None:
    """The change arrived, the page does not learn of it."""


class DoubleServer:
    """A small server on one port: our static files, a page with a link, and the websocket."""

    def __init__(self) -> None:
        self.answer: Reply = acknowledge
        self.frames: list[WireFrame] = []
        self.open = True
        self._sockets: list[ServerConnection] = []
        self._server: Server = serve(self._talk, "127.0.0.1", 0, process_request=self._get)
        self.address = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def drop(self, *, stay_down: bool = False) -> None:
        """Cut every connection; `stay_down` lets nobody in again until `open` is set."""
        self.open = not stay_down
        for socket in self._sockets:
            socket.socket.close()
        self._sockets.clear()

    def ids(self) -> list[str]:
        return [message["id"] for message, _ in self.frames if "id" in message]

    def _talk(self, socket: ServerConnection) -> None:
        self._sockets.append(socket)
        try:
            socket.send(pack({"t": "hello", "user": "ann", "protocol": 1}))
            for data in socket:
                assert isinstance(data, bytes)
                message, payload = unpack(data)
                self.frames.append((message, payload))
                if "id" in message:
                    self.answer(self, socket, message)
        except (ConnectionClosed, OSError):
            pass

    def _get(self, socket: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/api/live":
            return None if self.open else Response(HTTPStatus.SERVICE_UNAVAILABLE, "down", Headers())
        if path == "/":
            return _found(PAGE.encode(), "text/html")
        file = STATIC / path.removeprefix("/ui/")
        if not file.is_file():
            return Response(HTTPStatus.NOT_FOUND, "nothing here", Headers(), b"")
        return _found(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")


def _found(body: bytes, kind: str) -> Response:
    headers = Headers({"content-type": kind, "content-length": str(len(body)), "connection": "close"})
    return Response(HTTPStatus.OK, "OK", headers, body)


@pytest.fixture
def double() -> Iterator[DoubleServer]:
    double = DoubleServer()
    yield double
    double.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def visit(context: BrowserContext, double: DoubleServer, project: str = "p") -> Page:
    page = context.new_page()
    page.goto(f"{double.address}/?project={project}")
    page.wait_for_function("() => window.started")
    return page


def enqueue(page: Page, *ids: str, image: int = 7) -> None:
    for each in ids:
        page.evaluate(
            "([id, image]) => link.enqueue({t: 'label', id, image}, new Uint16Array([1, 500, 65535]))",
            [each, image],
        )


def wait_mode(page: Page, mode: str, pending: int | None = None) -> None:
    page.wait_for_function(
        "([mode, pending]) => link.state.mode === mode && (pending === null || link.state.pending === pending)",
        arg=[mode, pending],
    )


def wait_kept(page: Page) -> None:
    """Until every change is in IndexedDB: then closing the tab needs no warning."""
    page.wait_for_function("() => dispatchEvent(new Event('beforeunload', {cancelable: true}))")


def test_changes_go_out_one_by_one_in_order_and_then_all_is_saved(
    context: BrowserContext, double: DoubleServer
) -> None:
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, *(f"c{n}" for n in range(20)))
    wait_mode(page, "saved", 0)
    assert double.ids() == [f"c{n}" for n in range(20)]
    assert double.frames[0] == ({"t": "label", "id": "c0", "image": 7}, struct.pack("<3H", 1, 500, 65535))


def test_nothing_is_called_saved_before_the_answer(context: BrowserContext, double: DoubleServer) -> None:
    double.answer = stay_silent
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, "a", "b")
    assert page.evaluate("() => link.state.mode") == "saving"
    page.wait_for_timeout(200)
    assert page.evaluate("() => [link.state.mode, link.state.pending]") == ["saving", 2]
    assert double.ids() == ["a"], "the second waits for the first, so that their order holds"


def test_a_change_that_was_not_answered_is_sent_again_with_the_same_id(
    context: BrowserContext, double: DoubleServer
) -> None:
    double.answer = stay_silent
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, "a", "b")
    wait_mode(page, "saving", 2)
    until(lambda: double.ids() == ["a"])  # it has arrived and is not answered
    double.answer = acknowledge
    double.drop()
    wait_mode(page, "saved", 0)
    assert double.ids() == ["a", "a", "b"]


def test_a_change_too_long_for_one_message_is_dropped_with_a_sentence_and_the_next_goes_out(
    context: BrowserContext, double: DoubleServer
) -> None:
    page = visit(context, double)
    wait_mode(page, "saved")
    page.evaluate("() => link.enqueue({t: 'label', id: 'big', image: 7}, new Uint8Array(15 * 2 ** 20))")
    enqueue(page, "after")
    wait_mode(page, "saved", 0)
    assert double.ids() == ["after"]
    told = page.evaluate(
        "() => seen.filter(([type]) => type === 'dropped').map(([, detail]) => detail.message)"
    )
    assert len(told) == 1 and "draw it in smaller parts" in told[0]


def test_while_offline_changes_are_kept_and_prompts_are_dropped(
    context: BrowserContext, double: DoubleServer
) -> None:
    page = visit(context, double)
    wait_mode(page, "saved")
    double.drop(stay_down=True)
    wait_mode(page, "offline")
    enqueue(page, "a", "b")
    page.evaluate("() => link.send({t: 'predict', seq: 1})")
    assert page.evaluate("() => link.state.text") == "Offline, 2 changes kept"
    assert page.evaluate("() => link.online") is False
    double.open = True
    wait_mode(page, "saved", 0)
    assert [message["t"] for message, _ in double.frames] == ["label", "label"]


def test_changes_survive_a_reload_byte_for_byte(context: BrowserContext, double: DoubleServer) -> None:
    page = visit(context, double)
    wait_mode(page, "saved")
    double.drop(stay_down=True)
    wait_mode(page, "offline")
    enqueue(page, "a", "b", "c")
    wait_kept(page)
    page.reload()
    page.wait_for_function("() => window.started")
    assert page.evaluate("() => link.state.pending") == 3
    double.open = True
    wait_mode(page, "saved", 0)
    assert double.ids() == ["a", "b", "c"]
    assert double.frames[2][1] == struct.pack("<3H", 1, 500, 65535)


def test_changes_of_a_closed_tab_are_sent_by_the_next_one_but_never_those_of_a_living_tab(
    context: BrowserContext, double: DoubleServer
) -> None:
    double.answer = stay_silent
    first = visit(context, double)
    wait_mode(first, "saved")
    enqueue(first, "a")
    wait_kept(first)
    second = visit(context, double)
    wait_mode(second, "saved", 0)
    first.close()
    double.answer = acknowledge
    third = visit(context, double)
    wait_mode(third, "saved", 0)
    assert double.ids() == ["a", "a"]


def test_another_project_gets_nothing(context: BrowserContext, double: DoubleServer) -> None:
    page = visit(context, double)
    wait_mode(page, "saved")
    double.drop(stay_down=True)
    wait_mode(page, "offline")
    enqueue(page, "a")
    wait_kept(page)
    page.evaluate("() => { window.theirs = 'another' }")
    double.open = True
    wait_mode(page, "stranger", 1)
    other = visit(context, double, "another")
    wait_mode(other, "saved", 0)
    assert double.ids() == []


def test_a_change_refused_for_good_is_set_aside_and_the_next_one_goes_on(
    context: BrowserContext, double: DoubleServer
) -> None:
    def refuse_first(double: DoubleServer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["id"] != "bad":
            return acknowledge(double, socket, message)
        socket.send(pack({"t": "refused", "id": "bad", "message": "No.", "retry": False}))

    double.answer = refuse_first
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, "bad", "good")
    wait_mode(page, "saved", 0)
    dropped = page.evaluate("() => seen.find(([type]) => type === 'dropped')[1]")
    assert dropped == {"message": "No.", "change": {"t": "label", "id": "bad", "image": 7}, "kept": True}
    aside = "() => link.setAside.map(({ message, aside }) => [message.id, aside])"
    assert page.evaluate(aside) == [["bad", "No."]]
    wait_kept(page)
    page.close()
    page = visit(context, double)
    assert page.evaluate(aside) == [["bad", "No."]], "kept in this browser"
    double.answer = acknowledge
    page.evaluate("() => link.sendAgain('bad')")
    wait_mode(page, "saved", 0)
    assert page.evaluate(aside) == [] and double.ids() == ["bad", "good", "bad"]


def test_a_change_that_cannot_be_taken_now_is_kept_and_goes_first_later(
    context: BrowserContext, double: DoubleServer
) -> None:
    def disk_full(double: DoubleServer, socket: ServerConnection, message: dict[str, Any]) -> None:
        socket.send(
            pack({"t": "refused", "id": message["id"], "message": "The disk is full.", "retry": True})
        )

    double.answer = disk_full
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, "a", "b")
    wait_mode(page, "held", 2)
    assert page.evaluate("() => link.state.detail") == "The disk is full."
    double.answer = acknowledge
    wait_mode(page, "saved", 0)
    assert double.ids() == ["a", "a", "b"]


def test_pending_changes_of_an_image_include_what_takes_them_back(
    context: BrowserContext, double: DoubleServer
) -> None:
    double.answer = stay_silent
    page = visit(context, double)
    enqueue(page, "a", image=7)
    enqueue(page, "b", image=8)
    page.evaluate("() => link.enqueue({t: 'undo', id: 'u', target: 'a'})")
    assert page.evaluate("() => link.pendingFor(7).map(({message}) => message.id)") == ["a", "u"]
    assert page.evaluate("() => link.pendingFor(8)[0].payload.byteLength") == 6


def test_leaving_is_only_warned_about_where_the_browser_cannot_keep_changes(
    context: BrowserContext, double: DoubleServer
) -> None:
    double.answer = stay_silent
    page = visit(context, double)
    wait_mode(page, "saved")
    enqueue(page, "a")
    wait_kept(page)
    context.add_init_script("IDBFactory.prototype.open = () => { throw new Error('storage is off') }")
    broken = visit(context, double, "q")
    wait_mode(broken, "saved")
    enqueue(broken, "b")
    assert not broken.evaluate("() => dispatchEvent(new Event('beforeunload', {cancelable: true}))")
    assert "storage is off" in broken.evaluate("() => link.state.detail")
    double.answer = acknowledge
    double.drop()
    wait_mode(broken, "saved", 0)
    wait_kept(broken)


def test_whatever_the_connection_does_every_change_arrives_in_order(
    context: BrowserContext, double: DoubleServer
) -> None:
    dice = random.Random(5)

    def shaky(double: DoubleServer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if dice.random() < 0.15:
            return double.drop()
        acknowledge(double, socket, message)
        if dice.random() < 0.15:
            double.drop()

    double.answer = shaky
    page = visit(context, double)
    ids = [f"c{n}" for n in range(25)]
    enqueue(page, *ids[:15])
    page.wait_for_timeout(500)
    wait_kept(page)
    page.reload()
    page.wait_for_function("() => window.started")
    enqueue(page, *ids[15:])
    page.wait_for_function("() => link.state.pending === 0", timeout=60_000)
    assert list(dict.fromkeys(double.ids())) == ids
