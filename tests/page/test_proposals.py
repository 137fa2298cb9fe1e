"""Proposals as a person meets them: a fill appears, is accepted, corrected, refined and taken back; in Chromium."""

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.page.test_workspace import canvas_point, state, tab, until, wait_state
from tests.support.chromium import RunningServer, new_context, open_page

pytestmark = pytest.mark.browser
FILL_MS = 60_000


def saved(page: Page) -> None:
    expect(page.locator(".sw-link")).to_have_text("Saved")


def label_one(page: Page) -> None:
    """An object on the open slice; the rest of the volume is proposed by itself."""
    before = state(page)["rev"]
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    wait_state(page, "state.mask")
    page.keyboard.press("Enter")
    wait_state(page, f"state.rev > {before}")  # until then, "Saved" is about what was before
    saved(page)
    proposed(page)


def proposed(page: Page) -> None:
    """Wait until the fill has seen every label, and the page shows it."""
    wait_state(
        page,
        "state.proposal.shown?.rev >= state.rev && !state.proposal.shown.behind"
        " && !state.proposal.running && !state.proposal.late",
        FILL_MS,
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
    expect(page.locator(".sw-hover-class")).to_have_text("proposed: organ")
    assert labelled_voxels(page, axis, index + 1) == 0
    page.keyboard.press("y")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on 1 slice"))).to_be_visible()
    until(lambda: labelled_voxels(page, axis, index + 1) > 100)
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "([axis, index]) => window.__slicewise.states.get(axis, index) === null", arg=[axis, index + 1]
    )
    assert labelled_voxels(page, axis, index + 1) == 0
    take_back_all(page)


def test_a_range_is_accepted_with_its_objects_numbered_and_taken_back_as_one(page: Page) -> None:
    page.get_by_label("Number every object").check()
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    expect(page.get_by_role("button", name="Range")).to_be_visible()
    page.keyboard.press("i")
    page.get_by_role("spinbutton", name="From slice").fill(str(index + 2))
    page.get_by_role("spinbutton", name="To slice").fill(str(index + 4))
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on 3 slices, 1 object;"))).to_be_visible()
    until(
        lambda: all(labelled_voxels(page, axis, index + k) > 100 for k in (1, 2, 3))
    )  # regions follow the answer
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
    slider = page.get_by_role("slider", name="Minimum confidence of proposals")
    slider.fill("90")
    wait_state(page, "state.minConfidence === 0.9")
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press(",")
    wait_state(page, "state.minConfidence === 0.85")
    expect(page.locator(".sw-limit-value").first).to_have_text("≥ 85")
    page.keyboard.press("y")
    expect(page.get_by_text(re.compile("Accepted"))).to_be_visible()
    rows, cols = page.evaluate("() => Object.values(window.__slicewise.views[0].size)")
    until(lambda: labelled_voxels(page, axis, index + 1) > 100)
    assert labelled_voxels(page, axis, index + 1) < rows * cols
    take_back_all(page)


def test_nothing_is_accepted_before_it_was_seen(page: Page) -> None:
    held: list[Route] = []
    reads = re.compile(r"/prediction\?z0=")
    page.route(reads, lambda route: held.append(route))
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    wait_state(page, "state.mask")
    page.keyboard.press("Enter")
    wait_state(page, "state.proposal.shown && state.proposal.late", FILL_MS)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    page.keyboard.press("ArrowDown")
    said = page.locator(".sw-toast", has_text="look at them, then try again")
    for key in "yr":  # neither accepted nor rejected
        page.keyboard.press(key)
        expect(said).to_be_visible()
        expect(said).to_be_hidden()
    assert labelled_voxels(page, axis, index + 1) == 0
    page.unroute(reads)  # which lets go of those that were held
    wait_state(page, f"state.index === {index + 1} && state.proposal.here && !state.proposal.late", FILL_MS)
    page.keyboard.press("y")
    expect(page.get_by_text(re.compile(r"Accepted [\d,]+ voxels on 1 slice"))).to_be_visible()
    until(lambda: labelled_voxels(page, axis, index + 1) > 100)
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
    wait_state(page, "state.proposals && state.uncertainty && state.proposal.here")
    page.keyboard.press("r")
    until(lambda: labelled_voxels(page, axis, index + 1) > 100)
    saved(page)
    proposed(page)
    take_back_all(page)


