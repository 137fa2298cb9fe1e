"""A fill shows the numbers of labelled objects on every slice, and an accepted object keeps its own; in Chromium."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.page.canvas.test_proposed_objects import READ, at
from tests.page.test_workspace import until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
LEFT, RIGHT = (20, 20), (20, 36)  # places in the two objects on the slice shown, which touch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """On a volume of two columns that touch, numbered on its last slice."""
    folder = tmp_path_factory.mktemp("carried")
    store = Store(folder / "project")
    store.add_class("cell", "#22c55e")
    numbers = np.zeros((7, 60, 90), np.uint16)
    numbers[:, 12:30, 12:28], numbers[:, 12:30, 28:44] = 11, 12
    pixels = (60 + 90 * (numbers > 0)).astype(np.uint8)
    image = store.add_image(Scan("cells", pixels, None, None))
    patch = Patch(Box(0, 0, 60, 90), (numbers[6] > 0).astype(np.uint8), numbers[6])
    store.add_label(NewLabel(SliceRef(image, 0, 6), patch, "first", "ann"))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def test_what_was_numbered_on_one_slice_has_its_number_on_another(page: Page) -> None:
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.keyboard.press("Shift+Q")
    page.mouse.move(*at(page, LEFT))
    expect(page.locator(".sw-hover-label")).to_contain_text("object 11 of")
    page.mouse.move(*at(page, RIGHT))
    expect(page.locator(".sw-hover-label")).to_contain_text("object 12 of")
    shown = "window.__slicewise.views[0].index"
    assert page.evaluate(shown) != 6
    page.mouse.click(*at(page, RIGHT))
    read = READ.replace("read(0, 0,", f"read(0, {shown},").replace("Objects(0, 0,", f"Objects(0, {shown},")
    until(lambda: page.evaluate(read, RIGHT) == [1, 12])
    assert page.evaluate(read, LEFT)[0] == 255, "its neighbour is still proposed"
