"""Labels taken back in one act as a person does it: a slice, an image, what was accepted; in Chromium."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from storage.store import Store
from tests.conftest import ball
from tests.page.test_proposals import labelled_voxels, proposed, saved
from tests.page.test_workspace import canvas_point, state, until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One volume of nine slices, so that fills take no time."""
    folder = tmp_path_factory.mktemp("clearing")
    store = Store(folder / "project")
    store.add_class("one")
    store.add_image(ball()[0])
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


@pytest.fixture
def labelled(page: Page) -> tuple[int, int]:
    """A stroke on the middle slice, and the fill that follows; the slice's axis and index."""
    page.keyboard.press("b")
    page.mouse.click(*canvas_point(page, 0.4, 0.42))
    saved(page)
    proposed(page)
    return state(page)["axis"], state(page)["index"]


def test_a_slice_and_an_image_are_cleared_by_a_key_and_brought_back(
    page: Page, labelled: tuple[int, int]
) -> None:
    before = labelled_voxels(page, *labelled)
    for key in ("Delete", "Shift+Delete"):
        page.keyboard.press(key)
        cleared = page.get_by_text("Cleared 1 label on 1 slice; press Ctrl+Z to bring them back.")
        expect(cleared.first).to_be_visible()
        until(lambda: labelled_voxels(page, *labelled) == 0)
        expect(page.locator(".sw-top .sw-image-state")).to_have_text("to do")
        page.keyboard.press("Control+z")
        expect(page.get_by_text(re.compile(r"Undone: the clearing on axial slice \d+")).first).to_be_visible()
        until(lambda: labelled_voxels(page, *labelled) == before)
    page.keyboard.press("Control+z")
    expect(page.get_by_text("Undone: a drawing on axial slice 5.")).to_be_visible()
    expect(page.locator(".sw-top .sw-image-state")).to_have_text("to do")


def test_after_all_is_accepted_a_correction_fills_the_rest_anew(
    page: Page, labelled: tuple[int, int]
) -> None:
    axis, index = labelled
    page.keyboard.press("Shift+Y")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on \d+ slices"))).to_be_visible()
    refill = page.get_by_role("button", name="Refill")
    expect(refill).to_be_visible()
    expect(page.locator(".sw-top .sw-image-state")).to_have_text("done")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("0")
    page.mouse.click(*canvas_point(page, 0.4, 0.42))
    saved(page)
    refill.click()
    proposed(page)
    until(lambda: 0 < labelled_voxels(page, axis, index + 1) < 17 * 23)  # the correction alone is left
    wait_state(page, "state.proposal.here")
    page.keyboard.press("Shift+Y")
    expect(refill).to_be_visible()
    page.keyboard.press("Shift+Delete")
    expect(page.locator(".sw-top .sw-image-state")).to_have_text("to do")
