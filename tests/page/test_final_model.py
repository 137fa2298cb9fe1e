"""The final model from its button: it trains, is stopped, outlives the server, goes on and is done; in Chromium."""

import json
import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from storage.store import Store
from tests.annotator.learning.test_scheduler import add_images, label
from tests.page.test_workspace import tab
from tests.support.chromium import PageWatch, RunningServer, open_page, start_server, stranger

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(600)]
DONE_MS = 240_000
PICTURES = os.environ.get("SLICEWISE_PICTURES")  # a folder for screenshots


def project(folder: Path) -> Path:
    """Four labelled volumes, one of them held out; the other learners wait."""
    store = Store(folder / "p")
    store.add_class("one")
    for image_id in add_images(store, 4):
        label(store, image_id)
    store.set_setting("learning", json.dumps({"learners": ["supervised"], "paused": ["supervised"]}))
    ask_steps(store, 10**9)
    store.close()
    return folder / "p"


def ask_steps(store: Store, steps: int) -> None:
    """By steps it ends at a moment that no clock decides. Small steps: a machine that is busy takes long for them."""
    kept = json.loads(store.setting("final-model") or '{"options": {}}')
    options = kept["options"] | {"seconds": 28800.0, "steps": steps, "network": "unet-s"}
    store.set_setting("final-model", json.dumps({**kept, "options": options}))


def start(folder: Path) -> RunningServer:
    return start_server(folder, "--project", str(folder / "p"), learn=True)


def shown(page: Page, name: str) -> Page:
    """The panel; a picture of it where somebody wants one."""
    if PICTURES:
        page.locator("#final-model").scroll_into_view_if_needed()
        page.screenshot(path=f"{PICTURES}/final-{name}.png")
    return page


def test_the_button_trains_a_final_model_that_can_be_stopped_and_goes_on(
    same_context: BrowserContext, tmp_path: Path
) -> None:
    project(tmp_path)
    server = start(tmp_path)
    try:
        with stranger(same_context, PageWatch(server.address)) as page:
            open_page(page, server.address)
            tab(page, "Learn")
            panel = page.locator("#final-model")
            expect(panel.get_by_text("One long training")).to_be_visible()
            shown(page, "before")
            panel.get_by_role("button", name="Train final model").click()
            training = re.compile("training · 0 % · .* left")
            expect(panel.locator(".sw-progress")).to_have_text(training, timeout=DONE_MS)
            expect(panel.get_by_role("progressbar", name="Final model")).to_be_visible()
            shown(page, "training")
            panel.get_by_role("button", name="Stop").click()
            stopped = "It was stopped at 0%; it can go on from there."
            expect(panel.get_by_role("status")).to_have_text(stopped, timeout=DONE_MS)
            expect(panel.get_by_role("button", name="Start over")).to_be_visible()
            shown(page, "stopped")
    finally:
        server.stop()
    store = Store(tmp_path / "p")
    ask_steps(store, 1)
    store.close()
    server = start(tmp_path)
    try:
        with stranger(same_context, PageWatch(server.address)) as page:
            open_page(page, server.address)
            tab(page, "Learn")
            panel = page.locator("#final-model")
            panel.get_by_role("button", name="Go on").click()
            words = re.compile(r"Held-out Dice [01]\.\d\d\d on 1 image: one [01]\.\d\d\.")
            expect(panel.get_by_role("status")).to_have_text(words, timeout=DONE_MS)
            expect(panel.get_by_role("button", name="Export model")).to_be_visible()
            shown(page, "done")
            panel.get_by_role("button", name="Let it propose").click()
            expect(page.locator(".sw-who")).to_have_text(re.compile("Proposals by Final model: Dice"))
    finally:
        server.stop()
    store = Store(tmp_path / "p")
    done = store.rounds.newest("final", "done")
    assert done is not None and done.metrics["steps"] > 1, "it went on from the steps of before"
    store.close()
