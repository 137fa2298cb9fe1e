"""The list of prompt models as a person meets it: speed here, switching in mid-image, downloads; in Chromium."""

import http.server
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from models.weights import CATALOGUE
from tests.page.test_workspace import canvas_point, tab, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
SIZE = CATALOGUE["mobile_sam"].size or 0


@pytest.fixture(scope="module")
def mirror() -> Iterator[dict]:
    """A file server with a file of MobileSAM's length that takes long to come."""
    told: dict[str, Any] = {"asked": [], "status": 200}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told["asked"].append(self.headers.get("Range"))
            if told["status"] != 200:
                return self.send_error(told["status"])
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(SIZE - start))
            self.end_headers()
            try:
                for _ in range((SIZE - start) // (1 << 20)):
                    self.wfile.write(bytes(1 << 20))
                    time.sleep(3)
            except OSError:
                pass  # the download was stopped

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        told["address"] = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mirror: dict) -> Iterator[RunningServer]:
    """The examples as somebody opens them first, with a network."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLICEWISE_WEIGHTS", str(folder / "weights"))
        patch.setenv("SLICEWISE_MIRROR", mirror["address"])
        patch.setenv("PATH", "/usr/bin:/bin")  # no graphics card's tool
        patch.delenv("SLICEWISE_OFFLINE")
        running = start_server(folder)
    yield running
    running.stop()


def card(page: Page, title: str):
    return page.locator(".sw-model", has=page.locator("b", has_text=title))


def test_the_first_start_fetches_mobile_sam_visibly_and_a_click_stops_it(page: Page, mirror: dict) -> None:
    tab(page, "Model")
    mobile = card(page, "MobileSAM")
    expect(mobile.locator(".sw-download")).to_contain_text(re.compile(r"\d+(\.\d)? MB of 41 MB"))
    expect(mobile.get_by_role("progressbar")).to_be_visible()
    mobile.get_by_role("button", name="Cancel").click()
    again = mobile.get_by_role(
        "button", name=re.compile(r"Continue the download \(\d+(\.\d)? MB of 41 MB done\)")
    )
    expect(again).to_be_visible()
    mirror["status"] = 503
    again.click()
    expect(mobile.locator(".sw-download")).to_contain_text(re.compile("answered 503.*try again later"))
    page.reload()
    tab(page, "Model")
    expect(mobile.locator(".sw-download")).to_contain_text("try again later")  # for who comes later too
    mirror["status"] = 200
    again.click()
    expect(mobile.get_by_role("progressbar")).to_be_visible()
    mobile.get_by_role("button", name="Cancel").click()
    expect(again).to_be_visible()
    assert mirror["asked"][0] is None and mirror["asked"][-1] is not None


def test_the_speed_on_this_machine_is_measured_by_itself(page: Page) -> None:
    tab(page, "Model")
    measured = re.compile(r"First click [\d.]+ m?s, next [\d.]+ m?s on this machine\.")
    expect(card(page, "Built-in").locator(".sw-speed")).to_have_text(measured, timeout=60_000)
    expect(card(page, "Graph cut").locator(".sw-speed")).to_contain_text("not measured yet")
    assert not page.locator(".sw-model[data-state=missing] .sw-speed:visible").count()


def test_switching_in_mid_image_keeps_the_prompts_and_asks_the_other_model(page: Page) -> None:
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    wait_state(page, "state.mask && state.model === 'builtin'")
    tab(page, "Model")
    card(page, "Graph cut").get_by_role("button", name="Use this model").click()
    wait_state(page, "state.mask && state.model === 'graphcut' && state.prompts === 1")
    expect(card(page, "Graph cut").locator(".sw-badge")).to_have_text("chosen")
    page.mouse.click(*canvas_point(page, 0.5, 0.7), button="right")
    wait_state(page, "state.mask && state.model === 'graphcut' && state.prompts === 2")
    card(page, "Built-in").get_by_role("button", name="Use this model").click()
    wait_state(page, "state.mask && state.model === 'builtin' && state.prompts === 2")
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("Escape")
