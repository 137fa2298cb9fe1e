"""Formats laid onto DICOM files, from the page: it asks for their folder and keeps nothing of it; in Chromium."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from storage.store import Store
from tests.page.test_workspace import AXE, tab
from tests.support.chromium import PageWatch, RunningServer, start_server, stranger
from tests.support.dicom_series import save_series
from tests.support.labelled_projects import add_labels, imported, picture_file

pytestmark = pytest.mark.browser
SLOW = 30_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a series and a picture, both labelled, and their files beside it."""
    folder = tmp_path_factory.mktemp("dicom")
    save_series(folder / "in/series", "oblique")
    picture_file(folder / "in/a.png")
    with closing(Store(folder / "project")) as store:
        liver = store.add_class("liver").id
        for image_id in imported(store, folder / "in").added:
            add_labels(store, image_id, np.full(store.image(image_id).shape, liver, np.uint8))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    running = start_server(folder, "--project", str(folder / "project"), "--no-fill", "--no-download")
    yield running
    running.stop()


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    with stranger(same_context, watch) as page:
        page.goto(server.address)
        page.wait_for_selector(".sw[data-ready='1']", timeout=60_000)
        tab(page, "Data")
        for usual in ("NIfTI volumes", "PNG masks", "COCO JSON"):
            page.get_by_role("checkbox", name=usual).uncheck()
        yield page


def test_the_folder_of_the_series_is_asked_for_and_deleted_after(page: Page, folder: Path) -> None:
    page.get_by_role("checkbox", name="DICOM-SEG", exact=True).check()
    page.get_by_role("checkbox", name="RTSTRUCT contours").check()
    page.get_by_role("button", name="Export labels").click()
    dialog = page.get_by_role("dialog", name="Which DICOM files?")
    expect(dialog).to_contain_text("DICOM-SEG and RTSTRUCT contours: laid onto the DICOM files")
    page.add_script_tag(path=AXE)
    found = page.evaluate("() => axe.run(document.querySelector('dialog'))")
    assert not found["violations"], [(v["id"], v["help"]) for v in found["violations"]]
    with page.expect_file_chooser() as chooser:
        dialog.get_by_role("button", name="Choose the folder").click()
    chooser.value.set_files(folder / "in/series")
    expect(dialog).to_be_hidden(timeout=SLOW)
    link = page.get_by_role("link", name="Download the export").first
    expect(link).to_be_visible(timeout=SLOW)
    card = page.get_by_role("article").filter(has=link)
    expect(card).to_contain_text("1 image exported")
    expect(card).to_contain_text("2 notes on this export")
    expect(card).to_contain_text("a.png: the chosen formats do not fit it; PNG masks or COCO JSON would")
    with page.expect_download() as download:
        link.click()
    with zipfile.ZipFile(download.value.path()) as packed:
        packed.extractall(folder / "out")
    (segments,), (regions,) = (folder / "out/dicomseg").iterdir(), (folder / "out/rtstruct").iterdir()
    series = pydicom.dcmread(next((folder / "in/series").iterdir())).SeriesInstanceUID
    assert hd.seg.segread(segments).ReferencedSeriesSequence[0].SeriesInstanceUID == series
    assert [one.ROIName for one in pydicom.dcmread(regions).StructureSetROISequence] == ["liver"]
    staged = [path for path in folder.rglob("*.dcm") if not path.is_relative_to(folder / "in")]
    assert not [path for path in staged if not path.is_relative_to(folder / "out")]


def test_left_out_they_are_told_and_the_rest_is_written(page: Page) -> None:
    page.get_by_role("checkbox", name="DICOM-SEG", exact=True).check()
    page.get_by_role("checkbox", name="PNG masks").check()
    page.get_by_role("button", name="Export labels").click()
    dialog = page.get_by_role("dialog", name="Which DICOM files?")
    dialog.get_by_role("button", name="Leave them out").click()
    expect(dialog).to_be_hidden()
    told = "DICOM-SEG needs the headers of its series; choose their folder on the page"
    card = page.get_by_role("article").filter(has_text=told)
    card.get_by_text("1 note on this export").click(timeout=SLOW)
    expect(card.get_by_text(told)).to_be_visible()


def test_an_image_that_is_no_dicom_is_refused_in_a_sentence(page: Page) -> None:
    expect(page.get_by_text("44 × 31").first).to_be_visible()  # the picture comes first, and is open
    page.get_by_role("radio", name="Open image").check(force=True)
    page.get_by_role("checkbox", name="DICOM-SEG", exact=True).check()
    page.get_by_role("button", name="Export labels").click()
    told = "the chosen formats fit none of the labelled images; volumes need nifti or"
    expect(page.locator("#tab-data").get_by_text(told).first).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("dialog")).to_have_count(0)
