"""The list of images as a person uses it: states, filter, order, search, the table, flags; in Chromium."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from annotator.learning.quality.withheld import WITHHELD
from storage.arrays import SliceRef
from storage.predictions import Expected, NewPrediction, Withheld
from storage.store import Store
from tests.conftest import ball, drawn
from tests.page.test_workspace import AXE, tab, wait_state
from tests.storage.test_image_states import named
from tests.support.chromium import PageWatch, RunningServer, open_page, start_server, stranger

pytestmark = pytest.mark.browser
SLOW = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Six images: 1 untouched, 2 to 5 with a proposal of which 4 is labelled and 5 held out, 6 with one that was
    withheld."""
    folder = tmp_path_factory.mktemp("images")
    store = Store(folder / "project")
    store.add_class("one")
    shape, truth = ball()[0].pixels.shape, ball()[1]
    for n in range(6):
        store.add_image(named(f"image {n + 1}", n))
    for image, expected in ((2, 0.6), (3, 0.9), (4, 0.7), (5, 0.8)):
        array = np.zeros(shape, np.uint8)
        store.predictions.add(
            NewPrediction(
                image,
                "unimatch",
                "predicted",
                0,
                array,
                array,
                7,
                Expected(expected, expected - 0.1, expected + 0.05),
            )
        )
    store.predictions.withhold(Withheld(6, "unimatch", 0, "unlike", 7))
    store.add_label(drawn(SliceRef(4, 0, 4), truth[4]))
    rounds = store.rounds
    rounds.sweep()
    rounds.hold_out(5)
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    with stranger(same_context, watch) as page:
        page.set_viewport_size({"width": 1440, "height": 800})
        open_page(page, server.address)
        tab(page, "Images")
        expect(page.locator(".sw-count").first).to_have_text("6 images", timeout=SLOW)
        yield page


def names(page: Page) -> list[str]:
    """What is listed, from above."""
    rows = page.get_by_role("listbox", name="Images").get_by_role("option")
    found = [
        (int(row.get_attribute("aria-posinset") or 0), row.locator(".sw-image-name").inner_text())
        for row in rows.all()
    ]
    return [name for _, name in sorted(found)]


def test_the_list_is_filtered_and_searched_by_model(page: Page) -> None:
    count = page.locator("#tab-images .sw-count")
    page.get_by_role("combobox", name="Filter the images").select_option("proposed")
    expect(count).to_have_text("3 images")
    page.get_by_role("combobox", name="Filter the images").select_option("held_out")
    expect(count).to_have_text("1 image")
    page.get_by_role("combobox", name="Filter the images").select_option("")
    page.get_by_role("searchbox", name="Search images").fill("unimatch")
    expect(count).to_have_text("4 images")
    page.get_by_role("searchbox", name="Search images").fill("nothing of that name")
    expect(count).to_have_text("No image matches")
    page.get_by_role("button", name="Show all").click()
    expect(count).to_have_text("6 images")
    expect(page.get_by_role("button", name="Show all")).to_be_hidden()


def test_what_is_left_is_counted_and_filtered_while_people_work(page: Page) -> None:
    text = page.locator(".sw-progress-text")
    expect(text).to_have_text("0 of 6 done · 1 in work · 3 proposed · 2 to do")
    page.get_by_role("combobox", name="Filter the images").select_option("todo")
    expect(page.locator("#tab-images .sw-count")).to_have_text("2 images")
    page.get_by_role("option", name=re.compile("image 6")).click()
    chip = page.locator(".sw-top .sw-image-state")
    expect(page.locator(".sw-name")).to_have_text("image 6")
    wait_state(page, "state.editable")
    expect(chip).to_have_text("to do")
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("Home")
    for n in range(9):
        page.keyboard.press("k")
        expect(chip).to_have_text(f"in work {100 * (n + 1) // 9} %" if n < 8 else "done")
        page.keyboard.press("ArrowDown")
    expect(text).to_have_text("1 of 6 done · 1 in work · 3 proposed · 1 to do")
    for _ in range(9):
        page.keyboard.press("Control+z")
    expect(chip).to_have_text("to do")
    expect(text).to_have_text("0 of 6 done · 1 in work · 3 proposed · 2 to do")


