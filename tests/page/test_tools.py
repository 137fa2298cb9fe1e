"""Other tools on the page: the address to paste, and a token that is shown once and revoked."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.page.test_sessions import PASSWORD, sign_in
from tests.page.test_workspace import tab
from tests.support.chromium import PageWatch, RunningServer, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    from annotator.access.accounts import Accounts

    folder = tmp_path_factory.mktemp("tools")
    Accounts(folder / "p" / "private").add_user("ann", PASSWORD)
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(folder / "a.png")
    running = start_server(folder, "a.png", "--project", "p", "--serve", "monai", "--no-download")
    yield running
    running.stop()


def status(address: str, token: str) -> int:
    request = urllib.request.Request(f"{address}/info/", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_token_made_on_the_page_opens_the_address_beside_it_until_it_is_revoked(
    browser: Browser, server: RunningServer
):
    page = sign_in(browser, server)
    watch = PageWatch(server.address)
    watch.follow(page)
    tab(page, "Data")
    address = page.get_by_role("textbox", name="Address for 3D Slicer").input_value()
    assert address == f"{server.address}/monai"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: Address for 3D Slicer").click()
    assert page.evaluate("navigator.clipboard.readText()") == address
    page.get_by_label("What the token is for").fill("Slicer at home")
    page.get_by_role("button", name="Make a token").click()
    secret = page.get_by_label("Token", exact=True).input_value()
    assert status(address, secret) == 200 and status(address, secret[:-1]) == 401
    rows = page.get_by_role("list", name="Your tokens").get_by_role("listitem")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Revoke: Slicer at home").click()
    expect(rows).to_have_count(0)
    expect(page.get_by_label("Token", exact=True)).to_have_count(0)
    assert status(address, secret) == 401
    watch.check()
    page.context.close()
