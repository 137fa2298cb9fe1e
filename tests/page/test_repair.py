"""Mending a project on the page: merged classes, deleted images, names, spacing, and changes that were set aside."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.page.test_workspace import canvas_point, tab, wait_state
from tests.support.chromium import Launch, PageWatch, RunningServer, new_context, open_page, stranger

pytestmark = pytest.mark.browser


def classes(page: Page) -> list[str]:
    return page.locator(".sw-classes li:not([data-id='0']) .sw-class-name span").all_inner_texts()


def paint(page: Page, right: float = 0.4) -> None:
    page.keyboard.press("b")
    page.mouse.click(*canvas_point(page, right, 0.5))


def saved(page: Page) -> None:
    expect(page.locator(".sw-link")).to_have_text("Saved")


def acts(page: Page) -> list[str]:
    return page.get_by_role("list", name="Steps to undo").locator("span").all_inner_texts()


def add_class(page: Page, name: str) -> None:
    tab(page, "Label")
    page.get_by_role("button", name="Add a class").click()
    page.get_by_role("textbox", name="Class name").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator(".sw-classes")).to_contain_text(name)


def test_a_class_is_merged_into_another_and_the_merge_undone(page: Page, watch: PageWatch) -> None:
    watch.expected.append("/api/classes")  # the browser tells of the refusal
    add_class(page, "wrong")
    paint(page)
    saved(page)
    before = classes(page)
    page.locator(".sw-classes li", has_text="wrong").hover()
    page.get_by_role("button", name="Remove wrong").click()
    page.get_by_role("button", name="It has none: remove it").click()
    expect(page.locator(".sw-toast.error")).to_contain_text("carry this class")
    page.get_by_role("button", name="Close this message").click()
    page.locator(".sw-classes li", has_text="wrong").hover()
    page.get_by_role("button", name="Remove wrong").click()
    page.get_by_role("combobox", name="The class that remains").select_option(index=0)
    page.get_by_role("button", name="Merge into").click()
    expect(page.locator(".sw-classes")).not_to_contain_text("wrong")
    tab(page, "Data")
    page.get_by_role("button", name=re.compile("^Undo: Merged")).click()
    expect(page.get_by_role("button", name=re.compile("^Redo: Merged"))).to_be_visible()
    tab(page, "Label")
    expect(page.locator(".sw-classes")).to_contain_text("wrong")
    assert classes(page) == before


def test_the_open_image_is_renamed_deleted_and_brought_back(page: Page, watch: PageWatch) -> None:
    watch.expected.append("/api/images/1")  # what the page still asks of the image that is gone
    name = page.locator(".sw-name").inner_text()
    tab(page, "Images")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("textbox", name="Image name").fill("mended")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".sw-name")).to_have_text("mended")
    page.get_by_role("button", name="Edit", exact=True).click()
    for axis, mm in zip("zyx", ("2", "0.5", "0.5"), strict=True):
        page.get_by_role("spinbutton", name=f"Voxel width along {axis} in mm").fill(mm)
    page.get_by_role("button", name="Set spacing").click()
    expect(page.locator(".sw-size")).to_contain_text("0.5")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Delete this image").click()
    expect(page.locator(".sw-name")).not_to_have_text("mended")
    expect(page.get_by_role("listbox", name="Images")).not_to_contain_text("mended")
    expect(page.locator(".sw-toast.warn")).to_have_count(0)
    tab(page, "Data")
    page.get_by_role("button", name="Bring back mended").click()
    expect(page.get_by_role("list", name="Deleted images")).to_be_hidden()
    page.get_by_role("button", name=re.compile("^Undo: Renamed")).click()
    tab(page, "Images")
    expect(page.get_by_role("listbox", name="Images")).to_contain_text(name)


def test_a_stroke_that_is_refused_is_set_aside_and_what_comes_after_it_is_saved(
    page: Page, server: RunningServer, watch: PageWatch
) -> None:
    """The class is removed by somebody whose word has not reached this page."""
    add_class(page, "late")
    ours = {"x-slicewise": "1"}
    facts = page.request.get(server.address + "/api/project").json()
    number = facts["classes"][-1]["id"]
    page.route("**/api/project", lambda route: route.fulfill(json=facts))
    gone = page.request.post(
        server.address + "/api/classes", data={"op": "remove", "id": number}, headers=ours
    )
    assert gone.ok, gone.text()
    paint(page, 0.6)
    chip = page.get_by_role("button", name="1 set aside")
    expect(chip).to_be_visible()
    page.keyboard.press("1")
    paint(page, 0.3)
    saved(page)
    page.unroute("**/api/project")
    page.reload()
    page.wait_for_selector(".sw[data-ready='1']")
    chip.click()
    listed = page.get_by_role("dialog")
    expect(listed).to_contain_text("The class “late” was removed; add it again")
    page.request.post(server.address + "/api/classes", data={"op": "add", "name": "late"}, headers=ours)
    listed.get_by_role("button", name="Send again").click()
    expect(chip).to_be_hidden()
    saved(page)
    wait_state(page, "state.canUndo")


def test_the_canvas_stays_where_it_is_after_the_first_stroke(browser: Browser, server: RunningServer) -> None:
    """A person's first visit: the first steps end with the first label, and their place stays until the next image."""
    context = new_context(browser)
    page = open_page(context.new_page(), server.address)
    steps = page.get_by_role("region", name="First steps")
    expect(steps).to_be_visible()
    canvas = page.locator("canvas[role=application]").first
    before = canvas.bounding_box()
    paint(page, 0.5)
    saved(page)
    wait_state(page, "state.canUndo")
    assert canvas.bounding_box() == before
    expect(steps.locator("ol")).to_be_hidden()
    page.keyboard.press("n")
    expect(steps).to_have_count(0)
    context.close()


