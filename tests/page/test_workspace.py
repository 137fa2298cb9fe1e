"""The page as a person meets it: tools, keys, panels, themes; in real Chromium against the real server."""

import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, TimeoutError, expect
from skimage.io import imsave

from tests.conftest import ROOT
from tests.support.chromium import Launch, PageWatch, RunningServer, new_context, open_page

AXE = ROOT / "tests" / "support" / "vendor" / "axe.min.js"  # axe-core 4.14.1, MPL-2.0, by npm
pytestmark = pytest.mark.browser

TABS = ("Label", "Images", "Data", "Model", "Learn")
TOOLS = "click box scribble brush erase lasso polygon fill pan window crosshair".split()
TOOL_KEYS = dict(zip("qwsbelpgvdc", TOOLS))


def state(page: Page) -> dict:
    return page.evaluate("() => JSON.parse(JSON.stringify(window.__slicewise.state))")


def wait_state(page: Page, condition: str, milliseconds: float = 30_000) -> None:
    """Wait for a JavaScript condition on the engine's `state`; where it does not come, say how the state is."""
    try:
        page.wait_for_function(
            f"() => {{ const state = window.__slicewise?.state; return state && ({condition}); }}",
            timeout=milliseconds,
        )
    except TimeoutError as error:
        raise AssertionError(f"not so after a while: {condition}; the state is {state(page)}") from error


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until the page is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.05)