def within_one_frame(page: Page, *events: tuple[str, dict]) -> None:
    """Events on the axial slice, with no frame between them: as fast as a hand on a busy machine."""
    page.evaluate(
        """events => {
            const canvas = window.__slicewise.views[0].overlay;
            for (const [type, init] of events) {
                const Kind = type.startsWith("key") ? KeyboardEvent : PointerEvent;
                canvas.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, ...init }));
            }
        }""",
        [list(event) for event in events],
    )


def test_a_key_and_what_follows_within_one_frame_mean_the_slice_that_was_opened(page: Page) -> None:
    label_one(page)
    axis, index = (state(page)[k] for k in ("axis", "index"))
    x, y = canvas_point(page, 0.35, 0.5)
    down, click = {"key": "ArrowDown"}, {"clientX": x, "clientY": y, "shiftKey": True, "pointerId": 1}
    within_one_frame(page, ("keydown", down), ("pointerdown", click), ("pointerup", click))
    # its proposal, and the click that calls a part of it wrong
    wait_state(page, f"state.index === {index + 1} && state.prompts === 1 && !state.waiting")
    page.keyboard.press("Escape")
    proposed_there = page.evaluate(
        """([axis, index]) => {
            const { proposals, views } = window.__slicewise;
            return proposals.slice(axis, index, views[axis].whole).classes.reduce((n, c) => n + (c > 0 && c < 254), 0);
        }""",
        [axis, index + 2],
    )
    within_one_frame(page, ("keydown", down), ("keydown", {"key": "r"}))
    until(lambda: labelled_voxels(page, axis, index + 2) == proposed_there > 100)
    assert labelled_voxels(page, axis, index + 1) == 0
    take_back_all(page)


def test_two_quick_clicks_at_one_place_of_two_slices_are_no_double_click(page: Page) -> None:
    index = state(page)["index"]
    x, y = canvas_point(page, 0.35, 0.5)
    click = {"clientX": x, "clientY": y, "pointerId": 1}
    page.mouse.move(x, y)
    both = (("pointerdown", click), ("pointerup", click))
    within_one_frame(page, *both, ("keydown", {"key": "ArrowDown"}), *both)
    wait_state(page, f"state.index === {index + 1} && state.prompts === 1 && state.mask")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    wait_state(page, f"state.index === {index} && state.prompts === 0")


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


def test_a_guided_start_leads_to_two_slices_at_right_angles_and_then_to_the_next(page: Page) -> None:
    page.keyboard.press("z")
    guide = page.get_by_role("region", name="Guided start")
    expect(guide.get_by_role("listitem")).to_have_count(2)
    first = guide.locator("[aria-current=step]")
    expect(first).to_contain_text(re.compile(r"^Axial \d+"))
    expect(guide.get_by_role("status")).to_contain_text("label all of it")
    guide.get_by_role("button", name="Go there").click()
    label_one(page)
    expect(first).to_contain_text(re.compile("^(Coronal|Sagittal)"))
    expect(guide.get_by_role("status")).to_contain_text("at a right angle")
    step = page.evaluate(
        "() => { const { guide } = window.__slicewise.proposals; return guide.steps[guide.now]; }"
    )
    marked = page.get_by_role("slider", name=re.compile(" slice$")).nth(step["axis"])
    expect(marked).to_have_attribute(
        "aria-valuetext", re.compile(f"slice {step['index'] + 1} is worth labelling next")
    )
    page.keyboard.press("j")
    wait_state(
        page, f"state.axis === {step['axis']} && state.index === {step['index']} && state.proposal.here"
    )
    page.keyboard.press("y")
    expect(guide.get_by_role("status")).to_contain_text("The guided start is done")
    proposed(page)
    page.keyboard.press("j")
    expect(
        page.locator(".sw-toast", has_text=re.compile("slice \\d+: This slice has [\\d,]+ uncertain voxels"))
    ).to_be_visible()
    guide.get_by_role("combobox", name="Number of first slices").select_option("3")
    expect(guide.get_by_role("listitem")).to_have_count(3)
    page.locator("canvas[role=application]").first.focus()
    take_back_all(page)
    page.keyboard.press("z")
    expect(guide).to_be_hidden()


