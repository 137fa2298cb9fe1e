"""The grid of tags as a person uses it: arrows, digits, none, the rest, undo; in real Chromium on a real server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from skimage.io import imsave

from storage.store import Store
from tests.conftest import ROOT, ball
from tests.support.chromium import PageWatch, RunningServer, new_context, open_page, start_server, stranger

AXE = ROOT / "tests" / "support" / "vendor" / "axe.min.js"
pytestmark = pytest.mark.browser
PICTURES = 8


@pytest.fixture(scope="module")
def tagged_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A project of eight pictures and a volume of nine slices, with two classes."""
    folder = tmp_path_factory.mktemp("tags")
    rows, columns = np.mgrid[:48, :64]
    (folder / "pictures").mkdir()
    for number in range(PICTURES):
        picture = np.where((rows - 20) ** 2 + (columns - 8 * number) ** 2 < 90, 220, 60).astype(np.uint8)
        imsave(folder / "pictures" / f"cells {number}.png", picture, check_contrast=False)
    store = Store(folder / "project")
    store.add_class("nucleus"), store.add_class("mitosis")
    store.add_image(ball()[0])
    store.close()
    running = start_server(folder, str(folder / "pictures"), "--project", str(folder / "project"))
    yield running
    running.stop()


@pytest.fixture
def grid(same_context: BrowserContext, tagged_server: RunningServer) -> Iterator[Page]:
    with stranger(same_context, PageWatch(tagged_server.address)) as page:
        open_grid(open_page(page, tagged_server.address))
        yield page


def open_grid(page: Page) -> None:
    page.get_by_role("tab", name="Learn").click()
    page.get_by_role("button", name="Tag images").click()
    expect(page.get_by_role("dialog", name="Which classes are here?")).to_be_visible()
    page.get_by_label("Slices of a volume").select_option("1")
    expect(page.locator(".sw-tag-tile")).to_have_count(9 + PICTURES, timeout=30_000)


def tile(page: Page, at: int):
    return page.locator(f"#sw-tag-{at}")


def test_a_second_each_with_keys_alone_and_undo(grid: Page) -> None:
    keyboard = grid.keyboard
    keyboard.press("1")
    expect(tile(grid, 0)).to_have_attribute("data-state", "partly")
    keyboard.press("Enter")  # nucleus and no others, next
    expect(tile(grid, 0)).to_have_attribute("aria-label", "ball · 1: nucleus")
    expect(tile(grid, 1)).to_have_attribute("aria-selected", "true")
    keyboard.press("0")
    expect(tile(grid, 1)).to_have_attribute("data-state", "none")
    expect(grid.get_by_text("2 of 17 tagged")).to_be_visible()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    keyboard.press("2")
    keyboard.press("u")
    expect(grid.locator(".sw-tag-tile[data-state=partly]")).to_have_count(0)
    keyboard.press("Control+z")
    expect(tile(grid, 1)).to_have_attribute("data-state", "open")
    expect(tile(grid, 1)).to_have_attribute("aria-selected", "true")
    expect(grid.get_by_text("1 of 17 tagged")).to_be_visible()
    keyboard.press("Control+z")
    keyboard.press("Control+z")
    expect(grid.get_by_text("0 of 17 tagged")).to_be_visible()


def test_a_range_of_slices_is_tagged_at_once_and_is_there_after_a_reload(
    grid: Page, tagged_server: RunningServer
) -> None:
    tile(grid, 2).click()
    tile(grid, 5).click(modifiers=["Shift"])
    expect(grid.locator(".sw-tag-tile[aria-selected=true]")).to_have_count(4)
    grid.get_by_role("button", name="nucleus 1").click()
    grid.keyboard.press("Shift+ArrowRight")
    expect(grid.locator(".sw-tag-tile[data-state=partly]")).to_have_count(4)
    grid.keyboard.press("Escape")
    expect(grid.get_by_role("dialog")).to_have_count(0)
    grid.reload()
    open_grid(open_page(grid, tagged_server.address))
    expect(grid.locator(".sw-tag-tile[data-state=partly]")).to_have_count(4)
    grid.keyboard.press("Control+z")
    expect(grid.locator(".sw-tag-tile[data-state=partly]")).to_have_count(0)


def test_only_untagged_ones_leave_as_they_are_done(grid: Page) -> None:
    for _ in range(3):
        grid.keyboard.press("x")
    expect(grid.get_by_text("3 of 17 tagged")).to_be_visible()
    grid.get_by_label("untagged only").check()
    expect(grid.locator(".sw-tag-tile")).to_have_count(14)
    grid.get_by_label("untagged only").uncheck()
    expect(grid.locator(".sw-tag-tile")).to_have_count(17)
    for _ in range(3):
        grid.keyboard.press("u")
    expect(grid.get_by_text("0 of 17 tagged")).to_be_visible()


def test_a_late_answer_to_an_older_question_is_not_shown(grid: Page) -> None:
    held: list[Route] = []
    grid.route("**/api/tags?*every=2&*", lambda route: held.append(route))
    steps = grid.get_by_label("Slices of a volume")
    steps.select_option("2")
    grid.wait_for_timeout(100)
    steps.select_option("4")
    expect(grid.locator(".sw-tag-tile")).to_have_count(2 + PICTURES)
    with grid.expect_response("**/api/tags?*every=2&*"):
        held[0].continue_()
    grid.wait_for_timeout(200)
    expect(grid.locator(".sw-tag-tile")).to_have_count(2 + PICTURES)


def test_keys_pressed_while_a_list_is_on_its_way_are_about_that_list(grid: Page) -> None:
    held: list[Route] = []
    grid.route("**/api/tags?*limit=60&every=2&*", lambda route: held.append(route))
    grid.get_by_label("Slices of a volume").select_option("2")
    for key in ("1", "Enter", "0"):
        grid.keyboard.press(key)
    grid.wait_for_timeout(200)
    untouched = grid.locator(".sw-tag-tile[data-state=open]").count()
    held[0].continue_()
    assert untouched == 9 + PICTURES
    expect(grid.locator(".sw-tag-tile")).to_have_count(5 + PICTURES)
    expect(tile(grid, 0)).to_have_attribute("data-state", "present")
    expect(tile(grid, 1)).to_have_attribute("data-state", "none")
    expect(tile(grid, 2)).to_have_attribute("aria-selected", "true")
    expect(grid.get_by_text("2 of 13 tagged")).to_be_visible()
    for _ in range(3):
        grid.keyboard.press("u")
    expect(grid.get_by_text("0 of 13 tagged")).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious_and_nothing_overflows(
    browser: Browser, tagged_server: RunningServer, scheme: str, tmp_path: Path
) -> None:
    context = new_context(browser, color_scheme=scheme)
    page = open_page(context.new_page(), tagged_server.address)
    open_grid(page)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.keyboard.press("0")
    page.keyboard.press("1")
    expect(tile(page, 0)).to_have_attribute("data-state", "present")
    expect(tile(page, 1)).to_have_attribute("data-state", "none")
    page.wait_for_timeout(300)
    page.screenshot(path=tmp_path / f"tags-{scheme}.png")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document)).violations")
    serious = [
        (v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert not serious, serious
    box = page.locator("dialog.sw-tags").bounding_box()
    assert box and box["width"] <= 1280 and box["height"] <= 720
    for _ in range(4):  # every act of above
        page.keyboard.press("u")
    expect(page.get_by_text("0 of 17 tagged")).to_be_visible()
    context.close()
