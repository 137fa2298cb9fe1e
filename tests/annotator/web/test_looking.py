"""A server of a project that is only looked at: it shows and exports everything, and writes nothing into it."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from annotator.access.accounts import Accounts
from annotator.backups.restore import restore
from annotator.jobs import Job
from annotator.prompting.service import PromptService
from annotator.server import App
from annotator.workflow import Workflow
from storage.arrays import SliceRef
from storage.store import Store
from tests.annotator.web.test_websocket import label, prompt
from tests.conftest import ball, drawn
from tests.support.asgi_client import OWN, client_of, live, small_app, visit

WHY = "the disk of this project is full, so nothing can be changed"


@pytest.fixture(scope="module")  # nothing in it changes
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looked") / "project"
    store = Store(folder)
    store.add_class("one")
    store.add_image(ball()[0])
    store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 4), np.uint8)))
    store.close()
    return folder


@pytest.fixture(scope="module")
def workflow(project: Path) -> Iterator[Workflow]:
    store = Store.read_only(project, WHY)
    workflow = Workflow(store, PromptService(store))
    yield workflow
    workflow.close()


@pytest.fixture(scope="module")
def app(workflow: Workflow) -> App:
    return small_app(workflow, fill=True)


@pytest.fixture(scope="module")
def client(app: App) -> Iterator[TestClient]:
    with visit(app) as client:
        yield client


READ = (
    "project images progress images/1 history acts tags learn queue images/1/places images/1/next-slice "
    "images/1/pixels?z0=0&z1=9 images/1/labels?z0=0&z1=9 images/1/guide?planes=2 thumbnails/1/0/4"
).split()
CHANGES = {
    "/api/classes": {"op": "add", "name": "two"},
    "/api/images/1/mark": {"mark": "flag", "on": True},
    "/api/upload/begin": {},
    "/api/model": {"name": "builtin"},
    "/api/learn/settings": {},
    "/api/bin/empty": {},
    "/api/examples/cells": {},
}


def test_everything_is_shown_and_nothing_in_the_folder_changes(client: TestClient, project: Path):
    before = contents(project)
    for path in READ:
        answer = client.get(f"/api/{path}")
        assert answer.status_code == 200, (path, answer.text)
    assert client.get("/api/project").json()["looking"] == f"T{WHY[1:]}."
    assert client.get("/api/progress").json()["work"] == 1
    assert contents(project) == before


def contents(project: Path) -> dict[Path, bytes]:
    """SQLite's own notes beside a database are empty after a look, and no content."""
    notes = ("project.db-wal", "project.db-shm")
    return {
        path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.name not in notes
    }


def test_what_would_change_the_project_is_refused_in_one_sentence(client: TestClient, project: Path):
    before = contents(project)
    for path, body in CHANGES.items():
        answer = client.post(path, json=body)
        assert answer.status_code == 409 and answer.json()["error"] == f"T{WHY[1:]}.", path
    assert contents(project) == before


def test_a_page_that_has_changes_left_keeps_them(client: TestClient, workflow: Workflow):
    with live(client) as tab:
        said, runs = label()
        tab.send(said, runs)
        refused = tab.wait("refused", id=said["id"])[0]
        assert refused["retry"] and "disk of this project is full" in refused["message"]
        tab.send(prompt(3))
        assert "nothing can be changed" in tab.wait("refused", seq=3)[0]["message"]
    assert len(workflow.store.labels(1)) == 1


def test_labels_are_exported_elsewhere(client: TestClient, app: App, project: Path):
    before = contents(project)
    job = client.post("/api/export", json={"formats": ["nifti"]}).json()["job"]
    until = time.monotonic() + 20
    while app.context.jobs.get(job).state == "running" and time.monotonic() < until:
        time.sleep(0.01)
    fetched = client.get(f"/api/export/{job}")
    assert fetched.status_code == 200 and fetched.content[:2] == b"PK"
    assert contents(project) == before


def test_people_sign_in_to_a_look_and_links_wait(project: Path, tmp_path: Path):
    project = shutil.copytree(project, tmp_path / "project")
    accounts = Accounts(project / "private")
    accounts.add_user("ann", "a long password")
    token = accounts.make_link("bob")
    store = Store.read_only(project, WHY)
    workflow = Workflow(store, PromptService(store))
    with client_of(small_app(workflow)) as stranger:
        assert stranger.get("/api/project").status_code == 401
        form = {"name": "ann", "password": "a long password"}
        assert "Welcome, bob" not in stranger.get("/login", params={"token": token}).text
        assert stranger.post("/login", data=form, headers=OWN).status_code == 303
        assert stranger.get("/api/project").json()["user"] == "ann"
    workflow.close()
    assert accounts.holder(token) == "bob"


def test_a_project_is_backed_up_while_it_is_only_looked_at(client: TestClient, app: App, tmp_path: Path):
    job = client.post("/api/backup").json()["job"]
    until = time.monotonic() + 20
    while app.context.jobs.get(job).state == "running" and time.monotonic() < until:
        time.sleep(0.01)
    fetched = client.get(f"/api/backup/{job}")
    assert fetched.status_code == 200
    (tmp_path / "b.zip").write_bytes(fetched.content)
    restore(tmp_path / "b.zip", tmp_path / "back", Job("restore"))
    store = Store(tmp_path / "back")
    assert store.newest_label() == 1
    store.close()
    assert client.get("/api/backup/0000000000000000").status_code == 404
