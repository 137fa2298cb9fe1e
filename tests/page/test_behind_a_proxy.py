"""The page behind a reverse proxy that puts it under a prefix, and on a machine whose own proxy it cannot speak to."""

import socket
import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import PageWatch, RunningServer, new_context, open_page, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PREFIX = "/lab/label"
ODD_PROXIES = {
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "https_proxy": "socks4://127.0.0.1:9",
    "HTTP_PROXY": "::no url::",
    "NO_PROXY": "fe80::/10,[::1]",
}


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("proxied")
    values = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    Image.fromarray(values).save(folder / "a.png")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ODD_PROXIES.items():
            environment.setenv(name, value)
        running = start_server(
            folder, "a.png", "--project", "p", "--root-path", f"{PREFIX}/", "--no-fill", "--no-download"
        )
    yield running
    running.stop()


class StrippingProxy:
    """Takes the prefix off every request, as `proxy_pass http://127.0.0.1:7860/;` of nginx does."""

    def __init__(self, port: int) -> None:
        self._server, self._port = socket.create_server(("127.0.0.1", 0)), port
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        """One request a connection, so that only its head has to be rewritten."""
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := visitor.recv(65536)):
                return
            head += more
        head = head.replace(f" {PREFIX}/".encode(), b" /", 1).replace(b"keep-alive", b"close", 1)
        app = socket.create_connection(("127.0.0.1", self._port))
        app.sendall(head)
        threading.Thread(target=_pump, args=(visitor, app), daemon=True).start()
        _pump(app, visitor)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.mark.parametrize("stripped", [False, True])
def test_the_page_works_under_a_prefix_that_the_proxy_keeps_or_takes_off(
    browser: Browser,
    prefixed: RunningServer,
    stripped: bool,
):
    port = int(prefixed.address.rsplit(":", 1)[1].split("/")[0])
    proxy = StrippingProxy(port)
    host = proxy.address if stripped else f"http://127.0.0.1:{port}"
    watch = PageWatch(host + PREFIX)  # a request that forgets the prefix is a fault
    context = new_context(browser)
    page = context.new_page()
    watch.follow(page)
    open_page(page, host + PREFIX)
    draw_and_save(page)
    watch.check()
    context.close()
    proxy.close()


def draw_and_save(page: Page) -> None:
    """A stroke of background, which needs no class."""
    before = page.evaluate("window.__slicewise.state.rev")
    page.keyboard.press("0")
    page.keyboard.press("b")
    box = page.locator("canvas[role=application]").first.bounding_box()
    assert box is not None
    down = box["y"] + box["height"] * (0.4 + 0.2 * before)
    page.mouse.move(box["x"] + 0.4 * box["width"], down)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], down, steps=4)
    page.mouse.up()
    page.wait_for_function(f"window.__slicewise.state.rev > {before}")
    expect(page.locator(".sw-link")).to_have_text("Saved")


def test_the_address_that_is_printed_is_under_the_prefix_and_a_slash_is_added(prefixed: RunningServer):
    (line,) = [line for line in prefixed.said if "ready at" in line]
    assert line.strip().endswith(f"{PREFIX}/")
    with httpx.Client(trust_env=False) as http:
        answer = http.get(line.split()[-1].rstrip("/"), headers={"accept": "text/html"})
    assert answer.status_code == 307 and answer.headers["location"] == f"{PREFIX}/"
