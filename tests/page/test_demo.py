"""The demo's five steps as a person goes them: from the first click to the exported model, in Chromium."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Page, expect
from scipy import ndimage

from annotator.exchange.examples.phantoms import phantom
from tests.page.test_end_to_end import ON_SCREEN
from tests.page.test_workspace import state, wait_state
from tests.support.chromium import PageWatch, RunningServer, open_page, start_server, stranger

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
LEARN_MS = 240_000
CUT = """() => [...document.querySelectorAll(".cv-tag .cv-complete:not([hidden])")].filter(
    (badge) => badge.getBoundingClientRect().right > badge.parentElement.getBoundingClientRect().right - 2
).length"""
PICTURES = os.environ.get("SLICEWISE_PICTURES")  # a folder for screenshots


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(tmp_path_factory.mktemp("demo"), "--example", "demo", learn=True)
    yield running
    running.stop()


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    with stranger(same_context, watch) as page:
        page.set_viewport_size({"width": 1280, "height": 800})
        yield open_page(page, server.address)


def ticked(page: Page, count: int, milliseconds: float = 20_000) -> None:
    """So many steps are done, from the first on."""
    steps = page.get_by_role("region", name="Five steps").locator("li[data-done=true]")
    expect(steps).to_have_count(count, timeout=milliseconds)
    assert page.evaluate(CUT) == 0, "the badge of a complete slice is cut off"
    if PICTURES:
        for width, height in ((1280, 800), (1600, 900)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(300)
            page.screenshot(path=f"{PICTURES}/step{count}-{width}.png")


def click(page: Page, axis: int, mask: NDArray[np.bool_], *, shift: bool = False) -> None:
    """Into the middle of the largest piece of a slice's mask."""
    pieces, _ = ndimage.label(mask)
    largest = pieces == 1 + np.bincount(pieces[pieces > 0])[1:].argmax()
    depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    row, col = (int(v) for v in np.unravel_index(int(depth.argmax()), depth.shape))
    at = page.evaluate(ON_SCREEN, {"axis": axis, "row": row, "col": col})
    if shift:
        page.keyboard.down("Shift")
    page.mouse.click(at["x"], at["y"])
    if shift:
        page.keyboard.up("Shift")
    wait_state(page, "state.mask")
    page.keyboard.press("Enter")
    expect(page.locator(".sw-link")).to_have_text("Saved")


def test_five_steps_lead_from_the_first_click_to_an_exported_model(page: Page) -> None:
    page.evaluate(
        "() => fetch('/api/learn/settings', {method: 'POST', headers: {'X-Slicewise': '1',"
        " 'content-type': 'application/json'}, body: JSON.stringify({seconds: 8, settle_seconds: 8})})"
    )
    _, truth = phantom(1)
    ticked(page, 0)
    for n in (1, 2):
        now = state(page)
        click(page, now["axis"], np.take(truth, now["index"], now["axis"]) > 0)
        page.keyboard.press("k")
        wait_state(page, "state.complete")
        if n == 1:
            moved = f"(state.axis !== {now['axis']} || state.index !== {now['index']})"
            page.get_by_role("region", name="Five steps").get_by_role("button", name="Go there").click()
            wait_state(page, f"{moved} && state.editable")
    ticked(page, 1)
    ticked(page, 2, LEARN_MS)
    page.get_by_role("region", name="Five steps").get_by_role("button", name="Open one").click()
    wait_state(page, "state.image !== 1 && state.editable", 60_000)
    expect(page.locator(".sw-name")).not_to_have_text("phantom 01")
    wait_state(page, "state.proposal.shown && !state.proposal.late", 60_000)
    _, truth = phantom(int(page.locator(".sw-name").inner_text().split()[-1]))
    now = state(page)
    shown = page.evaluate(
        "() => { const {proposed, size} = window.__slicewise.active; return {classes:"
        " [...proposed.classes], columns: size.cols}; }"
    )
    proposed = np.reshape(shown["classes"], (-1, shown["columns"])) == 1
    real = np.take(truth, now["index"], now["axis"]) > 0
    assert (proposed & real).sum() > real.sum() / 3, "it proposes the organ, more or less"
    click(page, now["axis"], proposed != real, shift=True)
    ticked(page, 3)
    wait_state(page, "state.proposal.shown && !state.proposal.late", 60_000)
    page.keyboard.press("Shift+Y")
    ticked(page, 4)
    export = page.get_by_role("region", name="Five steps").get_by_role("button", name="Export")
    export.click(timeout=LEARN_MS)  # when the first round has ended
    ticked(page, 5, 120_000)
    expect(page.get_by_role("region", name="Five steps")).to_contain_text("All five steps are done")
    with page.expect_download() as download:
        page.get_by_role("region", name="Five steps").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".zip")
