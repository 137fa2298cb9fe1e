"""Proposals as a person meets them: a fill appears, is accepted, corrected, refined and taken back; in real Chromium."""

# ruff: noqa: F401, F811  (a fixture is imported, then named as an argument)

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import RunningServer, Watch, browser, page, server, watch
from tests.test_page import canvas_point, state, tab, wait_state

pytestmark = pytest.mark.browser
FILL_MS = 60_000


def saved(page: Page) -> None:
    expect(page.locator(".sw-link")).to_have_text("Saved")


def label_one(page: Page) -> None:
    """An object on the open slice; the rest of the volume is proposed by itself."""
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    wait_state(page, "state.mask")
    page.keyboard.press("Enter")
    saved(page)
    proposed(page)


def proposed(page: Page) -> None:
    """Wait until the fill has seen every label."""
    page.wait_for_function(
        """() => {
            const { proposal } = window.__slicewise.state;
            return proposal.shown && !proposal.shown.behind && !proposal.running;
        }""",
        timeout=FILL_MS,
    )


def labelled_voxels(page: Page, axis: int, index: int) -> int:
    return page.evaluate(
        """([axis, index]) => {
            const app = window.__slicewise, view = app.views[axis];
            const out = new Uint8Array(view.size.rows * view.size.cols);
            app.labels.read(axis, index, view.whole, out);
            return out.reduce((n, c) => n + (c < 254), 0);
        }""",
        [axis, index],
    )


def take_back_all(page: Page) -> None:
    """Leave the project to the next test as it was."""
    page.keyboard.press("Escape")
    while state(page)["canUndo"]:
        page.keyboard.press("Control+z")
        page.wait_for_timeout(50)
    saved(page)


def test_a_label_on_one_slice_is_proposed_on_its_neighbours_and_accepted_by_a_key(page: Page) -> None:
    expect(page.get_by_text("Label an object on one slice; the app proposes the rest.")).to_be_visible()
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("ArrowDown")
    wait_state(page, f"state.index === {index + 1} && state.proposal.here")
    page.mouse.move(*canvas_point(page, 0.34, 0.5))
    page.mouse.move(*canvas_point(page, 0.35, 0.5))
    expect(page.locator(".sw-hover-class")).to_have_text(re.compile(r"proposed: organ, \d+ %"))
    assert labelled_voxels(page, axis, index + 1) == 0
    page.keyboard.press("y")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on 1 slice"))).to_be_visible()
    assert labelled_voxels(page, axis, index + 1) > 100
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "([axis, index]) => window.__slicewise.states.get(axis, index) === null", arg=[axis, index + 1]
    )
    assert labelled_voxels(page, axis, index + 1) == 0
    take_back_all(page)


def test_a_range_is_accepted_and_taken_back_as_one(page: Page) -> None:
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("i")
    page.get_by_role("spinbutton", name="From slice").fill(str(index + 2))
    page.get_by_role("spinbutton", name="To slice").fill(str(index + 4))
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on 3 slices"))).to_be_visible()
    assert all(labelled_voxels(page, axis, index + k) > 100 for k in (1, 2, 3))
    proposed(page)
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "([axis, index]) => window.__slicewise.states.get(axis, index) === null", arg=[axis, index + 2]
    )
    assert not any(labelled_voxels(page, axis, index + k) for k in (1, 2, 3))
    take_back_all(page)


def test_only_what_is_sure_enough_is_accepted(page: Page) -> None:
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("ArrowDown")
    slider = page.get_by_role("slider", name="Least confidence of proposals")
    slider.fill("90")
    wait_state(page, "state.minConfidence === 0.9")
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press(",")
    wait_state(page, "state.minConfidence === 0.85")
    expect(page.locator(".sw-limit-value")).to_have_text("≥ 85 %")
    page.keyboard.press("y")
    expect(page.get_by_text(re.compile("Accepted"))).to_be_visible()
    rows, cols = page.evaluate("() => Object.values(window.__slicewise.views[0].size)")
    assert 100 < labelled_voxels(page, axis, index + 1) < rows * cols
    take_back_all(page)


def test_rejecting_says_background_and_hiding_shows_the_image_alone(page: Page) -> None:
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("h")
    wait_state(page, "!state.proposals")
    expect(page.get_by_role("button", name="Accept slice")).to_be_disabled()
    page.keyboard.press("h")
    page.keyboard.press("u")
    wait_state(page, "state.proposals && state.uncertainty")
    page.keyboard.press("r")
    saved(page)
    assert labelled_voxels(page, axis, index + 1) > 100
    proposed(page)
    take_back_all(page)


def test_one_shift_click_refines_a_proposal_into_a_label(page: Page) -> None:
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("ArrowDown")
    wait_state(page, "state.proposal.here")
    page.keyboard.down("Shift")
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    page.keyboard.up("Shift")
    wait_state(page, "state.mask && state.prompts === 2")
    before = labelled_voxels(page, axis, index + 1)
    page.keyboard.press("Enter")
    saved(page)
    assert labelled_voxels(page, axis, index + 1) > before
    take_back_all(page)


def test_j_goes_to_the_slice_worth_labelling_and_says_why(page: Page) -> None:
    label_one(page)
    page.wait_for_function("() => window.__slicewise.state.proposal.next?.axis !== null")
    page.keyboard.press("j")
    expect(page.locator(".sw-toast", has_text=re.compile("slice \\d+: "))).to_be_visible()
    now = state(page)
    assert (now["axis"], now["index"]) == (now["proposal"]["next"]["axis"], now["proposal"]["next"]["index"])
    marked = page.get_by_role("slider", name=re.compile(" slice$")).nth(now["axis"])
    expect(marked).to_have_attribute("aria-valuetext", re.compile("is worth labelling next"))
    take_back_all(page)
