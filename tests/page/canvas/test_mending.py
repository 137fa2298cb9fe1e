"""A wrong part of a proposal is mended in the volume by one Shift+click; in Chromium, on a real server."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect
from scipy.ndimage import gaussian_filter

from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store
from tests.page.test_proposals import labelled_voxels, saved
from tests.page.test_workspace import state, until, wait_state
from tests.support.chromium import RunningServer, start_server

pytestmark = pytest.mark.browser
SHAPE = (24, 60, 72)
MIDDLE = 12


def volume() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One bright ellipsoid off the centre in noise, and its truth."""
    grid = np.indices(SHAPE)
    parts = [(g - m) / r for g, m, r in zip(grid, (12, 28, 30), (9, 16, 20))]
    truth = (sum(part**2 for part in parts) < 1).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)
    image = gaussian_filter(np.array([60.0, 150.0])[truth], 0.6) + noise
    return image.clip(0, 255).astype(np.uint8), truth


def proposal(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Its left third is missing, and something below it is too much."""
    out = truth.copy()
    out[:, :, :22] = 0
    out[8:17, 40:52, 30:44] = 1
    return out


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One on a project of one volume with a learner's proposal."""
    folder = tmp_path_factory.mktemp("mending")
    store = Store(folder / "project")
    store.add_class("organ", "#22c55e")
    image, truth = volume()
    marks = (("S", "I"), ("A", "P"), ("R", "L"))
    image_id = store.add_image(Scan("volume", image, spacing_mm=(1.0, 1.0, 1.0), marks=marks))
    classes = proposal(truth)
    sure = np.full(SHAPE, 200, np.uint8)
    store.predictions.add(NewPrediction(image_id, "atlas", "predicted", 0, classes, sure))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def shift_click(page: Page, row: int, column: int, index: int = MIDDLE) -> None:
    page.evaluate("index => window.__slicewise.gotoSlice(0, index)", index)
    wait_state(page, f"state.index === {index} && state.proposal.here && !state.proposal.late")
    x, y = page.evaluate(
        """([row, column]) => {
            const view = window.__slicewise.views[0], b = view.overlay.getBoundingClientRect();
            const p = view.camera.toScreen(row, column);
            return [b.left + p.x / view.camera.dpr, b.top + p.y / view.camera.dpr];
        }""",
        [row, column],
    )
    page.keyboard.down("Shift")
    page.mouse.click(x, y)
    page.keyboard.up("Shift")


def proposed(page: Page, index: int) -> NDArray[np.uint8]:
    """(rows, columns) of what an axial slice is proposed to be, on screen."""
    flat = page.evaluate(
        """index => {
            const app = window.__slicewise;
            return [...app.proposals.slice(0, index, app.views[0].whole).classes];
        }""",
        index,
    )
    return np.array(flat, np.uint8).reshape(SHAPE[1:])


def wrong(page: Page, index: int) -> int:
    return int((proposed(page, index) != volume()[1][index]).sum())


def picture(page: Page, name: str) -> None:
    """For a person to look at, where SLICEWISE_PICTURES names a folder."""
    if folder := os.environ.get("SLICEWISE_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_missing_piece_is_seen_in_every_plane_accepted_by_enter_and_undone(page: Page) -> None:
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    before = {z: wrong(page, z) for z in (MIDDLE - 3, MIDDLE, MIDDLE + 3)}
    assert min(before.values()) > 100
    shift_click(page, 28, 15)
    wait_state(page, "state.mask?.mends?.slices > 3")
    expect(page.get_by_role("group", name="Mask")).to_contain_text("Add to organ on")
    picture(page, "missing")
    shown = {z: wrong(page, z) for z in before}
    assert all(shown[z] < 0.8 * before[z] for z in before), (before, shown)
    page.keyboard.press("y")  # meant for a proposal: nothing happens while a mask is open
    page.keyboard.press("Enter")
    saved(page)
    wait_state(page, "state.proposal.shown?.id > 1 && !state.proposal.late && !state.proposal.running")
    until(lambda: {z: wrong(page, z) for z in before} == shown)
    assert 0 < labelled_voxels(page, 0, MIDDLE) < 900 and labelled_voxels(page, 0, MIDDLE + 3) == 0
    picture(page, "accepted")
    page.keyboard.press("Control+z")
    until(lambda: {z: wrong(page, z) for z in before} == before)
    assert labelled_voxels(page, 0, MIDDLE) == 0


def test_a_spill_is_taken_off_and_escape_puts_it_back(page: Page) -> None:
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    before = {z: wrong(page, z) for z in (MIDDLE - 2, MIDDLE, MIDDLE + 2)}
    shift_click(page, 47, 37)
    wait_state(page, "state.mask?.mends?.slices > 2")
    expect(page.get_by_role("group", name="Mask")).to_contain_text("Take off organ on")
    picture(page, "spill")
    assert all(wrong(page, z) < before[z] for z in before)
    page.keyboard.press("Escape")
    assert {z: wrong(page, z) for z in before} == before and state(page)["mask"] is None
    assert labelled_voxels(page, 0, MIDDLE) == 0


def test_shift_o_asks_for_new_outlines_and_the_button_says_how_far_they_are(page: Page) -> None:
    wait_state(page, "state.proposal.shown && !state.proposal.late")
    button = page.get_by_title("The prompt model draws the outlines")
    expect(button).to_contain_text("Redraw")
    page.keyboard.press("Shift+O")
    wait_state(page, "state.proposal.redrawing !== null")
    expect(button).to_be_disabled()
    expect(button).to_contain_text("%")
