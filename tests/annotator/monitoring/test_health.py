"""/healthz: whether the server can do its work, for anybody, without a secret."""

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from annotator.monitoring import health
from annotator.server import App
from annotator.workflow import Workflow
from tests.support.asgi_client import client_of, small_app, small_workflow


@pytest.fixture
def workflow(tmp_path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> App:
    app = small_app(workflow, require_sign_in=True)
    app.context.sessions.accounts.add_user("ann", "correct horse battery")
    return app


def asked(app: App) -> tuple[int, str]:
    with client_of(app) as stranger:
        answer = stranger.get("/healthz")
    return answer.status_code, answer.text


def test_a_server_that_can_work_says_ok_to_a_stranger_and_nothing_else(app: App, workflow: Workflow):
    before = sorted(workflow.store.root.rglob("*"))
    assert asked(app) == (200, "ok\n")
    with client_of(app) as monitor:
        assert monitor.head("/healthz").status_code == 200
    assert sorted(workflow.store.root.rglob("*")) == before, "nothing is left behind"


def test_a_full_disk_is_told_in_a_word(app: App, monkeypatch: pytest.MonkeyPatch):
    def full(**kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert asked(app) == (503, "disk\n")


def test_a_database_that_is_gone_is_told_in_a_word(app: App, workflow: Workflow, monkeypatch):
    def broken() -> int:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(workflow.store, "newest_label", broken)
    assert asked(app) == (503, "database\n")


def test_a_database_that_does_not_answer_is_told_in_time(app: App, workflow: Workflow, monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.05)
    held = small_app(workflow)
    monkeypatch.setattr(workflow.store, "newest_label", lambda: release.wait(20))
    try:
        assert asked(held) == (503, "database\n")
    finally:
        release.set()


def test_strangers_do_not_make_the_disk_busy(app: App, workflow: Workflow, monkeypatch):
    looks: list[int] = []
    monkeypatch.setattr(workflow.store, "newest_label", lambda: looks.append(1))
    with client_of(app) as stranger:
        assert {stranger.get("/healthz").status_code for _ in range(20)} == {200}
    assert len(looks) <= 2
