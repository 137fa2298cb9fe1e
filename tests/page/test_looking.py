"""A project on a full disk in the browser: looked at, and opened by itself when there is room; a backup to download."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from annotator.access.sessions import Sessions
from annotator.backups.restore import restore
from annotator.jobs import Job
from annotator.server_settings import ServerSettings
from storage.arrays import SliceRef
from storage.store import Store
from tests.conftest import ball, drawn
from tests.page.test_workspace import canvas_point, tab
from tests.support.chromium import PageWatch, RunningServer, new_context, open_page, start_server
from tests.support.full_disk import on_full_disk, seen_by

pytestmark = pytest.mark.browser


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def full(tmp_path: Path, disk: Path) -> Iterator[RunningServer]:
    store = Store(tmp_path / "project")
    store.add_class("one")
    store.add_image(ball((9, 40, 50))[0])
    store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 4), np.uint8)))
    store.close()
    Sessions(tmp_path / "project" / "private", ServerSettings())  # it was opened in a browser before
    wrapped = on_full_disk(disk, tmp_path / "project")
    running = start_server(tmp_path, "--project", str(disk / "p"), "--no-download", wrapped=wrapped)
    yield running
    running.stop()


def test_a_full_disk_is_looked_at_and_heals(browser: Browser, full: RunningServer, disk: Path) -> None:
    page = new_context(browser).new_page()
    watch = PageWatch(full.address)
    watch.expected += ["/api/", "WebSocket", "ERR_CONNECTION", "server", "401", "409"]
    watch.follow(page)
    open_page(page, full.address)
    banner = page.get_by_role("status", name="Only to look")
    expect(banner).to_contain_text("disk of this project is full")
    for key in ("b", "k", "Delete"):
        page.keyboard.press(key)
    expect(page.locator(".sw-toast").first).to_contain_text("nothing can be changed")
    page.mouse.click(*canvas_point(page, 0.4, 0.5))
    assert page.evaluate("window.__slicewise.state.tool") == "pan"
    page.keyboard.press("PageDown")  # looking goes on
    tab(page, "Label")
    expect(page.locator(".sw-classes")).to_contain_text("one")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    seen_by(full.process.pid, disk / "filler").unlink()
    expect(banner).to_be_hidden(timeout=60_000)
    expect(page.locator(".sw-link")).to_have_text("Saved")
    page.keyboard.press("b")
    page.mouse.click(*canvas_point(page, 0.4, 0.5))
    page.wait_for_function("window.__slicewise.state.canUndo")
    expect(page.locator(".sw-link")).to_have_text("Saved")
    watch.check()
    page.context.close()


def test_a_backup_is_made_and_downloaded_on_the_page(page: Page, tmp_path: Path) -> None:
    tab(page, "Data")
    page.get_by_role("button", name="Back up the project").click()
    link = page.get_by_role("link", name="Download the backup")
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "gallery-backup.zip"
    download.value.save_as(tmp_path / "b.zip")
    files = restore(tmp_path / "b.zip", tmp_path / "back", Job("restore"))
    assert files > 16
