"""What one person started is ended by that person and by administrators; others are told whom to ask."""

import threading
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from annotator.jobs import Job
from annotator.learning.final.model import FINAL
from annotator.server import App
from annotator.workflow import Workflow
from tests.annotator.monitoring.test_metrics import PASSWORD, signed_in
from tests.support.asgi_client import OWN, client_of, small_app, small_workflow

SECONDS = 20


@pytest.fixture
def workflow(tmp_path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> Iterator[App]:
    made = small_app(workflow, require_sign_in=True, fill=True, learn=True)
    for name in ("ann", "bob", "root"):
        made.context.sessions.accounts.add_user(name, PASSWORD, administrator=name == "root")
    with client_of(made):
        yield made


def post(client: TestClient, path: str, **body: object) -> tuple[int, str]:
    answer = client.post(path, json=body, headers=OWN)
    return answer.status_code, answer.json().get("error", "")


def test_a_job_is_cancelled_by_who_started_it_and_by_administrators(app: App):
    begun, go = threading.Semaphore(0), threading.Event()

    def work(job: Job) -> None:
        begun.release()
        assert go.wait(SECONDS)
        job.check()

    for by, refused, allowed in (("ann", "bob", "ann"), ("ann", "bob", "root"), ("", "ann", "root")):
        go.clear()
        job = app.context.jobs.start("import", work, by=by)
        assert begun.acquire(timeout=SECONDS)
        status, said = post(signed_in(app, refused), f"/api/jobs/{job.id}/cancel")
        assert status == 403 and not job.cancelled
        assert "administrator to end it" in said and (f"ask {by} or" in said if by else "Nobody" in said)
        assert post(signed_in(app, allowed), f"/api/jobs/{job.id}/cancel") == (200, "") and job.cancelled
        go.set()
        thread = app.context.jobs._threads.get(job.id)
        if thread is not None:
            thread.join(SECONDS)


def test_what_a_person_asks_for_over_http_is_that_persons(app: App):
    ann, bob = signed_in(app, "ann"), signed_in(app, "bob")
    job = ann.post("/api/export", json={"formats": ["png"]}, headers=OWN).json()["job"]
    assert app.context.jobs.get(job).by == "ann"
    assert post(bob, f"/api/jobs/{job}/cancel")[0] == 403


def test_a_final_training_is_ended_or_replaced_by_who_asked_for_it(app: App, workflow: Workflow):
    ann, bob, root = (signed_in(app, name) for name in ("ann", "bob", "root"))
    assert post(ann, "/api/final", seconds=3600) == (200, "")
    background = workflow.background
    assert background is not None
    final = background.scheduler.final
    assert final.going and final.starter == "ann", "it waits for labels"
    for path, body in (
        (f"/api/learn/{FINAL}/stop", {}),
        (f"/api/learn/{FINAL}/pause", {}),
        ("/api/final/forget", {}),
        ("/api/final", {"seconds": 60}),
    ):
        status, said = post(bob, path, **body)
        assert status == 403 and "ask ann or an administrator" in said, path
    final.lasting()  # something is trained
    assert post(bob, f"/api/learn/{FINAL}/resume") == (200, "") and final.starter == "ann", (
        "it is not taken over"
    )
    assert post(root, f"/api/learn/{FINAL}/stop") == (200, "")
    assert post(ann, "/api/final/forget") == (200, "") and not final.begun
