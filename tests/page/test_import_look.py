"""The look before an import as a person uses it: read it, change what a value means, take it; in Chromium."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from storage.fold import fold
from storage.store import Store
from tests.page.test_workspace import AXE, tab
from tests.support.chromium import PageWatch, RunningServer, start_server, stranger

pytestmark = pytest.mark.browser
SLOW = 30_000
MANY = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("look")
    running = start_server(folder, "--project", str(folder / "project"), "--no-fill", "--no-download")
    running.folder = folder / "project"  # type: ignore[attr-defined]
    yield running
    running.stop()


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    with stranger(same_context, watch) as page:
        page.goto(server.address)
        page.wait_for_selector(".sw[data-ready='1']", timeout=60_000)
        tab(page, "Data")
        yield page


def data_set(folder: Path, start: int, values: np.ndarray) -> Path:
    """Three pictures, of which two have a mask of these values."""
    rng = np.random.default_rng(start)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for n in range(3):
        picture = rng.integers(0, 255, values.shape).astype(np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{start + n}.png")
        if n:
            Image.fromarray(values).save(folder / "labels" / f"{start + n}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.nii").write_bytes(b"no volume")
    return folder


def upload(page: Page, folder: Path) -> Locator:
    """Choose a folder; the look that comes."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").last.click()
    chooser.value.set_files(folder)
    look = page.get_by_role("dialog", name="What will come in")
    expect(look).to_be_visible(timeout=SLOW)
    return look


