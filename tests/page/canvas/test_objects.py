"""The object tool: proposed objects accepted and rejected, labelled ones merged, split, deleted; in Chromium."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from storage.arrays import UNLABELLED
from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store
from tests.page.test_end_to_end import ON_SCREEN
from tests.page.test_workspace import until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
SHAPE = (1, 80, 120)
SIDE = 12
SPOTS = [(10, 10), (10, 40), (10, 70), (50, 10), (50, 40)]  # row and column of each square's corner
PICTURES = os.environ.get("SLICEWISE_PICTURES")  # a folder for screenshots


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One on a picture of five squares, all of them proposed, and on another one of which one is."""
    folder = tmp_path_factory.mktemp("objects")
    store = Store(folder / "project")
    store.add_class("cell", "#22c55e")
    store.add_class("debris", "#f97316")
    squares = np.zeros(SHAPE, np.uint8)
    for row, column in SPOTS:
        squares[0, row : row + SIDE, column : column + SIDE] = 1
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    pixels = (60 + 90 * squares + noise).astype(np.uint8)
    image = store.add_image(Scan("cells", pixels, None, None))
    sure = np.full(SHAPE, 255, np.uint8)
    for spot, value in zip(SPOTS, (200, 250, 240, 150, 220)):
        sure[0, spot[0] : spot[0] + SIDE, spot[1] : spot[1] + SIDE] = value
    store.predictions.add(NewPrediction(image, "supervised", "predicted", 0, squares, sure))
    more = store.add_image(Scan("more cells", 255 - pixels, None, None))
    single = squares.copy()
    single[:, :, 30:] = single[:, 40:] = 0
    store.predictions.add(NewPrediction(more, "supervised", "predicted", 0, single, sure))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def at(page: Page, spot: tuple[int, int], offset: float = 0) -> tuple[float, float]:
    """The place of a square's middle on screen, or of one so many pixels right of it."""
    middle = {"axis": 0, "row": spot[0] + SIDE / 2, "col": spot[1] + SIDE / 2 + offset}
    found = page.evaluate(ON_SCREEN, middle)
    return found["x"], found["y"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], *, button: str = "left") -> None:
    page.mouse.move(*start)
    page.mouse.down(button=button)  # type: ignore[arg-type]
    page.mouse.move(*[(a + b) / 2 for a, b in zip(start, end)])
    page.mouse.move(*end)
    page.mouse.up(button=button)  # type: ignore[arg-type]


def read(page: Page, what: str) -> NDArray[np.int64]:
    """(rows, columns) of the picture's classes or object numbers, as the page has them."""
    values = page.evaluate(
        """(what) => {
            const app = window.__slicewise, view = app.views[0], count = view.size.rows * view.size.cols;
            if (what === "read") app.labels.read(0, 0, view.whole, (window.out = new Uint8Array(count)));
            else app.labels.readObjects(0, 0, view.whole, (window.out = new Uint16Array(count)));
            return [...window.out];
        }""",
        what,
    )
    return np.reshape(values, SHAPE[1:])


