"""Where one is signed in, in the page: two browsers of one person, one of which signs the other out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from annotator.access.accounts import Accounts
from tests.page.test_workspace import tab
from tests.support.chromium import READY, PageWatch, RunningServer, new_context, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a project `p` of ann's."""
    folder = tmp_path_factory.mktemp("signed-in")
    Accounts(folder / "p" / "private").add_user("ann", PASSWORD)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(folder / "a.png")
    running = start_server(folder, "a.png", "--project", "p", "--no-fill", "--no-download")
    yield running
    running.stop()


def sign_in(browser: Browser, server: RunningServer, name: str = "ann", **more: str) -> Page:
    page = new_context(browser, **more).new_page()
    page.goto(server.address)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(READY, timeout=60_000)
    return page


def test_a_person_signs_another_browser_out_and_then_this_one(browser: Browser, server: RunningServer):
    elsewhere = sign_in(browser, server, user_agent=FIREFOX)
    page = sign_in(browser, server)
    watch = PageWatch(server.address)
    watch.follow(page)
    page.get_by_role("button", name="ann").click()
    rows = page.get_by_role("list", name="Your sessions").get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="This one")).to_contain_text("Chrome without a window on Linux, 127.0.0.1")
    page.get_by_role("button", name="Sign out: Firefox on Linux, 127.0.0.1").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Sign out everywhere else")).to_be_disabled()
    expect(elsewhere.locator(".sw-link")).to_have_text("Signed out")
    watch.check()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_label("Password")).to_be_visible()
    for one in (page, elsewhere):
        one.context.close()


def test_only_an_administrator_is_offered_a_backup(browser: Browser, server: RunningServer, folder: Path):
    page = sign_in(browser, server)
    tab(page, "Data")
    backup = page.get_by_role("button", name="Back up the project")
    expect(page.get_by_text("only administrators make one")).to_be_visible()
    expect(backup).to_be_hidden()
    Accounts(folder / "p" / "private").set_administrator("ann", True)
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    tab(page, "Data")
    expect(backup).to_be_visible()
    page.context.close()


WATCH = """() => {
    window.offered = false;
    const look = () => [...document.querySelectorAll(".sw-job button")].some(
        (one) => one.textContent === "Cancel" && one.checkVisibility()) && (window.offered = true);
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""
START = """() => fetch("/api/examples/gallery", {
    method: "POST", headers: {"content-type": "application/json"}, body: "{}"}).then((answer) => answer.status)"""


def test_a_job_of_somebody_else_names_that_person_and_only_who_started_it_may_cancel(
    browser: Browser, server: RunningServer, folder: Path
):
    Accounts(folder / "p" / "private").set_administrator("ann", False)
    Accounts(folder / "p" / "private").add_user("bob", PASSWORD)
    ann, bob = sign_in(browser, server), sign_in(browser, server, "bob")
    for page in (ann, bob):
        tab(page, "Data")
        page.evaluate(WATCH)
    assert ann.evaluate(START) == 200
    for page in (ann, bob):
        done = page.locator(".sw-job[data-state=done]").filter(has_text="Import")
        expect(done).to_be_visible(timeout=60_000)
        expect(done.get_by_text("by ann")).to_be_visible(visible=page is bob)
    assert ann.evaluate("() => window.offered") and not bob.evaluate("() => window.offered")
    for one in (ann, bob):
        one.context.close()
