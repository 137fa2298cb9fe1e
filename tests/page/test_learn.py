"""Trained models on the page: how good they became, two side by side, out as a zip and in again; in Chromium."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from storage.arrays import SliceRef
from storage.rounds import Correction, Finished, Rounds
from storage.store import Store
from tests.annotator.learning.test_model_export import trained
from tests.conftest import ball, drawn
from tests.page.test_workspace import AXE, tab, until
from tests.support.chromium import PageWatch, RunningServer, new_context, open_page, start_server, stranger

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A project in which two learners have trained and people have corrected proposals of one."""
    folder = tmp_path_factory.mktemp("learned")
    store = Store(folder / "project")
    rounds = trained(store, 2)
    truth = ball()[1]
    store.add_image(ball()[0])
    for z in range(3, 6):
        store.add_label(drawn(SliceRef(1, 0, z), truth[z]))
        _round(store, rounds, "supervised", 0.5 + 0.1 * (z - 3))
        _round(store, rounds, "unimatch", 0.45 + 0.15 * (z - 3))
    store.set_setting("learning", json.dumps({"learners": ["supervised", "unimatch"]}))
    store.close()
    running = start_server(folder, "--project", str(folder / "project"))
    yield running
    running.stop()


def _round(store: Store, rounds: Rounds, learner: str, dice: float) -> None:
    """A round that kept the first round's model."""
    clock = store.newest_label()
    if learner == "supervised":
        rounds.add_correction(Correction(1, learner, clock - 1, 0.7, dice + 0.3))
    row = rounds.start(learner, clock)
    rounds.finish(row.id, Finished(1, dice, dice, None, {"seconds": 60.0}))


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    with stranger(same_context, watch) as page:
        open_page(page, server.address)
        tab(page, "Learn")
        page.locator("#tab-learn").get_by_text("More", exact=True).click()
        yield page


def test_both_learners_are_drawn_against_labels_and_minutes(page: Page) -> None:
    picture = page.locator("#tab-learn").get_by_role(
        "img", name=re.compile("Held-out Dice of Supervised from 0")
    )
    expect(picture).to_be_visible(timeout=30_000)
    assert "Held-out Dice of UniMatch (weak to strong) from 0.45 at 1 labelled slices to 0.75 at 3" in (
        picture.get_attribute("aria-label") or ""
    )
    expect(page.get_by_role("list", name="Learners in the plot").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("button", name="Minutes", exact=True).click()
    expect(page.get_by_role("img", name=re.compile("minutes of labelling"))).to_be_visible()
    page.get_by_text("As a table").click()
    expect(
        page.get_by_role("region", name="Dice of the learners as a table").get_by_role("row")
    ).to_have_count(8)


def test_how_much_people_left_of_the_proposals_is_drawn_too(page: Page) -> None:
    page.get_by_role("button", name="Corrective").click()
    picture = page.get_by_role("img", name=re.compile("Corrective Dice"))
    expect(picture).to_have_attribute("aria-label", re.compile("from 0.80 at 1 labelled slices to 1.00 at 3"))
    expect(page.get_by_text("The line is the mean of the last 5 corrections.")).to_be_visible()


def test_two_learners_stand_side_by_side(page: Page) -> None:
    rows = page.get_by_role("region", name="Learners side by side").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="UniMatch")).to_contain_text("0.750 (best)")
    expect(rows.filter(has_text="Supervised")).to_contain_text("0.900")