def said(page: Page, *, numbers: bool = False) -> list[int]:
    """Class or object number in the middle of each square; 255 where nobody spoke."""
    values = read(page, "readObjects" if numbers else "read")
    return [int(values[row + SIDE // 2, column + SIDE // 2]) for row, column in SPOTS]


def under(page: Page) -> list[object] | None:
    """Class, object number, size and whether it is only proposed: of what is outlined under the pointer."""
    found: list[object] | None = page.evaluate(
        """() => {
            const one = window.__slicewise.toolbox.tools.objects.under;
            return one && [one.classId, one.object, one.mask.reduce((a, b) => a + b, 0), one.proposed];
        }"""
    )
    return found


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/objects-{name}.png")


def test_objects_are_accepted_merged_split_and_deleted_each_by_one_act(page: Page) -> None:
    bar = page.get_by_role("region", name="Objects")
    page.get_by_label("Number every object").check()
    page.keyboard.press("Shift+Q")
    expect(bar).to_contain_text("Click a proposed object to accept it")
    wait_state(page, "state.proposal.shown && !state.proposal.late")

    page.mouse.click(*at(page, SPOTS[0]))
    until(lambda: said(page) == [1, 255, 255, 255, 255])
    page.mouse.click(*at(page, SPOTS[4]), button="right")
    until(lambda: said(page) == [1, 255, 255, 255, 0])
    drag(page, at(page, SPOTS[1], -12), at(page, SPOTS[2], 12))
    until(lambda: said(page) == [1, 1, 1, 255, 0])
    first, second, third = said(page, numbers=True)[:3]
    assert len({first, second, third}) == 3, "each accepted object has a number of its own"
    page.keyboard.press("Control+z")
    until(lambda: said(page) == [1, 255, 255, 255, 0])
    page.keyboard.press("Control+y")
    until(lambda: said(page) == [1, 1, 1, 255, 0])

    page.mouse.click(*at(page, SPOTS[0]))
    expect(bar).to_contain_text(f"cell #{first}, {SIDE * SIDE} pixels")
    page.mouse.click(*at(page, SPOTS[1]))
    expect(bar).to_contain_text("2 objects are selected")
    picture(page, "two")
    page.keyboard.press("Enter")
    until(lambda: said(page, numbers=True)[:2] == [min(first, second)] * 2)
    page.mouse.move(*at(page, SPOTS[0]))
    expect(page.locator(".sw-hover-label")).to_contain_text(
        f"cell #{min(first, second)}, {2 * SIDE**2} pixels"
    )
    page.mouse.click(*at(page, SPOTS[0]))
    page.keyboard.press("Shift+G")
    expect(page.get_by_text("there are no holes in what is selected")).to_be_visible()
    page.mouse.click(*at(page, SPOTS[0]))
    page.keyboard.press("Shift+S")
    until(lambda: len(set(said(page, numbers=True)[:2])) == 2)
    page.keyboard.press("Control+z")
    until(lambda: said(page, numbers=True)[:2] == [min(first, second)] * 2)

    page.mouse.click(*at(page, SPOTS[2]))
    expect(bar).to_contain_text("Drag a line across it")
    x, y = at(page, SPOTS[2], 2)
    drag(page, (x, y - 90), (x, y + 90))
    row, column = SPOTS[2]
    until(
        lambda: (
            read(page, "readObjects")[row + 3, column + 1] != read(page, "readObjects")[row + 3, column + 11]
        )
    )
    assert said(page, numbers=True)[2] == third, "the larger part keeps its number"
    page.keyboard.press("Control+z")
    until(lambda: len(set(read(page, "readObjects")[row + 3, column : column + SIDE].tolist())) == 1)
    drag(page, (x, y - 90), (x, y + 90))
    until(lambda: len(set(read(page, "readObjects")[row + 3, column : column + SIDE].tolist())) == 2)
    assert said(page, numbers=True)[2] == third, "a line alone cuts what it crosses, without a click before"

    page.mouse.click(*at(page, SPOTS[2]))
    page.keyboard.press("2")
    expect(bar.get_by_role("button", name="Make it debris")).to_be_visible()
    picture(page, "class")
    page.keyboard.press("Enter")
    until(lambda: said(page)[2] == 2)

    page.mouse.click(*at(page, SPOTS[2]))
    page.keyboard.press("Delete")
    until(lambda: said(page)[2] == 255)
    assert said(page)[:2] == [1, 1], "Del takes the object alone, not the slice"
    page.keyboard.press("Control+z")
    until(lambda: said(page)[2] == 2)
    expect(page.get_by_text("Undone: the deleting of objects")).to_be_visible()


def test_tab_walks_from_the_least_certain_object_to_the_next_and_y_and_r_judge_it(page: Page) -> None:
    page.reload()
    wait_state(page, "state.proposal.shown && !state.proposal.late && state.editable")
    while page.evaluate("() => window.__slicewise.state.canUndo"):
        page.keyboard.press("Control+z")
        page.wait_for_timeout(50)
    expect(page.locator(".sw-link")).to_have_text("Saved")
    until(lambda: said(page) == [255] * 5)
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    bar = page.get_by_role("region", name="Objects")
    page.keyboard.press("Shift+Q")
    page.keyboard.press("Tab")
    expect(bar).to_contain_text(f"Object 1 of 5, the least certain first: cell, {SIDE * SIDE} pixels.")
    expect(page.get_by_role("button", name="Accept image")).to_be_hidden()
    picture(page, "judged")
    page.keyboard.press("y")
    until(lambda: said(page) == [255, 255, 255, 1, 255])
    expect(bar).to_contain_text("the least certain first")
    page.keyboard.press("r")
    until(lambda: said(page) == [0, 255, 255, 1, 255])
    page.keyboard.press("Tab")
    bar.get_by_role("button", name="Accept it").click()
    until(lambda: said(page) == [0, 255, 1, 1, 255])
    page.keyboard.press("Escape")
    expect(bar).to_contain_text("Click a proposed object")
    expect(page.get_by_role("button", name="Accept image")).to_be_visible()


def test_the_outline_under_a_resting_pointer_follows_every_act_and_holes_are_filled(page: Page) -> None:
    spot = SPOTS[1]
    page.keyboard.press("Shift+Q")
    page.mouse.click(*at(page, spot))
    until(lambda: under(page) == [1, said(page, numbers=True)[1], SIDE * SIDE, False])
    page.keyboard.press("Control+z")
    until(lambda: under(page) == [1, 0, SIDE * SIDE, True])
    page.mouse.click(*at(page, spot), button="right")
    until(lambda: said(page)[1] == 0 and under(page) is None)
    page.keyboard.press("Control+z")
    until(lambda: under(page) == [1, 0, SIDE * SIDE, True])
    page.mouse.click(*at(page, spot))
    until(lambda: said(page)[1] == 1)

    page.keyboard.press("e")
    for _ in range(5):
        page.keyboard.press("[")
    page.mouse.click(*at(page, spot))
    until(lambda: said(page)[1] == UNLABELLED)
    hole = int((read(page, "read")[spot[0] :, spot[1] :][:SIDE, :SIDE] == UNLABELLED).sum())
    assert 0 < hole < SIDE * SIDE
    page.keyboard.press("Shift+Q")
    edge = (spot[0] + 1 - SIDE // 2, spot[1] + 1 - SIDE // 2)
    page.mouse.click(*at(page, edge))
    until(lambda: (under(page) or [0, 0, 0])[2] == SIDE * SIDE - hole)
    page.keyboard.press("Shift+G")
    until(lambda: said(page)[1] == 1)
    until(lambda: (under(page) or [0, 0, 0])[2] == SIDE * SIDE)


def test_a_locked_class_and_an_empty_place_are_told(page: Page) -> None:
    page.keyboard.press("Shift+Q")
    page.mouse.click(*at(page, (30, 100)))
    expect(page.get_by_text("There is no object; click a proposed or a labelled one.")).to_be_visible()
    page.mouse.click(*at(page, SPOTS[3]))
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Objects")).to_contain_text("Click a proposed object")
    page.get_by_role("button", name="Lock cell").click()
    page.mouse.click(*at(page, SPOTS[3]))
    page.keyboard.press("Delete")
    expect(page.get_by_text("The class “cell” is locked")).to_be_visible()
    assert said(page)[3] == 1


def test_sliders_hide_the_least_certain_and_the_small_and_what_is_hidden_is_not_accepted(page: Page) -> None:
    for _ in range(20):
        page.keyboard.press("Control+z")
    until(lambda: (read(page, "read") == UNLABELLED).all())
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.keyboard.press("Shift+Q")
    page.mouse.move(*at(page, SPOTS[2]))
    expect(page.locator(".sw-hover-label")).to_contain_text("144 pixels, surer than 3 of 4 others")
    size, certain = page.get_by_label("Hide small objects"), page.get_by_label("Hide the least certain")
    size.fill("10")
    expect(page.locator(".sw-objects [role=status]")).to_contain_text("5 of 5 objects are shown")
    size.fill("11")
    expect(page.locator(".sw-objects [role=status]")).to_contain_text("0 of 5 objects are shown")
    size.fill("0")
    certain.fill("40")
    expect(page.locator(".sw-objects [role=status]")).to_contain_text("3 of 5 objects are shown")
    page.keyboard.press("Shift+Y")
    expect(page.locator(".sw-toast").last).to_contain_text("hidden by your limits")
    page.keyboard.press("y")
    until(lambda: (read(page, "read") == 1).sum() == 3 * SIDE * SIDE)
    labels = read(page, "read")
    for spot, value in zip(SPOTS, (UNLABELLED, 1, 1, UNLABELLED, 1)):
        assert labels[spot[0] + 5, spot[1] + 5] == value
    page.keyboard.press("b")  # with another tool nothing is hidden
    assert page.evaluate("window.__slicewise.state.limits") is None


def test_tab_goes_from_the_last_object_to_the_next_image(page: Page) -> None:
    page.keyboard.press("Shift+Q")
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    bar, toast = page.get_by_role("region", name="Objects"), page.locator(".sw-toast").last
    for number in (1, 2):
        page.keyboard.press("Tab")
        expect(bar).to_contain_text(f"Object {number} of 2, the least certain first")
    page.keyboard.press("Tab")
    expect(toast).to_contain_text("That was the last object here. Tab opens the next proposed image.")
    page.keyboard.press("Tab")
    expect(toast).to_contain_text("more cells: Tab shows its least certain object.")
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    page.keyboard.press("Tab")
    expect(bar).to_contain_text("Object 1 of 1, the least certain first")
    page.keyboard.press("r")
    expect(toast).to_contain_text("No object is left to judge here. Tab opens the next proposed image.")
    page.keyboard.press("Tab")
    expect(toast).to_contain_text("No other image has proposals that you have not seen.")