def test_an_undone_import_leaves_no_image_open_and_comes_back_whole(
    browser: Browser, launch: Launch, tmp_path: Path
) -> None:
    server = launch("--project", str(tmp_path / "project"), "--no-fill", "--no-download")
    Image.fromarray(np.arange(1200, dtype=np.uint8).reshape(30, 40)).save(tmp_path / "alone.png")
    context, watch = new_context(browser), PageWatch(server.address)
    with stranger(context, watch) as page:
        page.goto(server.address)
        page.wait_for_selector(".sw[data-ready='1']", timeout=60_000)
        tab(page, "Data")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files").last.click()
        chooser.value.set_files(tmp_path / "alone.png")
        expect(page.get_by_role("dialog", name="What will come in")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator(".sw-name")).to_have_text("alone.png")
        page.get_by_role("button", name=re.compile("^Undo: Imported")).click()
        expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
        expect(page.locator(".sw-name")).to_have_text("")
        expect(page.get_by_role("button", name="Complete image")).to_be_hidden()
        for key in ("b", "k", "Delete", "Control+z", "n", "Enter", "ArrowUp", "f", "j"):  # nothing to work on
            page.keyboard.press(key)
        page.mouse.move(*canvas_point(page))
        tab(page, "Data")
        page.get_by_role("button", name=re.compile("^Redo: Imported")).click()
        expect(page.locator(".sw-name")).to_have_text("alone.png")
        wait_state(page, "state.image && state.editable")
    context.close()


def test_pages_of_others_follow_a_new_name_new_sides_and_a_deletion(
    page: Page, server: RunningServer, watch: PageWatch
) -> None:
    watch.expected.append("/api/images/1")  # what the page still asked of the image that is gone
    tab(page, "Images")
    page.get_by_role("listbox", name="Images").get_by_role("option").filter(has_text="torso").first.click()
    expect(page.locator(".sw-name")).to_contain_text("torso")
    wait_state(page, "state.loading.done >= state.loading.total")
    image = page.evaluate("() => window.__slicewise.image.id")

    def post(what: str, **body: object) -> None:
        headers = {"x-slicewise": "1"}
        assert page.request.post(f"{server.address}/api/{what}", data=body, headers=headers).ok

    post(f"images/{image}/rename", name="trunk")
    expect(page.locator(".sw-name")).to_have_text("trunk")
    post(f"images/{image}/spacing", spacing_mm=[2.5, 0.25, 0.25])
    expect(page.locator(".sw-size")).to_contain_text("0.25 × 0.25 × 2.5 mm")
    post(f"images/{image}/orientation", ends=["A", "S", "L"])
    wait_state(page, f"state.image !== {image} && state.editable")  # the same, turned
    expect(page.locator(".sw-name")).to_have_text("trunk")
    turned = page.evaluate("() => window.__slicewise.image")
    assert turned["marks"] == [["S", "I"], ["A", "P"], ["R", "L"]] and turned["shape"] == [160, 96, 160]
    image = turned["id"]
    post("images/delete", images=[image])
    expect(page.locator(".sw-name")).not_to_have_text("trunk")
    expect(page.locator(".sw-name")).not_to_have_text("")
    post("images/restore", images=[image])
    for _ in range(3):
        newest = next(
            a
            for a in page.request.get(server.address + "/api/acts").json()["acts"]
            if not a["undone"] and a["kind"] != "delete-images"
        )
        post(f"acts/{newest['id']}/undo")


