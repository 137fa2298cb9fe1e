"""Objects that touch and that a learner told apart: each is shown, hovered, accepted and rejected by itself."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store
from tests.page.test_end_to_end import ON_SCREEN
from tests.page.test_workspace import until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
SHAPE = (1, 60, 90)
LEFT, RIGHT, ALONE = (20, 20), (20, 35), (20, 70)  # places in the three objects, of which two touch
READ = """([row, col]) => {
    const app = window.__slicewise, view = app.views[0], count = view.size.rows * view.size.cols;
    const one = row * view.size.cols + col;
    const classes = app.labels.read(0, 0, view.whole, new Uint8Array(count));
    return [classes[one], app.labels.readObjects(0, 0, view.whole, new Uint16Array(count))[one]];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("apart")
    store = Store(folder / "project")
    store.add_class("cell", "#22c55e")
    classes, objects = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint16)
    for number, columns in ((300, slice(12, 28)), (2, slice(28, 44)), (7, slice(62, 78))):
        classes[0, 12:30, columns], objects[0, 12:30, columns] = 1, number
    pixels = (60 + 90 * classes).astype(np.uint8)
    image = store.add_image(Scan("cells", pixels, None, None))
    sure = np.full(SHAPE, 240, np.uint8)
    store.predictions.add(NewPrediction(image, "objects", "predicted", 0, classes, sure, objects=objects))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def at(page: Page, place: tuple[int, int]) -> tuple[float, float]:
    found = page.evaluate(ON_SCREEN, {"axis": 0, "row": place[0], "col": place[1]})
    return found["x"], found["y"]


def test_of_two_that_touch_one_click_takes_one(page: Page) -> None:
    page.get_by_label("Number every object").check()
    page.keyboard.press("Shift+Q")
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.mouse.move(*at(page, LEFT))
    expect(page.locator(".sw-hover-label")).to_contain_text("object 300 of 288 pixels")
    page.mouse.move(*at(page, RIGHT))
    expect(page.locator(".sw-hover-label")).to_contain_text("object 2 of 288 pixels")

    page.mouse.click(*at(page, LEFT))
    until(lambda: page.evaluate(READ, LEFT)[0] == 1)
    assert page.evaluate(READ, RIGHT)[0] == 255, "its neighbour is still proposed"
    page.mouse.click(*at(page, RIGHT))
    until(lambda: page.evaluate(READ, RIGHT)[0] == 1)
    left, right = page.evaluate(READ, LEFT)[1], page.evaluate(READ, RIGHT)[1]
    assert left and right and left != right

    page.mouse.click(*at(page, ALONE), button="right")
    until(lambda: page.evaluate(READ, ALONE)[0] == 0)


def test_all_at_once_are_numbered_as_they_were_told_apart(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("Control+z")
    until(lambda: page.evaluate(READ, LEFT)[0] == 255 and page.evaluate(READ, ALONE)[0] == 255)
    page.get_by_label("Number every object").check()
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.keyboard.press("y")
    until(lambda: page.evaluate(READ, ALONE)[0] == 1)
    numbers = [page.evaluate(READ, place)[1] for place in (LEFT, RIGHT, ALONE)]
    assert 0 not in numbers and len(set(numbers)) == 3


def test_a_class_of_objects_is_numbered_by_itself_and_an_area_is_not(page: Page) -> None:
    page.keyboard.press("Control+z")
    until(lambda: page.evaluate(READ, LEFT)[0] == 255)
    page.get_by_label("Number every object").uncheck()
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.keyboard.press("Shift+Q")
    page.mouse.click(*at(page, LEFT))
    until(lambda: page.evaluate(READ, LEFT) == [1, 0])

    page.get_by_role("button", name="cell is objects").click()
    wait_state(page, "state.classes.some(c => c.name === 'cell' && c.objects)")
    page.mouse.click(*at(page, RIGHT))
    until(lambda: page.evaluate(READ, RIGHT)[0] == 1 and page.evaluate(READ, RIGHT)[1] > 0)

    page.get_by_role("button", name="Add a class").click()
    page.keyboard.type("spot")
    page.get_by_role("button", name="New class is objects").click()
    page.keyboard.press("Enter")
    wait_state(page, "state.classes.some(c => c.name === 'spot' && c.objects)")
