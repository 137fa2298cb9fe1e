"""/metrics: for administrators and with a token, in the format that Prometheus reads; every name is documented."""

import re
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from annotator.protocol import outgoing
from annotator.server import App
from annotator.workflow import Workflow
from tests.conftest import ROOT
from tests.support.asgi_client import OWN, client_of, live, small_app, small_workflow, visit

PASSWORD = "correct horse battery"
LABEL = {"t": "complete", "image": 1, "axis": 0, "index": 3, "on": True}
PROMPT = {
    "t": "predict", "seq": 1, "image": 1, "axis": 0, "index": 4, "box": None, "view": None, "window": [0, 200],
    "points": [[7.0, 9.0]], "labels": [1], "scribbles": [], "mask_box": None,
}  # fmt: skip


@pytest.fixture
def workflow(tmp_path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


def read(client: TestClient, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_people_do_is_counted(workflow: Workflow):
    app = small_app(workflow, fill=True)
    with visit(app) as client, live(client) as tab:
        for name in ("a" * 32, "b" * 32, "a" * 32):
            tab.send({**LABEL, "id": name, "index": 3 if name[0] == "a" else 99})
        tab.wait("refused")
        tab.wait("ack")
        tab.send(PROMPT)
        tab.wait("mask", seq=1)
        tab.send({**PROMPT, "seq": 2, "index": 99})
        tab.wait("refused", seq=2)
        rounds = workflow.store.rounds
        rounds.fail(rounds.start("supervised", 1).id, "x")
        app.context.hub.post(outgoing.fill(1, "done", prediction=9))
        got = read(client)
    expected = {
        ("slicewise_changes_total", (("kind", "complete"), ("outcome", "acknowledged"))): 2,
        ("slicewise_changes_total", (("kind", "complete"), ("outcome", "refused"))): 1,
        ("slicewise_change_seconds_count", ()): 3,
        ("slicewise_prompts_total", (("outcome", "answered"),)): 1,
        ("slicewise_prompts_total", (("outcome", "refused"),)): 1,
        ("slicewise_prompt_seconds_count", ()): 1,
        ("slicewise_fills_total", (("state", "done"),)): 1,
        ("slicewise_rounds", (("learner", "supervised"), ("status", "failed"))): 1,
        ("slicewise_pages_open", ()): 1,
        ("slicewise_people", ()): 1,
        ("slicewise_waiting", (("what", "prompts"),)): 0,
        ("slicewise_images", ()): 1,
    }
    assert {key: got.get(key) for key in expected} == expected
    assert sum(count for (name, _), count in got.items() if name == "slicewise_requests_total") >= 1
    assert got["slicewise_memory_bytes", (("process", "server"),)] > 1e6
    assert got["slicewise_newest_snapshot_timestamp_seconds", ()] == 0
    assert got["slicewise_disk_free_bytes", ()] > 0 and got["slicewise_database_bytes", ()] > 0


def signed_in(app: App, name: str) -> TestClient:
    client = client_of(app)
    assert client.post("/login", data={"name": name, "password": PASSWORD}, headers=OWN).status_code == 303
    return client


def test_administrators_and_holders_of_the_token_read_it_and_nobody_else(workflow: Workflow):
    app = small_app(workflow, require_sign_in=True)
    accounts = app.context.sessions.accounts
    accounts.add_user("ann", PASSWORD, administrator=True)
    accounts.add_user("bob", PASSWORD)
    first, token = (app.context.sessions.metrics_token.renew() for _ in range(2))
    with client_of(app) as stranger:
        assert stranger.get("/metrics").status_code == 401
        for said in (f"Bearer {first}", "Bearer ", "Bearer", f"Basic {token}", f"bearer {token}x"):
            assert stranger.get("/metrics", headers={"authorization": said}).status_code == 403, said
        assert read(stranger, authorization=f"Bearer {token}")
        assert stranger.get("/api/project", headers={"authorization": f"Bearer {token}"}).status_code == 401
        ann, bob = signed_in(app, "ann"), signed_in(app, "bob")
        assert read(ann) and bob.get("/metrics").status_code == 403
        accounts.set_administrator("bob", True)
        accounts.set_administrator("ann", False)
        assert read(bob) and ann.get("/metrics").status_code == 403
        assert ann.get("/api/project").status_code == 200, "its session goes on"
    assert all(token not in path.read_text() for path in (workflow.store.root / "private").glob("*.token"))


def test_only_administrators_make_a_backup_and_fetch_it(workflow: Workflow):
    app = small_app(workflow, require_sign_in=True)
    accounts = app.context.sessions.accounts
    accounts.add_user("ann", PASSWORD, administrator=True)
    accounts.add_user("bob", PASSWORD)
    with client_of(app):
        ann, bob = signed_in(app, "ann"), signed_in(app, "bob")
        assert [who.get("/api/project").json()["administrator"] for who in (ann, bob)] == [True, False]
        refused = bob.post("/api/backup", headers=OWN)
        assert refused.status_code == 403 and "for administrators" in refused.json()["error"]
        job = ann.post("/api/backup", headers=OWN).json()["job"]
        until = time.monotonic() + 20
        while app.context.jobs.get(job).state == "running" and time.monotonic() < until:
            time.sleep(0.01)
        assert ann.get(f"/api/backup/{job}").status_code == 200
        assert bob.get(f"/api/backup/{job}").status_code == 403
        accounts.set_administrator("ann", False)
        assert ann.get(f"/api/backup/{job}").status_code == 403


def test_a_new_password_leaves_an_administrator_one(workflow: Workflow):
    accounts = small_app(workflow).context.sessions.accounts
    accounts.add_user("ann", PASSWORD, administrator=True)
    assert accounts.set_password("ann", PASSWORD + "2").administrator
    accounts.remove_user("ann")


def test_every_metric_of_ours_is_documented_and_none_else(workflow: Workflow):
    with visit(small_app(workflow)) as client:
        text = client.get("/metrics").text
    told = set(re.findall(r"^# TYPE (slicewise_\w+)", text, re.MULTILINE))
    told = {name for name in told if not name.endswith("_created")}
    page = (ROOT / "docs/guide/administration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(slicewise_\w+)", page))
    assert len(told) > 10 and told == documented
