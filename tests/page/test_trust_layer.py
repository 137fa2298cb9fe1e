"""The layer of trust in Chromium: people green, the fill blue and fainter away from what was drawn."""

import pytest
from playwright.sync_api import Page

from tests.page.test_proposals import label_one, take_back_all
from tests.page.test_workspace import wait_state

pytestmark = pytest.mark.browser
KNOWN = "window.__slicewise.views[window.__slicewise.state.axis].trust"


def test_a_key_shows_who_is_trusted_and_how_far(page: Page) -> None:
    label_one(page)
    page.keyboard.press("Shift+U")
    wait_state(page, "state.trust")
    most = (
        f"() => {KNOWN}.who?.includes(1) && Math.max(...{KNOWN}.trust.filter((_, i) => {KNOWN}.who[i] === 2))"
    )
    here = page.wait_for_function(most).json_value()
    for _ in range(3):
        page.keyboard.press("PageDown")
    away = page.wait_for_function(
        f"() => {KNOWN}.who && !{KNOWN}.who.includes(1) && Math.max(...{KNOWN}.trust)"
    ).json_value()
    assert 0 < away < here <= 243
    page.keyboard.press("Shift+U")
    wait_state(page, "!state.trust")
    page.wait_for_function(f"() => {KNOWN}.who === null")
    take_back_all(page)