def test_a_key_makes_it_a_table_that_is_sorted_by_its_heads(page: Page) -> None:
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("t")
    heads = page.get_by_role("group", name="Sort by")
    expect(heads.get_by_role("button", name="Expected")).to_be_visible()
    row = page.get_by_role("option", name=re.compile("image 3"))
    expect(row).to_contain_text("proposed")
    expect(page.get_by_role("option", name=re.compile("image 4"))).to_contain_text("in work 11 %")
    expect(row.locator(".sw-image-model")).to_have_text("UniMatch (weak to strong), round 7")
    expect(row.locator(".sw-image-expected")).to_have_text("0.80–0.95")
    heads.get_by_role("button", name="Expected").click()
    expect(page.locator(".sw-image-row").first.locator(".sw-image-expected")).to_have_text("0.80–0.95")
    assert names(page)[:4] == ["image 3", "image 5", "image 4", "image 2"]
    heads.get_by_role("button", name="Expected").click()
    expect(page.locator(".sw-image-row").first.locator(".sw-image-expected")).to_have_text("0.50–0.65")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 1440
    row.click()
    accept = page.get_by_role("button", name="Accept slice")
    expect(accept).to_be_visible()
    inside, side = accept.bounding_box(), page.locator("#side").bounding_box()
    assert inside is not None and side is not None and inside["x"] + inside["width"] <= side["x"]
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document)).violations")
    assert not [
        (v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")
    ]
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("t")
    expect(heads).to_be_hidden()


def test_an_image_is_flagged_by_a_key_and_found_by_it(page: Page) -> None:
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("m")
    flag = page.get_by_role("group", name="The open image").get_by_role("button", name="Flag")
    expect(flag).to_have_attribute("aria-pressed", "true")
    page.get_by_role("combobox", name="Filter the images").select_option("flagged")
    expect(page.locator("#tab-images .sw-count")).to_have_text("1 image")
    flag.click()
    expect(flag).to_have_attribute("aria-pressed", "false")


def test_a_list_that_cannot_be_read_asks_again_after_a_while_and_not_at_once(
    page: Page, watch: PageWatch
) -> None:
    watch.expected.append("ERR_FAILED")
    asked: list[str] = []

    def fail(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/api/images?*", fail)
    page.get_by_role("searchbox", name="Search images").fill("image 1")
    page.wait_for_timeout(2500)
    assert 1 <= len(asked) <= 4, "for the search, and for news that come meanwhile"
    page.unroute("**/api/images?*")
    page.wait_for_function(
        "document.querySelectorAll('#tab-images .sw-image-name').length === 1", timeout=SLOW
    )
    assert names(page) == ["image 1"]


def test_the_queue_is_searched_and_obeys_people(page: Page) -> None:
    page.get_by_role("option", name=re.compile("image 6")).click()
    expect(page.locator(".sw-name")).to_have_text("image 6", timeout=SLOW)
    buttons = page.get_by_role("group", name="The open image")
    buttons.get_by_role("button", name="Put first").click()
    expect(buttons.get_by_role("button", name="Put first")).to_have_attribute("aria-pressed", "true")
    tab(page, "Learn")
    page.get_by_role("button", name="Suggest").click()
    first = page.locator(".sw-upnext li").first
    expect(first).to_contain_text("image 6", timeout=SLOW)
    expect(first).to_contain_text("somebody put it first")
    page.get_by_role("searchbox", name="Search the queue").fill("image 2")
    page.keyboard.press("Enter")
    expect(first).to_contain_text("image 2", timeout=SLOW)
    first.get_by_role("button", name="Leave out").click()
    page.get_by_role("button", name="Put back what you left out last").click()
    expect(page.get_by_role("button", name="Put back what you left out last")).to_be_hidden(timeout=SLOW)


def test_where_a_proposal_made_no_sense_none_is_shown_and_a_sentence_says_what_to_do(page: Page) -> None:
    row = page.get_by_role("option", name=re.compile("image 6"))
    expect(row).to_contain_text("to do")
    row.click()
    expect(page.locator(".sw-proposal-facts")).to_have_text(WITHHELD["unlike"], timeout=SLOW)
    expect(page.get_by_role("group", name="Accept proposals")).to_be_hidden()
    page.locator("canvas[role=application]").first.focus()
    page.keyboard.press("y")
    expect(page.locator(".sw-toast", has_text=WITHHELD["unlike"])).to_be_visible()