def canvas_point(page: Page, right: float = 0.5, down: float = 0.5) -> tuple[float, float]:
    box = page.locator("canvas[role=application]").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] * right, box["y"] + box["height"] * down


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_a_click_and_enter_save_a_mask_and_undo_takes_it_back(page: Page) -> None:
    page.mouse.click(*canvas_point(page, 0.35, 0.5))
    wait_state(page, "state.mask")
    expect(page.get_by_role("group", name="Mask")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Mask")).to_be_hidden()
    expect(page.locator(".sw-link")).to_have_text("Saved")
    wait_state(page, "state.rev > 0 && state.canUndo")
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.keyboard.press("Control+z")
    wait_state(page, "state.canRedo")
    expect(page.locator(".sw-link")).to_have_text("Saved")


def test_every_tool_has_its_key(page: Page) -> None:
    for key, tool in TOOL_KEYS.items():
        page.keyboard.press(key)
        expect(page.locator(f"[data-tool={tool}]")).to_have_attribute("aria-pressed", "true")
        assert state(page)["tool"] == tool


def test_a_tool_declares_what_the_page_shows_of_it_and_no_key_means_two_things(page: Page) -> None:
    tools, keys = page.evaluate(
        """async () => {
            const { TOOLS } = await import("/ui/engine/tools/index.js");
            const { GROUPS } = await import("/ui/workspace/shortcuts.js");
            const tools = Object.entries(TOOLS).map(
                ([name, { title, key, icon, group }]) => ({ name, title, key, icon, group }));
            return [tools, GROUPS.flatMap(({ keys }) => keys.flatMap(({ codes }) => codes ?? []))];
        }"""
    )
    assert all(tool.get(field) for tool in tools for field in ("title", "key", "icon", "group")), tools
    assert all(tool["icon"].startswith("<") for tool in tools)
    assert len(set(keys)) == len(keys), sorted(keys)
    assert {tool["key"] for tool in tools} <= set(keys)
    groups = [tool["group"] for tool in tools]
    assert sorted(groups, key=list(dict.fromkeys(groups)).index) == groups, "a group stands together"
    buttons = page.get_by_role("toolbar", name="Tools").get_by_role("button")
    shown = buttons.evaluate_all("all => all.map(b => [b.dataset.tool, b.ariaLabel, b.dataset.key])")
    printed = [tool["key"][:-1] + tool["key"][-1].upper() for tool in tools]
    assert shown == [[tool["name"], tool["title"], key] for tool, key in zip(tools, printed)]


def test_every_key_that_a_button_names_is_in_the_list_of_keys(page: Page) -> None:
    listed, named = page.evaluate(
        """async () => {
            const { GROUPS } = await import("/ui/workspace/shortcuts.js");
            const all = GROUPS.flatMap((group) => group.keys);
            const listed = all.flatMap(({ keys, codes = [] }) => [...keys.split("  "), ...codes]);
            const buttons = [...document.querySelectorAll("[aria-keyshortcuts]")];
            const named = buttons.flatMap((button) => button.getAttribute("aria-keyshortcuts").split(" "));
            const titles = [...document.querySelectorAll(".sw-icon-button")].map((button) => button.title);
            return [listed, [...named, ...titles.flatMap((title) => /\\(([^()]+)\\)$/.exec(title)?.[1] ?? [])]];
        }"""
    )
    assert {"J", "Shift+N", "Ctrl+Z", "?", "Alt+1", "Tab"} <= set(named)
    assert {key.upper() for key in named} <= {key.upper() for key in listed}


def test_keys_in_a_text_field_stay_there(page: Page) -> None:
    tab(page, "Images")
    search = page.get_by_role("searchbox", name="Search images")
    search.fill("")
    search.press_sequentially("bee?")
    assert search.input_value() == "bee?"
    assert state(page)["tool"] == "click"
    assert not page.locator("dialog").count()


def test_after_a_click_on_a_tool_the_keyboard_is_back_on_the_canvas(page: Page) -> None:
    page.locator("[data-tool=brush]").click()
    assert page.evaluate("() => document.activeElement.getAttribute('role')") == "application"


def test_arrows_move_inside_the_toolbar_and_tab_leaves_it(page: Page) -> None:
    page.locator("[data-tool=click]").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("() => document.activeElement.dataset.tool") == "box"
    page.keyboard.press("Enter")
    assert state(page)["tool"] == "box"
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.dataset.tool ?? ''") == ""


def test_the_sheet_shows_every_key_and_closes_with_escape(page: Page) -> None:
    page.keyboard.press("Shift+?")
    sheet = page.get_by_role("dialog", name="Keys and mouse")
    expect(sheet).to_be_visible()
    for text in ("Brush", "Undo on this image", "Next / previous image", "Complete or reopen the slice"):
        expect(sheet.get_by_text(text, exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)


def test_number_keys_choose_classes_and_zero_is_background(page: Page) -> None:
    page.keyboard.press("2")
    chosen = page.locator(".sw-class.chosen")
    expect(chosen.locator("kbd")).to_have_text("2")
    page.keyboard.press("0")
    expect(chosen).to_have_attribute("data-id", "0")
    assert state(page)["classId"] == 0
    page.keyboard.press("1")


def test_a_class_can_be_added_renamed_locked_hidden_and_removed(page: Page) -> None:
    page.get_by_role("button", name="Add a class").click()
    page.keyboard.type("gall <b>bladder</b>")
    page.keyboard.press("Enter")
    row = page.locator(".sw-class", has_text="gall <b>bladder</b>")
    expect(row).to_be_visible()
    row.hover()
    row.get_by_role("button", name="Rename").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("gall bladder")
    page.keyboard.press("Enter")
    row = page.locator(".sw-class", has_text="gall bladder")
    row.hover()
    row.get_by_role("button", name="Code of").click()
    page.keyboard.type("SCT 28231008")
    page.keyboard.press("Enter")
    wait_state(page, "state.classes.some(c => c.code === 'SCT 28231008 gall bladder')")
    expect(row.get_by_role("button", name="Code of")).to_have_attribute(
        "title", "Code: SCT 28231008 gall bladder"
    )
    row.get_by_role("button", name="Lock gall bladder").click()
    expect(row.get_by_role("button", name="Lock gall bladder")).to_have_attribute("aria-pressed", "true")
    row.get_by_role("button", name="Hide gall bladder").click()
    wait_state(page, "state.classes.some(c => c.name === 'gall bladder' && c.hidden && c.locked)")
    row.hover()
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_a_slider_of_gradio_moves_the_canvas_and_a_key_moves_the_slider(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    radius = page.locator("#radius input[type=range]")
    radius.focus()
    radius.press("ArrowRight")
    wait_state(page, "state.radius === 8.5")
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("]")
    wait_state(page, "state.radius === 9.5")
    expect(radius).to_have_value("9.5")
    page.keyboard.press("o")
    wait_state(page, "state.style === 'fill'")
    expect(page.locator("#style input[value=fill]")).to_be_checked()
    assert not [url for url in requests if "gradio_api" in url]


def test_x_hides_the_labels_while_it_is_held_and_toggles_when_tapped(page: Page) -> None:
    page.keyboard.press("x")
    wait_state(page, "!state.visible")
    page.keyboard.press("x")
    wait_state(page, "state.visible")
    page.keyboard.down("x")
    wait_state(page, "!state.visible")
    page.wait_for_timeout(450)
    page.keyboard.up("x")
    wait_state(page, "state.visible")


def test_the_images_panel_lists_searches_and_opens(page: Page, watch: PageWatch) -> None:
    tab(page, "Images")
    list_box = page.get_by_role("listbox", name="Images")
    expect(list_box.get_by_role("option").first).to_be_visible()
    expect(page.locator(".sw-count")).to_have_text(re.compile(r"\d+ images"))
    page.get_by_role("searchbox", name="Search images").fill("coins")
    expect(page.locator(".sw-count")).to_have_text("1 image")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".sw-name")).to_have_text(re.compile("coins", re.I))
    assert "#image=" in page.url
    wait_state(page, "state.layout === 'axial'")
    expect(page.get_by_role("toolbar", name="Layout")).to_be_hidden()
    page.reload()
    expect(page.locator(".sw-name")).to_have_text(re.compile("coins", re.I))


def test_ten_thousand_images_are_a_few_rows_of_the_page(page: Page) -> None:
    def many(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        route.fulfill(
            json={"total": 10_000, "items": [_item(n) for n in range(offset, min(offset + limit, 10_000))]}
        )

    page.route("**/api/images?*", many)
    page.evaluate("() => window.slicewise.session.refresh()")
    tab(page, "Images")
    expect(page.locator(".sw-count")).to_have_text("10,000 images")
    images = page.get_by_role("listbox", name="Images")
    images.focus()
    page.keyboard.press("End")
    expect(images.get_by_text("picture 9999")).to_be_visible()
    assert images.get_by_role("option").count() < 40
    assert images.get_by_role("option").last.get_attribute("aria-posinset") == "10000"
    box = images.bounding_box()
    assert box is not None and box["y"] + box["height"] <= 720


def _item(n: int) -> dict:
    facts = {"kind": "image", "shape": [1, 40, 60], "slices_labelled": 0, "slices_complete": 0, "rev": 0}
    return {"id": n + 1, "name": f"picture {n}", **facts}


def test_two_tabs_on_one_image_see_each_others_strokes(page: Page, server: RunningServer) -> None:
    other = open_page(page.context.new_page(), server.address)
    before = state(other)["rev"]
    stroke(page, 0.3)
    wait_state(other, f"state.rev > {before}")
    wait_state(page, f"state.rev === {state(other)['rev']}")
    page.keyboard.press("Control+z")
    wait_state(other, f"state.rev > {before + 1}")


def test_n_walks_through_the_images_and_says_where_they_end(page: Page) -> None:
    first = page.locator(".sw-name").inner_text()
    page.keyboard.press("n")
    expect(page.locator(".sw-name")).not_to_have_text(first)
    page.keyboard.press("Shift+N")
    expect(page.locator(".sw-name")).to_have_text(first)
    page.keyboard.press("Shift+N")
    expect(page.get_by_text("This is the first image.")).to_be_visible()


def test_an_image_is_described_once_for_each_time_it_is_opened(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    first = state(page)["image"]
    page.keyboard.press("n")
    wait_state(page, f"state.image !== {first}")
    page.wait_for_function("() => window.slicewise.session.image.id === window.__slicewise.state.image")
    descriptions = [path for path in asked if re.fullmatch(r"/api/images/\d+", path)]
    assert descriptions == [f"/api/images/{state(page)['image']}"]
    assert page.title() == page.evaluate("() => window.slicewise.session.image.name") + " · Slicewise"


def test_of_two_wishes_for_one_image_the_newer_one_shows_its_slice(page: Page) -> None:
    page.evaluate("""async () => {
        const { session } = window.slicewise, { items } = await (await fetch("/api/images")).json();
        const { id } = items.find((one) => one.shape[0] > 9 && one.id !== session.image.id);
        await Promise.all([5, 8].map((index) => session.open(id, { axis: 0, index })));
    }""")
    wait_state(page, "state.image === window.slicewise.session.image.id && state.cursor[0] === 8")
    assert page.evaluate("() => window.slicewise.session.opening") is None


def test_window_numbers_and_presets_drive_the_canvas(page: Page) -> None:
    page.get_by_role("spinbutton", name="Window from").fill("-50")
    page.get_by_role("spinbutton", name="Window to").fill("150")
    page.keyboard.press("Enter")
    wait_state(page, "state.window[0] === -50 && state.window[1] === 150")
    page.get_by_role("combobox", name="Window preset").select_option(label="Full range")
    wait_state(page, "state.window[0] < -500")


def test_the_complete_switch_follows_the_slice(page: Page) -> None:
    switch = page.locator(".sw-complete-switch")
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("k")
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(switch).to_have_text("Slice complete")
    page.mouse.move(*canvas_point(page))
    page.mouse.wheel(0, 100)
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.mouse.wheel(0, -100)
    expect(switch).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("k")
    expect(switch).to_have_attribute("aria-pressed", "false")


def test_the_status_bar_says_what_is_under_the_pointer(page: Page) -> None:
    page.mouse.move(*canvas_point(page, 0.4, 0.4))
    page.mouse.move(*canvas_point(page, 0.5, 0.5))
    expect(page.locator(".sw-hover")).to_have_text(re.compile(r"value -?\d+x \d+ +y \d+ +z \d+.*mm"))
    place = page.locator(".sw-hover span").last
    slice_number = page.evaluate("() => window.__slicewise.views[0].index + 1")  # as the plane's title counts
    expect(place).to_have_text(re.compile(rf"z {slice_number} "))
    expect(place).to_have_attribute("title", re.compile("Counted from 1; exported arrays count from 0"))


def test_where_nobody_signs_in_nobody_is_offered_to_sign_out(page: Page) -> None:
    expect(page.locator(".sw-person")).to_be_disabled()


def test_the_first_steps_are_read_whole_in_a_narrow_window(page: Page) -> None:
    page.set_viewport_size({"width": 589, "height": 720})
    steps = page.get_by_role("region", name="First steps")
    expect(steps).to_be_visible()
    cut = "(all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
    assert steps.locator("ol, li > *").evaluate_all(cut) == []


@pytest.mark.parametrize("width", [700, 900, 1024, 1280, 1600])
def test_no_two_controls_of_the_top_bar_overlap_and_none_is_cut_off(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 720})
    expect(page.locator(".sw-group.segments")).to_be_visible()
    found = page.locator(".sw-top").evaluate(
        """(bar) => {
            const all = [...bar.querySelectorAll("button, select, input, .sw-title")];
            const shown = all.filter((n) => n.checkVisibility());
            const boxes = shown.map((n) => [n.getAttribute("aria-label") ?? n.textContent, n.getBoundingClientRect()]);
            const [b, out] = [bar.getBoundingClientRect(), []];
            for (const [i, [name, one]] of boxes.entries()) {
                const inside = one.left >= b.left && one.right <= b.right && one.top >= b.top && one.bottom <= b.bottom;
                if (!inside || one.width < 8) out.push(`${name} is cut off`);
                for (const [other, two] of boxes.slice(0, i))
                    if (one.left < two.right - 1 && two.left < one.right - 1 &&
                        one.top < two.bottom - 1 && two.top < one.bottom - 1) out.push(`${name} is on ${other}`);
            }
            return boxes.length < 12 ? ["too few controls"] : out;
        }"""
    )
    assert found == []


def test_what_lies_under_a_resting_pointer_follows_the_wheel(page: Page) -> None:
    page.mouse.move(*canvas_point(page, 0.4, 0.4))
    place = page.locator(".sw-hover span").last
    expect(place).to_have_text(re.compile(r"z \d+"))
    before = place.inner_text()
    page.mouse.wheel(0, 100)
    expect(place).not_to_have_text(before)


def test_messages_cover_neither_the_canvas_nor_its_buttons(page: Page) -> None:
    page.keyboard.press("Shift+N")
    toast = page.locator(".sw-toast").first
    expect(toast).to_be_visible()
    side, box = page.locator("#side").bounding_box(), toast.bounding_box()
    assert side is not None and box is not None
    assert box["x"] >= side["x"] and box["y"] + box["height"] <= 720


def test_dark_and_light_follow_the_system_until_somebody_chooses(
    browser: Browser,
    server: RunningServer,
) -> None:
    context = new_context(browser, color_scheme="dark")
    page = open_page(context.new_page(), server.address)
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Switch between dark and light").click()
    assert page.evaluate("() => document.documentElement.dataset.theme") == "light"
    assert not page.evaluate("() => document.body.classList.contains('dark')")
    page.reload()
    page.wait_for_selector(".sw[data-ready='1']")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "light"
    context.close()


def test_a_dropped_file_is_imported_and_a_bad_one_is_listed(page: Page, tmp_path: Path) -> None:
    good, bad, notes = (tmp_path / name for name in ("dropped picture.png", "broken.png", "notes.txt"))
    notes.write_text("no picture")
    imsave(good, np.arange(48 * 31, dtype=np.uint8).reshape(31, 48), check_contrast=False)
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno")
    tab(page, "Data")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").last.click()
    chooser.value.set_files([good, bad, notes])
    expect(page.get_by_role("dialog", name="What will come in")).to_be_visible(timeout=30_000)
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 file was not imported")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("1 imported, 1 left out, 1 no image: notes.txt")).to_be_visible()
    tab(page, "Images")
    page.get_by_role("searchbox", name="Search images").fill("dropped picture")
    expect(page.locator(".sw-count")).to_have_text("1 image")


def test_an_export_offers_a_zip(page: Page, tmp_path: Path) -> None:
    page.keyboard.press("k")
    expect(page.locator(".sw-complete-switch")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    tab(page, "Data")
    page.get_by_label("Open image").check(force=True)
    page.get_by_role("button", name="Export labels").click()
    link = page.get_by_role("link", name="Download the export").first
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "labels.zip")
    assert any(
        name.endswith("provenance.json") for name in zipfile.ZipFile(tmp_path / "labels.zip").namelist()
    )


def test_the_model_panel_says_which_model_answers(page: Page) -> None:
    tab(page, "Model")
    expect(page.locator(".sw-model[data-active=true]")).to_have_count(1)


def test_an_empty_project_says_what_to_do_and_a_killed_server_costs_no_stroke(
    browser: Browser,
    launch: Launch,
    tmp_path: Path,
) -> None:
    picture = tmp_path / "stripes.png"
    imsave(picture, np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1)), check_contrast=False)
    (tmp_path / "notes.txt").write_text("no picture")
    arguments = ["--project", str(tmp_path / "empty")]
    running = launch(*arguments)
    context = new_context(browser)
    page = context.new_page()
    page.goto(running.address)
    expect(page.get_by_role("heading", name="No images yet")).to_be_visible(timeout=60_000)
    expect(page.locator(".sw-link")).to_have_text("Saved")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").first.click()
    chooser.value.set_files([picture, tmp_path / "notes.txt"])
    page.get_by_role("button", name="Import Enter").click(timeout=30_000)
    expect(page.locator(".sw-toast", has_text="1 imported, 1 no image: notes.txt.")).to_be_visible(
        timeout=30_000
    )
    expect(page.locator(".sw-name")).to_have_text(re.compile("stripes"), timeout=30_000)
    expect(page.get_by_text("Name what you want to label")).to_be_visible()
    tab(page, "Images")
    stroke(page, 0.3)  # there is no class yet: the page asks for one, and nothing is lost on the way
    expect(page.get_by_role("textbox", name="Class name")).to_be_focused()
    page.keyboard.type("stripe")
    page.keyboard.press("Enter")
    expect(page.locator(".sw-class.chosen", has_text="stripe")).to_be_visible()
    expect(page.get_by_text("Name what you want to label")).to_be_hidden()
    stroke(page, 0.3)
    wait_state(page, "state.rev === 1")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    running.kill()
    expect(page.locator(".sw-link")).to_have_text("Offline")
    stroke(page, 0.6)
    expect(page.locator(".sw-link")).to_have_text("Offline, 1 change kept")
    running = launch(*arguments, port=running.port)
    expect(page.locator(".sw-link")).to_have_text("Saved", timeout=30_000)
    page.reload()
    wait_state(page, "state.rev === 2")
    context.close()


