"""A server for whole volumes in the page: the object in all planes, accepted as one, and what is said when it dies."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from storage.store import Store
from tests.conftest import ball
from tests.page.test_workspace import tab, wait_state
from tests.support.chromium import RunningServer, start_server
from tests.support.volume_servers import Served, dialect_server

pytestmark = pytest.mark.browser

BALL, TRUTH = ball((12, 33, 39))
Z, Y, X = (int(v) for v in np.argwhere(TRUTH > 0).mean(axis=0))
HEAR = """() => {
    window.heard = [];
    const note = () => document.querySelectorAll(".sw-toast").forEach((one) => heard.push(one.textContent));
    new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
}"""  # messages leave by themselves, so they are kept
WHOLE = "state.mask && state.whole !== null && !state.waiting"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Our own dialect of nnInteractive, on a socket of its own."""
    with dialect_server(tmp_path_factory.mktemp("other")) as served:
        yield served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, other: Served) -> Iterator[RunningServer]:
    """One volume, one class, and the address of the other server."""
    folder = tmp_path_factory.mktemp("volumes")
    store = Store(folder / "project")
    store.add_class("organ")
    store.add_image(BALL)
    store.close()
    running = start_server(folder, "--project", "project", "--no-fill", "--nninteractive", other.address)
    yield running
    running.stop()


def click(page: Page, axis: int, at: tuple[int, int]) -> None:
    """On a row and a column of the slice that is open in a plane."""
    x, y = page.evaluate(
        """([axis, [row, col]]) => {
            const view = window.__slicewise.views[axis];
            const { x, y } = view.camera.toScreen(row, col);
            const box = view.host.querySelector("canvas").getBoundingClientRect();
            return [box.x + x / view.camera.dpr, box.y + y / view.camera.dpr];
        }""",
        [axis, at],
    )
    page.mouse.click(x, y)


def open_at(page: Page, axis: int, index: int) -> None:
    page.evaluate("([axis, index]) => window.__slicewise.gotoSlice(axis, index)", [axis, index])
    wait_state(page, f"state.cursor[{axis}] === {index} && state.editable")


def offered(page: Page, axis: int) -> int:
    """Pixels of the object on the slice that is open in a plane."""
    return page.evaluate(
        "axis => window.__slicewise.views[axis].candidate?.mask.reduce((n, on) => n + on, 0) ?? 0", axis
    )


def choose(page: Page) -> None:
    tab(page, "Model")
    card = page.locator(".sw-model", has=page.locator("b", has_text="nnInteractive at 127.0.0.1"))
    badge = card.locator(".sw-badge")
    expect(badge).to_have_text(re.compile("ready|chosen"))
    if badge.inner_text() == "ready":
        card.get_by_role("button", name="Use this model").click()
    expect(badge).to_have_text("chosen")
    expect(card.locator(".sw-speed")).to_be_hidden()
    for axis, index in enumerate((Z, Y, X)):
        open_at(page, axis, index)


def test_an_object_is_shown_in_all_planes_corrected_accepted_and_undone(page: Page) -> None:
    choose(page)
    click(page, 0, (Y, X))
    wait_state(page, f"{WHOLE} && state.model === 'nninteractive'")
    expect(page.get_by_role("group", name="Mask")).to_contain_text(
        re.compile(r"Object in the volume, [\d,]+ voxels")
    )
    assert all(offered(page, axis) > 10 for axis in (0, 1, 2))
    first = page.evaluate("() => window.__slicewise.state.whole")
    click(page, 1, (Z, X + 2))  # in another plane: the same object
    wait_state(page, f"{WHOLE} && state.axis === 1 && state.prompts === 1")
    page.keyboard.press("Control+z")
    wait_state(page, f"{WHOLE} && state.prompts === 0 && state.whole === {first}")
    page.keyboard.press("Control+z")  # the last one: nothing is on offer any more
    wait_state(page, "!state.mask && state.whole === null")
    click(page, 0, (Y, X))
    wait_state(page, f"{WHOLE} && state.whole === {first}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Mask")).to_be_hidden()
    wait_state(page, "state.rev > 0 && !state.mask")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    wait_state(page, "state.canUndo")
    page.wait_for_function("() => window.__slicewise.states.of(0).length > 3")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => window.__slicewise.states.of(0).length === 0")
    expect(page.locator(".sw-link")).to_have_text("Saved")


def test_escape_drops_it_everywhere(page: Page) -> None:
    choose(page)
    click(page, 0, (Y, X))
    wait_state(page, WHOLE)
    open_at(page, 0, Z + 1)
    wait_state(page, WHOLE)
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("Escape")
    wait_state(page, "!state.mask")
    assert not any(offered(page, axis) for axis in (0, 1, 2))


def test_when_the_server_dies_the_page_says_so_and_the_object_stays(page: Page, other: Served) -> None:
    choose(page)
    click(page, 0, (Y, X))
    wait_state(page, f"{WHOLE} && state.model === 'nninteractive'")
    page.evaluate(HEAR)
    other.stop()
    click(page, 0, (Y, X + 2))
    wait_state(page, f"{WHOLE} && state.model === 'builtin' && state.prompts === 2")
    lost = "nnInteractive at 127.0.0.1 cannot be reached, so the built-in model answered"
    page.wait_for_function("lost => window.heard.some((text) => text.includes(lost))", arg=lost)
    expect(page.locator(".sw-why")).to_contain_text("tries again by itself")
    assert offered(page, 1) > 10  # what was there in the other planes
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("Enter")
    wait_state(page, "!state.mask && state.rev > 0")
    page.wait_for_function("() => window.__slicewise.states.of(0).length > 3")
    expect(page.locator(".sw-link")).to_have_text("Saved")