def test_a_volume_is_told_how_it_lies_and_is_shown_so(page: Page) -> None:
    tab(page, "Images")
    page.get_by_role("listbox", name="Images").get_by_role("option").filter(has_text="torso").first.click()
    expect(page.locator(".sw-name")).to_contain_text("torso")
    wait_state(page, "state.loading.done >= state.loading.total")
    page.keyboard.press("F2")
    dialog = page.get_by_role("dialog", name="torso")
    for edge, side in (("First slice", "A"), ("Top", "S"), ("Left", "L")):
        dialog.get_by_role("combobox", name=edge).select_option(side)
    dialog.get_by_role("button", name="Set sides").click()
    expect(dialog).to_be_hidden()
    told = "its first slice is A, its top S, its left L"
    expect(page.locator(".sw-toast")).to_contain_text(told)
    wait_state(page, "window.__slicewise.image.shape.join() === '160,96,160' && state.editable")
    assert page.evaluate("() => window.__slicewise.image.marks") == [["S", "I"], ["A", "P"], ["R", "L"]]
    planes = page.locator(".cv-plane")
    assert planes.all_inner_texts()[:3] == ["Axial", "Coronal", "Sagittal"]
    page.get_by_role("button", name="Axial only").click()
    expect(planes.nth(0)).to_be_visible()
    expect(planes.nth(1)).to_be_hidden()
    expect(page.get_by_role("button", name="Axial only")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Alt+1")
    tab(page, "Data")
    page.get_by_role("button", name=re.compile("^Undo: Said of")).click()
    expect(page.get_by_role("button", name=re.compile("^Redo: Said of"))).to_be_visible()


def test_the_slices_of_all_volumes_in_the_list_are_said_to_be_frames_and_that_is_undone(page: Page) -> None:
    tab(page, "Images")
    images = page.get_by_role("listbox", name="Images")
    page.get_by_role("searchbox", name="Search images").fill("torso")
    expect(images.get_by_role("option").filter(has_not_text="torso")).to_have_count(0)
    images.get_by_role("option").filter(has_text="torso").first.click()
    expect(page.locator(".sw-name")).to_contain_text("torso")
    size = page.locator(".sw-size")
    expect(size).not_to_contain_text("frames")
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog = page.get_by_role("dialog", name="torso")
    dialog.get_by_role("combobox", name="What its slices are").select_option("frames in time")
    dialog.get_by_role("combobox", name="Which images").select_option("all volumes in the list")
    dialog.get_by_role("button", name="Set slices").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".sw-toast.info")).to_contain_text("the slices are frames in time")
    expect(size).to_contain_text("frames")
    expect(images.get_by_role("option").filter(has_text="frames").first).to_be_visible()
    expect(page.locator(".cv-where").first).to_have_text(re.compile(r"^frame \d+ / \d+$"))
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(dialog.get_by_role("combobox", name="What its slices are")).to_have_value("frames")
    page.keyboard.press("Escape")
    tab(page, "Data")
    page.get_by_role("button", name=re.compile("^Undo: Said of .*torso.*frames in time")).click()
    expect(page.get_by_role("button", name=re.compile("^Redo: Said of .*torso"))).to_be_visible()
    expect(size).not_to_contain_text("frames")
