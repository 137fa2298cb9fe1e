"""The strip of channels: what is shown of each, by clicks and keys, without anything fetched again."""

from collections.abc import Iterator

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, Request, expect

from tests.support.chromium import READY, PageWatch, RunningServer, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE = (80, 120)
COLOUR_AT = """([row, col]) => {
    const view = window.__slicewise.views[0];
    const { sx, sy, tx, ty } = view.camera;
    const at = [Math.round(tx + sx * (col + 0.5)), Math.round(ty + sy * (row + 0.5))];
    return [...view.context.getImageData(...at, 1, 1).data].slice(0, 3);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """DNA on the left, actin on the right, both in the middle, and a third channel that is dark."""
    folder = tmp_path_factory.mktemp("channels")
    values = np.zeros((3, *SHAPE), np.uint16)
    values[0, :, :70], values[1, :, 50:], values[2, 0, 0] = 4000, 60000, 9
    metadata = {"axes": "CYX", "Channel": {"Name": ["DNA", "actin", "empty"]}}
    tifffile.imwrite(folder / "cells.ome.tif", values, ome=True, photometric="minisblack", metadata=metadata)
    running = start_server(folder, "cells.ome.tif", "--project", "p", "--no-download")
    yield running
    running.stop()


def colour(page: Page, row: int, col: int) -> list[int]:
    found: list[int] = page.evaluate(COLOUR_AT, [row, col])
    return found


def shows(page: Page, *wanted: tuple[int, int, int]) -> None:
    """The colours on the left, in the middle and on the right, once they are painted."""
    places = [[40, 20], [40, 60], [40, 100]]
    page.wait_for_function(
        f"([places, wanted]) => JSON.stringify(places.map({COLOUR_AT})) === JSON.stringify(wanted)",
        arg=[places, [list(one) for one in wanted]],
    )


GREEN, MAGENTA, WHITE, BLACK = (0, 255, 0), (255, 0, 255), (255, 255, 255), (0, 0, 0)


def test_channels_are_shown_alone_or_together_and_nothing_is_fetched_for_it(
    browser: Browser, server: RunningServer
):
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    watch = PageWatch(server.address)
    watch.follow(page)
    page.goto(server.address)
    page.wait_for_selector(READY)
    strip = page.get_by_role("region", name="Channels")
    expect(strip.get_by_role("button", name="DNA", exact=True)).to_be_visible()
    shows(page, GREEN, WHITE, MAGENTA)
    fetched: list[Request] = []
    page.on("request", lambda one: fetched.append(one) if "/api/images/" in one.url else None)
    page.keyboard.press("Shift+V")
    shows(page, GREEN, GREEN, BLACK)
    page.keyboard.press("Shift+V")
    shows(page, BLACK, MAGENTA, MAGENTA)
    page.get_by_role("button", name="All together").click()
    shows(page, GREEN, WHITE, MAGENTA)
    strip.get_by_label("Colour of actin").fill("#ff0000")
    shows(page, GREEN, (255, 255, 0), (255, 0, 0))
    strip.get_by_role("button", name="actin", exact=True).click()
    page.get_by_label("Window from").fill("0")
    page.get_by_label("Window to").fill("120000")
    page.get_by_label("Window to").press("Enter")
    shows(page, GREEN, (127, 255, 0), (127, 0, 0))
    strip.get_by_role("button", name="Hide DNA").click()
    shows(page, BLACK, (127, 0, 0), (127, 0, 0))
    assert not fetched
    watch.check()
    page.wait_for_timeout(600)  # what was chosen is kept a moment later
    page.reload()
    page.wait_for_selector(READY)
    shows(page, BLACK, (127, 0, 0), (127, 0, 0))
    strip.get_by_role("button", name="Show DNA", exact=True).click()
    shows(page, GREEN, (127, 255, 0), (127, 0, 0))
    page.close()


def test_the_pointer_reads_every_channel_and_a_mask_says_what_it_was_found_in(
    browser: Browser, server: RunningServer
):
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    page.goto(server.address)
    page.wait_for_selector(READY)
    box = page.locator("canvas.cv-overlay").first.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    expect(page.locator(".sw-hover")).to_contain_text("DNA 4000 actin 60000 empty 0")
    strip = page.get_by_role("region", name="Channels")
    strip.get_by_role("button", name="Show DNA alone").click()
    page.keyboard.press("q")
    page.mouse.click(*middle)
    expect(strip.get_by_role("status")).to_have_text("The mask was found in DNA.")
    page.close()
