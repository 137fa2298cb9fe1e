"""Find objects: from an empty picture to proposals of its objects by one key; in Chromium, with the built-in model."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from storage.scan import Scan
from storage.store import Store
from tests.models.test_automatic_masks import DISCS, picture
from tests.page.test_end_to_end import ON_SCREEN
from tests.page.test_workspace import until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("SLICEWISE_PICTURES")  # a folder for screenshots
LABELLED = """() => {
    const app = window.__slicewise, view = app.views[0], size = view.size.rows * view.size.cols;
    const [classes, objects] = [new Uint8Array(size), new Uint16Array(size)];
    app.labels.read(0, 0, view.whole, classes);
    app.labels.readObjects(0, 0, view.whole, objects);
    return [[...classes], [...objects]];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One on a picture of four discs and a volume; nothing is labelled."""
    folder = tmp_path_factory.mktemp("find")
    store = Store(folder / "project")
    store.add_class("cell", "#22c55e")
    pixels, _ = picture()
    store.add_image(Scan("discs", np.ascontiguousarray(pixels[None, ..., 0]), None, None))
    store.add_image(Scan("volume", np.zeros((4, 20, 20), np.uint8), None, None))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


@pytest.mark.thorough
def test_a_key_proposes_the_objects_of_a_picture_and_they_are_accepted(page: Page) -> None:
    _, numbers = picture()
    page.get_by_label("Number every object").check()
    page.keyboard.press("Shift+F")
    bar = page.get_by_role("region", name="Objects")
    expect(bar.get_by_role("button", name="Find objects")).to_be_enabled(timeout=200_000)
    wait_state(page, "state.proposal.shown?.producer === 'automatic_masks' && !state.proposal.late", 200_000)
    expect(page.get_by_label("Source of the proposals")).to_contain_text("Automatic masks")
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/objects-found.png")
    page.keyboard.press("y")
    expect(page.get_by_text("press Ctrl+Z to undo")).to_be_visible()
    until(lambda: 1 in page.evaluate(LABELLED)[0])
    classes, objects = (np.reshape(values, numbers.shape) for values in page.evaluate(LABELLED))
    for row, column, _ in DISCS:
        assert classes[row, column] == 1 and objects[row, column] > 0
    assert set(np.unique(classes)) == {1, 255}, "what is no object stays unlabelled"
    assert 2 * (classes == 1)[numbers > 0].sum() / ((classes == 1).sum() + (numbers > 0).sum()) > 0.9


def test_a_volume_says_what_to_do_instead(page: Page) -> None:
    page.keyboard.press("n")
    wait_state(page, "state.image === 2 && state.editable")
    page.keyboard.press("Shift+F")
    expect(page.get_by_text("This is for pictures; in a volume label one slice")).to_be_visible()


def test_with_each_click_accepted_at_once_two_objects_take_two_clicks(page: Page) -> None:
    page.get_by_label("Accept each click at once").check()
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/at-once.png")
    for row, column, _ in DISCS[:2]:
        at = page.evaluate(ON_SCREEN, {"axis": 0, "row": row, "col": column})
        page.mouse.click(at["x"], at["y"])
    _, numbers = picture()
    there = [numbers == number for number in (1, 2)]
    until(lambda: all((labelled(page)[mask] == 1).mean() > 0.8 for mask in there))
    expect(page.locator(".sw-link")).to_have_text("Saved")
    for _ in there:
        page.keyboard.press("Control+z")
    until(lambda: not (labelled(page) == 1).any())


def labelled(page: Page) -> NDArray[np.int64]:
    """(Y, X) classes of the picture."""
    return np.reshape(page.evaluate(LABELLED)[0], picture()[1].shape)