def stroke(page: Page, down: float) -> None:
    page.keyboard.press("b")
    page.mouse.move(*canvas_point(page, 0.4, down))
    page.mouse.down()
    page.mouse.move(*canvas_point(page, 0.6, down), steps=4)
    page.mouse.up()


@pytest.mark.parametrize(("scheme", "size"), [("dark", (1280, 720)), ("light", (1600, 900))])
def test_nothing_overflows_and_axe_finds_nothing_serious(
    browser: Browser,
    server: RunningServer,
    size: tuple[int, int],
    scheme: str,
) -> None:
    context = new_context(browser, color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page = open_page(context.new_page(), server.address)
    axe = AXE.read_text(encoding="utf-8")
    for name in TABS:
        tab(page, name)
        page.wait_for_timeout(150)
        overflow = page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert overflow == [size[0], size[1]], f"the {name} tab makes the page scroll"
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run(document)).violations")
        serious = [
            (v["id"], [node["html"][:160] for node in v["nodes"][:4]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious, (name, serious)
    context.close()


def test_a_server_that_proposes_nothing_is_asked_for_no_proposal(browser: Browser, launch: Launch) -> None:
    running = launch("--no-fill")
    context = new_context(browser)
    page = context.new_page()
    watch = PageWatch(running.address)
    watch.follow(page)
    open_page(page, running.address)
    tab(page, "Learn")
    expect(page.locator("#tab-learn").get_by_text("Learning and proposals are switched off")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.press("j")
    off = "Proposals are switched off; restart the server without --no-fill."
    expect(page.locator(".sw-toast", has_text=off)).to_be_visible()
    context.close()
    watch.check()