def labelled(server: RunningServer, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """(Y, X) classes of an image, and the names of all classes."""
    store = Store.read_only(server.folder)  # type: ignore[attr-defined]
    try:
        image = next(row for row in store.images(limit=-1)[1] if row.name == name)
        names = {row.id: row.name for row in store.classes()}
        return fold(image.shape, store.labels(image.id)).known()[0], names
    finally:
        store.close()


VALUES = np.zeros((30, 40), np.uint8)
VALUES[2:9, 3:9], VALUES[12:20, 5:30], VALUES[25:] = 1, 2, 255


def test_the_look_says_what_becomes_what_and_enter_takes_it(
    page: Page, server: RunningServer, tmp_path: Path
) -> None:
    look = upload(page, data_set(tmp_path / "set", 0, VALUES))
    expect(look.locator(".sw-count")).to_have_text("4 images, 2 with a mask")
    row = look.get_by_role("option").filter(has_text="images/1.png")
    expect(row).to_contain_text("picture, 40 × 30")
    expect(row).to_contain_text("labels/1.png (the same path)")
    expect(look.get_by_role("option").filter(has_text="broken.nii")).to_contain_text("left out: it")
    expect(look.get_by_label("What 255 means")).to_have_value("void")
    expect(look.get_by_role("textbox", name="Class of 1")).to_have_value("1")
    expect(look.get_by_text("255 beside other values says that nobody knows")).to_be_visible()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document)).violations")
    assert not [
        (v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")
    ]
    page.keyboard.press("Enter")
    expect(look).to_be_hidden()
    expect(page.get_by_text("3 imported, 2 masks as labels, 1 left out")).to_be_visible(timeout=SLOW)
    known, names = labelled(server, "1.png")
    assert np.array_equal(known, VALUES) and list(names.values()) == ["1", "2"]


def test_what_a_value_means_is_changed_there(page: Page, server: RunningServer, tmp_path: Path) -> None:
    look = upload(page, data_set(tmp_path / "set", 10, np.where(VALUES == 255, 7, VALUES).astype(np.uint8)))
    look.get_by_role("textbox", name="Class of 1").fill("vessel")
    look.get_by_label("What 2 means").select_option("background")
    look.get_by_label("What 7 means").select_option("void")
    look.get_by_role("button", name="Import").click()
    expect(page.get_by_text("3 imported, 2 masks as labels, 1 left out").first).to_be_visible(timeout=SLOW)
    known, names = labelled(server, "11.png")
    (vessel,) = [n for n, name in names.items() if name == "vessel"]
    expected = np.where(VALUES == 1, vessel, np.where(VALUES == 255, 255, 0))
    assert np.array_equal(known, expected)


def test_an_open_question_leaves_masks_out_until_it_is_answered(
    page: Page, server: RunningServer, tmp_path: Path
) -> None:
    look = upload(page, data_set(tmp_path / "set", 20, VALUES))
    expect(look.get_by_text("Say what they are")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Nothing was imported.")).to_be_visible()
    greys = np.where(VALUES == 1, 128, np.where(VALUES == 255, 255, 0)).astype(np.uint8)
    look = upload(page, data_set(tmp_path / "other", 30, greys))
    expect(look.get_by_text("Say what they are")).to_be_visible()
    look.get_by_role("radio", name="Values number objects").check()
    look.get_by_role("textbox", name="Class of the objects").fill("cell")
    look.get_by_role("button", name="Import").click()
    expect(page.get_by_text("3 imported, 2 masks as labels, 1 left out")).to_be_visible(timeout=SLOW)
    known, names = labelled(server, "31.png")
    assert {names[v] for v in np.unique(known) if v} == {"cell"}


def test_a_copy_joins_the_image_that_is_here_unless_somebody_keeps_both(
    page: Page, server: RunningServer, tmp_path: Path
) -> None:
    first = data_set(tmp_path / "set", 40, np.where(VALUES == 1, 1, 0).astype(np.uint8))
    take(page, upload(page, first), "3 imported, 2 masks as labels, 1 left out")
    copy = tmp_path / "copies"
    for part in ("images", "labels"):
        (copy / part).mkdir(parents=True)
        mask = Image.fromarray(np.where(VALUES == 2, 2, 0).astype(np.uint8))
        path = copy / part / "copy.png"
        shutil.copy(first / "images/41.png", path) if part == "images" else mask.save(path)
    look = upload(page, copy)
    choice = look.get_by_role("group", name="1 file has the pixels of another image")
    proposed = choice.get_by_role("radio", name="As proposed: 1 as the image that is here")
    expect(proposed).to_be_checked()
    row = look.get_by_role("option").filter(has_text="images/copy.png")
    expect(row).to_contain_text("it has the same pixels as set/images/41.png, which is in the project")
    take(page, look, "0 imported, 1 mask as labels, 1 with the pixels of another image and taken as it")
    known, _ = labelled(server, "41.png")
    assert np.array_equal(known, np.where(VALUES == 255, 0, VALUES))
    look = upload(page, copy)
    look.get_by_role("radio", name="Each is an image of its own").check()
    take(page, look, "1 imported, 1 mask as labels")
    known, _ = labelled(server, "copy.png")
    assert np.array_equal(known, np.where(VALUES == 2, 2, 0))


def test_a_look_stays_open_while_another_import_runs(
    page: Page, server: RunningServer, watch: PageWatch, tmp_path: Path
) -> None:
    watch.expected.append("409")
    look = upload(page, data_set(tmp_path / "set", 50, VALUES))
    busy = {"error": "Another import is running; wait for it, or stop it."}
    page.route("**/finish", lambda route: route.fulfill(status=409, json=busy), times=1)
    look.get_by_role("textbox", name="Class of 1").fill("vessel")
    page.keyboard.press("Enter")
    expect(look.get_by_role("alert")).to_have_text(busy["error"])
    expect(look.get_by_role("textbox", name="Class of 1")).to_have_value("vessel")
    take(page, look, "3 imported, 2 masks as labels, 1 left out")
    expect(look).to_be_hidden()
    _, names = labelled(server, "51.png")
    assert "vessel" in names.values()


def test_an_import_that_changes_the_open_image_is_seen_to_end(
    page: Page, server: RunningServer, tmp_path: Path
) -> None:
    """Its labels come anew over another connection, and the last word about the import would be lost."""
    folder = data_set(tmp_path / "open", 70, VALUES)
    take(page, upload(page, folder), "3 imported, 2 masks as labels, 1 left out")
    tab(page, "Images")
    page.get_by_placeholder("Search by name or model").fill("71.png")  # the list may be long
    page.get_by_role("listbox", name="Images").get_by_role("option").filter(has_text="71.png").first.click()
    expect(page.locator(".sw-name")).to_contain_text("71.png")
    tab(page, "Data")
    for mended in (np.roll(VALUES, 1, 1), np.roll(VALUES, 2, 1)):
        Image.fromarray(mended).save(folder / "labels" / "71.png")
        take(page, upload(page, folder), "1 mask as labels, 1 of them in place of earlier ones")
        expect(page.locator(".sw-job-chip").last).to_be_hidden()
        expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)


def take(page: Page, look: Locator, told: str) -> None:
    look.get_by_role("button", name="Import").click()
    expect(page.get_by_text(told).first).to_be_visible(timeout=SLOW)


def test_ten_thousand_files_scroll(page: Page) -> None:
    def images(route) -> None:  # as the server would answer; the files themselves would take minutes
        query = dict(part.split("=") for part in route.request.url.split("?")[1].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        fact = {"kind": "picture", "size": [1, 30, 40], "spacing_mm": None, "orientation": ""}
        more = {"mask": "", "why": "", "warnings": [], "header": ""}
        items = [{"name": f"{n:05}.png", **fact, **more} for n in range(offset, min(MANY, offset + limit))]
        route.fulfill(json={"total": MANY, "items": items})

    page.route("**/look/images?*", images)
    facts = {
        "total": MANY,
        "with_mask": 0,
        "masks": [],
        "left_out": [],
        "passed": [],
        "warnings": [],
        "headers": 0,
        "alike": 0,
        "taken": 0,
    }
    page.route("**/upload/0123456789abcdef/look", lambda route: route.fulfill(json=facts))
    page.evaluate(
        "() => import('/ui/panels/import_look/dialog.js').then(m => m.openLook('0123456789abcdef'))"
    )
    look = page.get_by_role("dialog", name="What will come in")
    expect(look.locator(".sw-count")).to_have_text("10,000 images")
    rows = look.get_by_role("listbox", name="Images that come in")
    expect(rows.get_by_text("00000.png")).to_be_visible()
    rows.focus()
    page.keyboard.press("End")
    expect(rows.get_by_text("09999.png")).to_be_visible()
    assert rows.get_by_role("option").count() < 40
    page.route("**/upload/0123456789abcdef/discard", lambda route: route.fulfill(json={}))
    page.keyboard.press("Escape")
    expect(look).to_be_hidden()
    expect(
        page.get_by_text("Nothing was imported.")
    ).to_be_visible()  # else the page goes before it is answered


def test_outlines_of_another_program_come_in_under_their_names_and_go_out_for_another(
    page: Page, server: RunningServer, tmp_path: Path
) -> None:
    folder = tmp_path / "coco"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    picture = np.random.default_rng(60).integers(0, 255, (30, 40)).astype(np.uint8)
    Image.fromarray(picture).save(folder / "images" / "outlined.png")
    square = {"id": 1, "image_id": 1, "category_id": 200, "segmentation": [[3, 2, 9, 2, 9, 9, 3, 9]]}
    content = {
        "images": [{"id": 1, "file_name": "outlined.png", "width": 40, "height": 30}],
        "annotations": [square, square | {"id": 2, "segmentation": [[6, 4, 20, 4, 20, 6, 6, 6]]}],
        "categories": [{"id": 200, "name": "mitosis"}],
    }
    (folder / "labels" / "instances.json").write_text(json.dumps(content))
    look = upload(page, folder)
    row = look.get_by_role("option").filter(has_text="images/outlined.png")
    expect(row).to_contain_text("labels/instances.json: outlined.png (COCO JSON)")
    expect(look.get_by_role("textbox", name="Class of 200")).to_have_value("mitosis")
    expect(look.get_by_text("6 pixels lie in two objects; the later object has them")).to_be_visible()
    take(page, look, "1 imported, 1 mask as labels")
    known, names = labelled(server, "outlined.png")
    (mitosis,) = [n for n, name in names.items() if name == "mitosis"]
    assert (known[2:9, 3:9] == mitosis).all() and np.count_nonzero(known) == 42 + 28 - 6
    for usual in ("NIfTI volumes", "PNG masks", "COCO JSON"):
        page.get_by_role("checkbox", name=usual).uncheck()
    page.get_by_role("checkbox", name="GeoJSON for QuPath").check()
    page.get_by_role("button", name="Export labels").click()
    link = page.get_by_role("link", name="Download the export").first
    expect(link).to_be_visible(timeout=SLOW)
    with page.expect_download() as download:
        link.click()
    with zipfile.ZipFile(download.value.path()) as packed:
        features = json.loads(packed.read("qupath/outlined.geojson"))["features"]
    assert {one["properties"]["classification"]["name"] for one in features} == {"mitosis"}
    assert len(features) == 2
