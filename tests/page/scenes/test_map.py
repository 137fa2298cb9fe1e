"""The map of a scene in a real browser: a click opens a region, keys lead to its neighbours and back."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import PageWatch, RunningServer, start_server
from tests.support.scenes import write_zarr

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIDES = (2000, 3000)  # two rows and three columns of regions


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("scene")
    y, x = np.mgrid[: SIDES[0], : SIDES[1]]
    write_zarr(folder / "slide.zarr", ((y + x) // 32).astype(np.uint8), "yx", chunk=512)
    running = start_server(folder, "slide.zarr", "--project", "p", "--no-download", "--no-fill")
    yield running
    running.stop()


def click_region(page: Page, row: int, column: int) -> None:
    canvas = page.get_by_role("application", name="Regions")
    box = canvas.bounding_box()
    assert box
    canvas.click(position={"x": box["width"] * (column + 0.5) / 3, "y": box["height"] * (row + 0.5) / 2})


def test_regions_are_opened_from_the_map_and_from_one_another(browser: Browser, server: RunningServer):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    watch = PageWatch(server.address)
    watch.follow(page)
    page.goto(server.address)
    scene_map = page.get_by_role("dialog", name="slide.zarr")
    expect(scene_map).to_contain_text("6 regions")  # a project without an image begins on its map
    expect(scene_map.get_by_role("img")).to_have_js_property("complete", True)
    click_region(page, 0, 1)
    expect(scene_map).to_be_hidden()
    expect(page).to_have_title("slide r1 c2 · Slicewise")
    page.mouse.move(2, 2)
    page.keyboard.press("Alt+ArrowDown")
    expect(page).to_have_title("slide r2 c2 · Slicewise")
    page.keyboard.press("Alt+ArrowDown")
    expect(page.get_by_text("The scene ends here.")).to_be_visible()
    page.keyboard.press("Shift+M")
    expect(scene_map).to_be_visible()
    expect(scene_map.locator(".sw-scene-status")).to_have_text("Row 2, column 2: no labels yet")
    page.keyboard.press("ArrowLeft")
    expect(scene_map.locator(".sw-scene-status")).to_have_text("Row 2, column 1: untouched")
    page.keyboard.press("Enter")
    expect(page).to_have_title("slide r2 c1 · Slicewise")
    expect(scene_map).to_be_hidden()
    page.get_by_role("tab", name="Images").click()
    page.mouse.move(2, 2)
    page.get_by_role("button", name="Map of slide.zarr").press("Enter")
    expect(scene_map.locator(".sw-scene-status")).to_have_text("Row 2, column 1: no labels yet")
    page.keyboard.press("Escape")
    expect(scene_map).to_be_hidden()
    watch.check()
    page.close()
