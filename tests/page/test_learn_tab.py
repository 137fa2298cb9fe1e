"""The Learn tab: who proposes and what it does now in two lines, and the rest behind "More"; in Chromium."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.test_proposals import deliver
from tests.page.test_workspace import tab

pytestmark = pytest.mark.browser
ROUND = {
    "t": "round", "learner": "supervised", "title": "Supervised", "state": "idle", "round": 3,
    "dice": 0.871, "behind": False, "message": "",
}  # fmt: skip


def more(page: Page) -> None:
    """What the Learn tab keeps to itself until somebody asks."""
    page.locator("#tab-learn").get_by_text("More", exact=True).click()


def test_the_learn_tab_says_who_learns_and_why_and_what_is_missing(page: Page) -> None:
    tab(page, "Learn")
    panel = page.locator("#tab-learn")
    expect(panel.get_by_text("how good they are nobody knows yet")).to_be_visible()
    expect(panel.get_by_text(re.compile("The app chose "))).to_be_hidden()
    more(page)
    expect(panel.get_by_text(re.compile("The app chose "))).to_be_visible()
    expect(panel.get_by_text("No held-out Dice yet")).to_be_visible()
    expect(panel.locator(".sw-learner .sw-badge")).to_have_text("waiting")


def test_a_running_round_shows_its_progress_and_can_be_stopped(page: Page) -> None:
    tab(page, "Learn")
    more(page)
    expect(page.locator(".sw-learner")).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.extend([request.url] if request.method == "POST" else []))
    running = ROUND | {
        "state": "running",
        "phase": "training",
        "step": 1200,
        "loss": 0.3124,
        "seconds_left": 14.2,
        "next_images": [98, 97, page.evaluate("() => window.slicewise.session.image.id")],
    }
    overview_with(page, running)
    deliver(page, running)
    expect(page.locator(".sw-now")).to_have_text("Trains 14 s more; 2 images come before this one")
    expect(page.locator(".sw-proposal-facts")).to_have_text(
        "Trains 14 s more; 2 images come before this one."
    )
    expect(page.locator(".sw-learner .sw-progress")).to_have_text(
        "training · step 1,200 · loss 0.312 · 14 s left"
    )
    expect(page.get_by_role("progressbar", name="Training")).to_be_visible()
    page.locator(".sw-learner").get_by_role("button", name="Stop").click()
    page.wait_for_timeout(200)
    assert any(url.endswith("/api/learn/supervised/stop") for url in asked)


def overview_with(page: Page, round_message: dict) -> None:
    """The server's own overview, with one learner and this round of it."""

    def answer(route: Route) -> None:
        told = route.fetch().json()
        one = next(each for each in told["learners"] if each["name"] == "supervised")
        choice = {"learner": "supervised", "why": "few labels", "automatic": True}
        told |= {"learners": [one | {"active": True}], "choice": choice, "rounds": [round_message]}
        told["proposes"] = [{"learner": "supervised", "title": "Supervised", "quality": "Dice 0.50."}]
        route.fulfill(json=told)

    page.route("**/api/learn", answer)


def test_a_failed_round_says_why(page: Page) -> None:
    failed = ROUND | {"state": "failed", "message": "The last round failed: the disk is full."}
    overview_with(page, failed)
    page.reload()
    page.wait_for_selector(".sw[data-ready='1']")
    tab(page, "Learn")
    expect(page.locator(".sw-now")).to_have_text("The last round failed: the disk is full.")
    more(page)
    expect(page.locator(".sw-learner")).to_have_attribute("data-state", "failed")


def test_pausing_and_choosing_learners_holds_on_the_server(page: Page) -> None:
    tab(page, "Learn")
    more(page)
    card = page.locator(".sw-learner")
    card.get_by_role("button", name="Pause").click()
    expect(card.locator(".sw-badge")).to_have_text("paused")
    card.get_by_role("button", name="Resume").click()
    expect(card.locator(".sw-badge")).to_have_text("waiting")
    page.get_by_text("Choose others").click()
    page.get_by_role("checkbox", name=re.compile("^Mean Teacher")).check()
    expect(page.get_by_text(re.compile("You chose Mean Teacher"))).to_be_visible()
    page.get_by_role("checkbox", name="Let the app choose").check()
    expect(page.get_by_text(re.compile("The app chose "))).to_be_visible()
