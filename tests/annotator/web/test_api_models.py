"""A trained model through the server: out as a zip, in again as a learner's start, under this project's classes."""

import io
import json
import time
import zipfile

import pytest

from annotator.learning.model_import import import_model, model_folder
from learners.training.checkpoint import read_card
from tests.annotator.learning.test_model_export import trained
from tests.support.asgi_client import client_of, small_app, small_workflow, visit


@pytest.fixture
def served(tmp_path):
    """A signed-in client of a server with one trained model of `supervised`, classes cell and wall."""
    with small_workflow(tmp_path) as workflow:
        trained(workflow.store, 2)
        app = small_app(workflow, fill=True)
        with visit(app) as client:
            yield client, workflow, app


def finished(client, app, answer):
    """The job that an answer names, once it is over."""
    assert answer.status_code == 200, answer.text
    job = app.context.jobs.get(answer.json()["job"])
    until = time.monotonic() + 60
    while job.state == "running":
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def exported(client, app):
    job = finished(client, app, client.post("/api/models/supervised/export"))
    assert job.state == "done", job.progress.message
    return client.get(job.url)


def upload(client, name, content):
    batch = client.post("/api/upload/begin", json={}).json()["batch"]
    assert client.put(f"/api/upload/{batch}/0?name={name}", content=content).status_code == 200
    return batch


def test_a_model_leaves_as_a_zip_of_its_folder(served):
    client, _, app = served
    answer = exported(client, app)
    assert "project-supervised.zip" in answer.headers["content-disposition"]
    content = zipfile.ZipFile(io.BytesIO(answer.content))
    names = {name.removeprefix("project-supervised/") for name in content.namelist()}
    assert {"model.json", "model.safetensors", "predict.py"} <= names
    assert content.testzip() is None


def test_a_bundle_for_monai_leaves_by_its_own_name_and_comes_in_again(served):
    client, _, app = served
    job = finished(client, app, client.post("/api/models/supervised/export", json={"bundle": True}))
    answer = client.get(job.url)
    assert "project-supervised-monai.zip" in answer.headers["content-disposition"]
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert "project-supervised-monai/configs/metadata.json" in names
    batch = upload(client, "bundle.zip", answer.content)
    job = finished(client, app, client.post("/api/models/unimatch/import", json={"batch": batch}))
    assert job.state == "done", job.progress.message


def test_the_zip_comes_in_again_as_another_learners_start(served):
    client, workflow, app = served
    batch = upload(client, "model.zip", exported(client, app).content)
    job = finished(client, app, client.post("/api/models/unimatch/import", json={"batch": batch}))
    assert job.state == "done" and "the next round starts from it" in job.progress.message
    learner = {one["name"]: one for one in client.get("/api/learn").json()["learners"]}
    assert learner["unimatch"]["model"] and not learner["bcp"]["model"]
    rounds = workflow.store.rounds
    assert read_card(rounds.model("unimatch")).learner == "unimatch"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("model.zip", b"no zip", "cannot be read as a zip"),
        ("notes.txt", b"hello", "they are no model"),
        ("model.json", b"[]", "cannot be read"),
    ],
)
def test_what_is_no_model_is_refused_in_words(served, name, content, line):
    client, _, app = served
    batch = upload(client, name, content)
    job = finished(client, app, client.post("/api/models/unimatch/import", json={"batch": batch}))
    assert job.state == "failed" and line in job.progress.message
    assert not any(app.context.uploads._folder.iterdir())


def test_a_learner_without_a_model_says_so_and_strangers_get_nothing(served):
    client, _, app = served
    job = finished(client, app, client.post("/api/models/bcp/export"))
    assert job.state == "failed" and "bcp has no model yet" in job.progress.message.lower()
    with client_of(app) as stranger:
        assert stranger.get(f"/api/models/export/{job.id}").status_code in (303, 401, 403)


def test_a_zip_can_write_nothing_outside_its_place(tmp_path):
    archive = tmp_path / "up" / "evil.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("../../model.json", "{}")
        content.writestr("../predict.py", "raise SystemExit")
    folder = model_folder(archive.parent, tmp_path / "in")
    assert [path.name for path in folder.iterdir()] == ["model.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "up"]


def test_classes_are_matched_by_name_and_new_ones_are_made(store, tmp_path):
    from annotator.learning.model_export import export_model
    from storage.store import Store

    folder = export_model(store, trained(store, 2), "supervised", tmp_path / "model").folder
    other = Store(tmp_path / "other")
    try:
        for name in ("nerve", "Wall"):
            other.add_class(name)
        rounds = other.rounds
        rounds.sweep()
        row = import_model(other, rounds, "supervised", folder)
        card = read_card(rounds.folder(row.id))
        names = {c.id: c.name for c in other.classes()}
        assert [names[c] for c in card.class_ids] == ["cell", "Wall"]
        assert {names[c]: dice for c, dice in card.per_class.items()} == {"cell": 0.9, "Wall": 0.7}
    finally:
        other.close()


def test_a_class_without_a_name_is_refused(store, tmp_path):
    from annotator.learning.model_export import export_model

    rounds = trained(store, 2)
    folder = export_model(store, rounds, "supervised", tmp_path / "model").folder
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "classes": [], "class_ids": [1, 9]}))
    with pytest.raises(ValueError, match="class 9 has no name"):
        import_model(store, rounds, "supervised", folder)