def test_a_model_is_exported_and_taken_in_by_another_learner(page: Page, tmp_path: Path) -> None:
    card = page.locator(".sw-learner", has_text="Supervised")
    card.get_by_role("button", name="Export model").click()
    link = page.get_by_role("link", name="Download the model").first
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "model.zip")
    names = [Path(name).name for name in zipfile.ZipFile(tmp_path / "model.zip").namelist()]
    assert {"model.json", "model.safetensors", "predict.py"} <= set(names)
    with page.expect_file_chooser() as chooser:
        card.get_by_role("button", name="Use a model").click()
    chooser.value.set_files(tmp_path / "model.zip")
    expect(page.get_by_text(re.compile(r"Taken in as round \d+ of supervised"))).to_be_visible(timeout=30_000)
    (tmp_path / "no.zip").write_bytes(b"nothing")
    with page.expect_file_chooser() as chooser:
        card.get_by_role("button", name="Use a model").click()
    chooser.value.set_files(tmp_path / "no.zip")
    expect(page.get_by_text(re.compile("no.zip cannot be read as a zip"))).to_be_visible(timeout=30_000)


def test_a_model_is_exported_as_a_bundle_for_monai(page: Page, tmp_path: Path) -> None:
    card = page.locator(".sw-learner", has_text="Supervised")
    card.get_by_role("button", name="MONAI bundle").click()
    job = page.locator(".sw-job", has_text="The MONAI bundle of supervised is ready")
    expect(job).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        job.get_by_role("link", name="Download the model").click()
    assert download.value.suggested_filename.endswith("-supervised-monai.zip")
    download.value.save_as(tmp_path / "bundle.zip")
    names = {name.partition("/")[2] for name in zipfile.ZipFile(tmp_path / "bundle.zip").namelist()}
    assert {"configs/inference.json", "models/model.safetensors", "scripts/__init__.py"} <= names


def settings(page: Page) -> dict:
    return page.evaluate("fetch('/api/learn').then((answer) => answer.json()).then((told) => told.settings)")


def test_references_and_adaptation_are_chosen_and_a_wrong_number_is_said(page: Page) -> None:
    page.get_by_text("Choose others").click()
    page.get_by_label("Adapt to groups of images").select_option("auto")
    until(lambda: settings(page)["adapt"] == "auto")
    page.get_by_role("button", name="Add the open image").click()
    references = page.get_by_role("textbox", name="References")
    until(lambda: settings(page)["references"] == [1])
    expect(references).to_have_value("1")
    references.fill("one")
    references.press("Tab")
    assert references.evaluate("(input) => input.validity.patternMismatch")
    references.fill("")
    references.press("Tab")
    page.get_by_label("Adapt to groups of images").select_option("")
    until(lambda: settings(page)["references"] == [] and not settings(page)["adapt"])


def test_choices_opened_before_they_are_known_are_filled_in(browser: Browser, server: RunningServer) -> None:
    context = new_context(browser)
    page, held = context.new_page(), []
    page.route("**/api/learn", lambda route: held.append(route))
    open_page(page, server.address)
    tab(page, "Learn")
    page.locator("#tab-learn").get_by_text("More", exact=True).click()
    page.get_by_text("Choose others").click()
    until(lambda: bool(held))
    for route in held:
        route.continue_()
    expect(page.get_by_role("checkbox", name="Let the app choose")).to_be_visible()
    expect(page.get_by_role("combobox", name="Train on")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_plot_is_readable_in_both_themes(browser: Browser, server: RunningServer, scheme: str) -> None:
    context = new_context(browser, color_scheme=scheme)
    page = open_page(context.new_page(), server.address)
    tab(page, "Learn")
    page.locator("#tab-learn").get_by_text("More", exact=True).click()
    expect(page.locator(".sw-plot svg").first).to_be_visible(timeout=30_000)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document)).violations")
    assert not [
        (v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")
    ]
    ratio = page.evaluate(CONTRAST)
    assert min(ratio) > 3, ratio
    context.close()


CONTRAST = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = (c) => parse(c).map((v) => linear(v / 255))
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = light(getComputedStyle(document.querySelector("#side")).backgroundColor);
    return [...document.querySelectorAll(".sw-plot-picture .sw-plot-line")].map((one) => {
        const line = light(getComputedStyle(one).stroke);
        return (Math.max(line, ground) + 0.05) / (Math.min(line, ground) + 0.05);
    });
}"""
