"""Likely places of small objects, accepted and rejected by one key each; in Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from storage.store import Store
from tests.page.test_workspace import state, until, wait_state
from tests.support.chromium import RunningServer, start_server
from tests.support.rare_prediction import SIDE, SPOTS, rare_picture

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on one picture of three bright squares, of which a learner proposed two."""
    folder = tmp_path_factory.mktemp("places")
    store = Store(folder / "project")
    store.add_class("pit", "#e11d48")
    rare_picture(store)
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def said(page: Page, spot: tuple[int, int]) -> int:
    """The label in the middle of a square; 255 where nobody spoke."""
    return page.evaluate(
        """([row, column]) => {
            const app = window.__slicewise, view = app.views[0];
            const out = new Uint8Array(view.size.rows * view.size.cols);
            app.labels.read(0, 0, view.whole, out);
            return out[row * view.size.cols + column];
        }""",
        [n + SIDE // 2 for n in spot],
    )


def test_a_key_accepts_and_another_rejects_one_place_after_another(page: Page) -> None:
    expect(page.get_by_text("These 3 places look like pit.")).to_be_visible()
    page.keyboard.press("Shift+J")
    expect(page.get_by_text("Place 1 of 3")).to_be_visible()
    wait_state(page, "state.mask")
    expect(page.get_by_role("button", name="Accept image")).to_be_hidden()  # the keys are about the place
    page.keyboard.press("Enter")
    expect(page.get_by_text("Place 2 of 3")).to_be_visible()
    until(lambda: said(page, SPOTS[0]) == 1)
    wait_state(page, "state.mask")
    page.keyboard.press("r")
    expect(page.get_by_text("Place 3 of 3")).to_be_visible()
    assert said(page, SPOTS[1]) == 0
    wait_state(page, "state.mask")
    page.get_by_role("button", name="Accept it").click()
    expect(page.get_by_text("Every place is judged. If nothing is missing, press K.")).to_be_visible()
    until(lambda: said(page, SPOTS[2]) == 1)
    expect(page.locator(".sw-link")).to_have_text("Saved")
    expect(page.get_by_label("Likely places")).to_be_hidden()
    expect(page.get_by_role("button", name="Accept image")).to_be_visible()
    page.keyboard.press("Control+z")
    until(lambda: said(page, SPOTS[2]) == 255)
    page.keyboard.press("Shift+J")
    expect(page.get_by_text("There are no places to judge")).to_be_visible()


def test_accepted_before_its_mask_has_come_a_place_is_not_lost_and_escape_ends(page: Page) -> None:
    while state(page)["canUndo"]:
        page.keyboard.press("Control+z")
        page.wait_for_timeout(50)
    expect(page.locator(".sw-link")).to_have_text("Saved")
    page.reload()
    expect(page.get_by_text("These 3 places look like pit.")).to_be_visible()
    page.keyboard.press("Shift+J")
    page.keyboard.press("y")
    expect(page.get_by_text("Place 2 of 3")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Look at them")).to_be_visible()
    until(lambda: said(page, SPOTS[0]) == 1)
    assert said(page, SPOTS[1]) == 255
