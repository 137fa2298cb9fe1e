"""What docs/extending.md promises of a canvas tool, an export format and a ranker, in the page of a copy."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.chromium import RunningServer, start_server
from tests.support.extending import carry_out, copy_of_the_program, sections

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The gallery of formats, served by a copy of the program with three examples of the document in it."""
    folder = tmp_path_factory.mktemp("extended")
    tree = copy_of_the_program(folder / "tree")
    for title in ("A canvas tool", "An export format", "A ranker"):
        carry_out(sections()[title], tree)
    running = start_server(folder, tree=tree)
    yield running
    running.stop()


def test_a_tool_of_one_file_and_one_line_has_a_button_a_key_a_row_in_the_sheet_and_draws(page: Page) -> None:
    button = page.get_by_role("toolbar", name="Tools").get_by_role("button", name="Square")
    expect(button).to_have_attribute("aria-keyshortcuts", "Shift+X")
    before = button.evaluate("node => node.previousElementSibling.dataset.tool")
    assert before == "fill", "it stands with the tools of its group"
    page.keyboard.press("Shift+X")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+?")
    sheet = page.get_by_role("dialog", name="Keys and mouse")
    row = sheet.locator("dt", has_text="Shift+X").locator("xpath=following-sibling::dd[1]")
    expect(row).to_have_text("Square")
    page.keyboard.press("Escape")
    box = page.locator("canvas[role=application]").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    page.wait_for_function("() => window.__slicewise.state.rev > 0 && window.__slicewise.state.canUndo")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    labelled = page.evaluate(
        """async () => {
            const { items } = await (await fetch("/api/images")).json();
            const { id, shape } = items.find((image) => image.slices_labelled > 0);
            const slab = await fetch(`/api/images/${id}/labels?z0=0&z1=${shape[0]}`);
            const classes = new Uint8Array(await slab.arrayBuffer());
            return classes.filter((value) => value === window.__slicewise.state.classId).length;
        }"""
    )
    assert labelled == 25


def test_a_format_and_a_ranker_of_one_file_and_one_line_can_be_chosen_on_the_page(page: Page) -> None:
    page.get_by_role("tab", name="Data").click()
    stacks = page.locator("#export-formats").get_by_label("TIFF stacks")
    expect(stacks).not_to_be_checked()
    stacks.check()
    expect(stacks).to_be_checked()
    rankers = page.evaluate("async () => (await (await fetch('/api/learn')).json()).rankers")
    assert "Longest outline" in [ranker["title"] for ranker in rankers]
    page.get_by_role("tab", name="Learn").click()
    expect(page.locator("option", has_text="Longest outline")).to_be_attached()