# Learning


def deliver(page: Page, message: dict) -> None:
    """As if the server had said it."""
    page.evaluate(
        """message => window.slicewise.session.link.dispatchEvent(
            new CustomEvent(message.t, {detail: {message}}))""",
        message,
    )


def test_another_propagator_fills_the_open_volume_again(page: Page) -> None:
    label_one(page)
    tab(page, "Learn")
    page.get_by_role("radio", name=re.compile("^Shape-based")).check()
    page.wait_for_function(
        "() => window.__slicewise.state.proposal.shown?.producer === 'shape'", timeout=FILL_MS
    )
    expect(page.get_by_role("combobox", name="Source of the proposals")).to_have_value("shape")
    page.get_by_role("radio", name=re.compile("^Random walker")).check()
    proposed(page)
    page.locator("canvas[role=application]").first.focus()
    take_back_all(page)


def test_suggestions_say_why_open_their_slice_and_can_be_left_out(page: Page) -> None:
    tab(page, "Learn")
    page.get_by_role("button", name="Suggest").click()
    rows = page.locator(".sw-upnext li")
    expect(rows.first).to_be_visible(timeout=FILL_MS)
    first = rows.first.locator("b").inner_text()
    assert rows.first.locator("small").inner_text()
    rows.first.get_by_role("button", name=first, exact=False).first.click()
    expect(page.locator(".sw-name")).to_have_text(re.sub(r", (axial|coronal|sagittal) \d+$", "", first))
    rows.first.get_by_role("button", name="Leave out").click()
    expect(rows.first.locator("b")).not_to_have_text(first)


def test_the_list_of_images_tells_what_is_proposed_and_how_good_it_may_be(page: Page) -> None:
    label_one(page)
    tab(page, "Images")
    said = page.locator("[aria-selected=true] .sw-image-state")
    expect(said).to_have_text(re.compile("in work"))
    expect(said).to_have_attribute("title", re.compile("1 slice labelled, 0 of them complete · Fill: "))
    image = page.evaluate("() => window.slicewise.session.image.id")
    deliver(
        page, {"t": "proposal", "image": image, "producer": "mean_teacher", "expected_dice": [0.78, 0.87]}
    )
    expect(said).to_have_attribute("title", re.compile("Mean Teacher"))
    page.locator("canvas[role=application]").first.focus()
    take_back_all(page)  # the fill goes with its label, what a model proposed stays
    expect(said).to_have_text("proposed 0.78–0.87")


@pytest.mark.parametrize(
    "held_back, message, before, after",
    [
        ("**/api/learn", {"t": "proposal", "producer": "mean_teacher"}, "Mean teacher", "Mean Teacher"),
        (
            "**/api/images/1/prediction",
            {"t": "fill", "state": "done", "producer": "shape"},
            "Fill: Shape",
            "Fill: Shape-based interpolation",
        ),
    ],
    ids=["learner", "propagator"],
)
def test_the_list_names_who_proposed_by_its_title_once_titles_have_come(
    browser: Browser, server: RunningServer, held_back: str, message: dict, before: str, after: str
) -> None:
    context = new_context(browser)
    page, held = context.new_page(), []
    page.route(held_back, lambda route: held.append(route))
    with page.expect_request(held_back):
        open_page(page, server.address)
        tab(page, "Images")
    deliver(page, message | {"image": 1})
    said = page.locator("[aria-selected=true] .sw-image-state")
    page.route("**/api/project", lambda route: None)  # nor does other news draw the rows again
    page.wait_for_timeout(500)
    expect(said).to_have_attribute("title", before)
    for route in held:
        route.continue_()
    expect(said).to_have_attribute("title", after)
    context.close()
