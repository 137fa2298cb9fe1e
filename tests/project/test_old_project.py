"""A project that 0.1.0 made opens and works: the same masks, undo, proposals, models, on disk and on the page.

The fixture was made by commit 6d9ce09: six pictures of discs, four with masks, and a ball as a volume. It holds drawn,
completed, accepted, undone and redone labels, tags, groups, a flag, and one round of the supervised learner.
"""

import hashlib
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import app
from storage.fold import fold
from storage.store import Store
from tests.conftest import ROOT
from tests.page.test_workspace import tab
from tests.support.chromium import PageWatch, new_context, open_page, start_server, stranger
from tests.support.socket_client import SocketClient

MADE = ROOT / "tests" / "fixtures" / "project-0.1.0.zip"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with zipfile.ZipFile(MADE) as archive:
        archive.extractall(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def expected(project: Path) -> dict[str, Any]:
    """What 0.1.0 itself said about the project when it was made."""
    return json.loads((project / "expected.json").read_text(encoding="utf-8"))


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_its_images_labels_objects_and_proposals_are_what_they_were(project: Path, expected: dict[str, Any]):
    store = Store(project)
    images = {row.name: row for row in store.images()[1]}
    assert images.keys() == expected["images"].keys()
    for name, was in expected["images"].items():
        row = images[name]
        folded = fold(row.shape, store.labels(row.id))
        proposal = store.predictions.newest(row.id)
        assert digest(store.pixels(row.id)) == was["pixels"]
        assert digest(folded.known()) == was["known"]
        assert (0 if folded.instances is None else int(folded.instances.max())) == was["objects"]
        assert [list(state) for state in store.slice_states(row.id)] == was["slices"]
        assert proposal is not None and proposal.producer == was["producer"]
        assert digest(proposal.classes()) == was["proposal"]
    store.close()


def test_it_is_looked_at_without_being_brought_up_to_date(project: Path, expected: dict[str, Any]):
    before = (project / "project.db").read_bytes()
    store = Store.read_only(project)
    assert [[c.id, c.name, c.color] for c in store.classes()] == expected["classes"]
    assert store.newest_label() == expected["newest_label"] and store.image_states.counts()
    for row in store.images()[1]:
        assert digest(fold(row.shape, store.labels(row.id)).known()) == expected["images"][row.name]["known"]
    store.close()
    assert (project / "project.db").read_bytes() == before and not (project / ".lock").exists()


def test_its_classes_settings_tags_and_history_are_what_they_were(project: Path, expected: dict[str, Any]):
    store = Store(project)
    assert [[c.id, c.name, c.color] for c in store.classes()] == expected["classes"]
    assert store.newest_label() == expected["newest_label"]
    for key, value in expected["settings"].items():
        assert store.setting(key) == value
    history = expected["history"]
    undo, redo = store.history.of(history["author"])
    assert [event.client_id for event in undo] == history["undo"]
    assert [event.client_id for event in redo] == history["redo"]
    assert len(store.tags.of(None)) == expected["tags"]
    store.close()


def test_its_model_goes_on_training_and_its_masks_leave_the_project(project: Path, tmp_path: Path):
    assert app.main(["train", "--project", str(project), "--seconds", "1", "--learner", "supervised"]) == 0
    store = Store(project)
    last = store.rounds.newest("supervised", "done")
    assert last is not None and last.id == 2 and last.parent_dice is not None, "it started from 0.1.0's model"
    store.close()
    assert (
        app.main(
            ["export-model", str(tmp_path / "model"), "--project", str(project), "--learner", "supervised"]
        )
        == 0
    )
    assert app.main(["export", str(tmp_path / "out"), "--project", str(project)]) == 0
    assert list((tmp_path / "out").rglob("*.nii.gz")) and list((tmp_path / "out").rglob("disc0*.png"))


@pytest.mark.browser
def test_it_opens_on_the_page_and_an_old_step_is_undone(
    project: Path, expected: dict[str, Any], browser: Browser
):
    running = start_server(project.parent, "--project", str(project))
    watch = PageWatch(running.address)
    try:
        context = new_context(browser)
        with stranger(context, watch) as page:
            open_page(page, running.address)
            tab(page, "Images")
            expect(page.get_by_text("disc0.png").first).to_be_visible()
        person = SocketClient(running.address)
        person.send({"t": "open", "image": 1})
        last = expected["history"]["undo"][-1]
        person.send({"t": "undo", "id": uuid.uuid4().hex, "target": last})
        person.wait("ack")
        history = person.http.get("/api/history").json()
        assert last not in [step["id"] for step in history["undo"]]
        assert [step["id"] for step in history["redo"]] == [last]
        person.close()
        context.close()
    finally:
        running.stop()
