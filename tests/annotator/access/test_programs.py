"""Programs that speak another tool's dialect: who gets in, with what, and until when."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotator.server import App, assemble
from annotator.server_settings import ServerSettings
from annotator.workflow import Workflow
from tests.support.asgi_client import BASE, client_of, small_app, small_workflow, visit
from tests.support.monai_client import MonaiClient

PASSWORD = "correct horse battery"
INFO = "/monai/info/"


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> App:
    return small_app(workflow, fill=True, serve=("monai",))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def basic(name: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def made(app: App, note: str = "Slicer") -> dict[str, Any]:
    """A token of ann's, made on the page."""
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    with client_of(app) as page:
        page.headers["origin"] = BASE
        page.post("/login", data={"name": "ann", "password": PASSWORD})
        answer = page.post("/api/tools/token", json={"note": note})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_a_dialect_is_not_there_until_it_is_switched_on(workflow: Workflow):
    with visit(small_app(workflow)) as client:
        assert client.get(INFO).status_code == 404


def test_a_dialect_that_does_not_exist_is_refused_at_the_start():
    with pytest.raises(ValueError, match=r"no dialect 'nonsense' to serve; there are: monai"):
        ServerSettings(serve=("nonsense",))


def test_without_accounts_only_this_computer_gets_in(app: App):
    assert client_of(app).get(INFO).status_code == 200
    assert client_of(app, address="192.168.1.7").get(INFO).status_code == 401
    assert client_of(app).get(INFO, headers={"x-forwarded-for": "10.0.0.1"}).status_code == 401
    assert client_of(app).get(INFO, headers=bearer("guessed")).status_code == 401


def test_with_accounts_nobody_gets_in_without_one(app: App):
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    stranger = client_of(app)
    assert stranger.get("/monai/auth/").json() == {"enabled": True}
    for method, path in (
        ("GET", INFO),
        ("GET", "/monai/datastore/image?image=1"),
        ("PUT", "/monai/datastore/label?image=1"),
        ("POST", "/monai/infer/click_slice?image=1"),
        ("DELETE", "/monai/datastore/image?id=1"),
        ("GET", "/monai/logs/"),
        ("GET", "/monai/auth/token/valid"),
    ):
        assert stranger.request(method, path).status_code == 401, path


def test_a_token_is_shown_once_listed_and_revoked(app: App, workflow: Workflow):
    told = made(app)
    secret, (row,) = told["secret"], told["tokens"]
    assert row["note"] == "Slicer" and row["used"] is None and secret not in str(row)
    program = client_of(app)
    with program:
        for headers in (
            bearer(secret),
            basic("ann", secret),
            basic("", secret),
            {"authorization": f"Token {secret}"},
        ):
            assert program.get(INFO, headers=headers).status_code == 200
        assert program.get(INFO, headers=basic("ben", secret)).status_code == 401
        assert program.get("/api/project", headers=bearer(secret)).status_code == 401, "it is for tools alone"
    files = list((workflow.store.root / "private" / "tokens").iterdir())
    assert len(files) == 1 and secret not in files[0].read_text()
    sessions = app.context.sessions
    sessions.tokens.revoke("ann", row["id"])
    assert client_of(app).get(INFO, headers=bearer(secret)).status_code == 401
    with pytest.raises(LookupError, match="revoked already"):
        sessions.tokens.revoke("ann", row["id"])


def test_a_new_password_ends_the_tokens_of_that_person(app: App):
    secret = made(app)["secret"]
    assert client_of(app).get(INFO, headers=bearer(secret)).status_code == 200
    app.context.sessions.accounts.set_password("ann", PASSWORD + "!")
    assert client_of(app).get(INFO, headers=bearer(secret)).status_code == 401


def test_a_client_signs_in_by_its_own_form(app: App):
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    with client_of(app) as http:
        client = MonaiClient(http)
        assert client.sign_in("ann", "wrong password").status_code == 401
        assert client.sign_in("ann", PASSWORD).status_code == 200
        assert client.ask("GET", "/auth/token/valid").status_code == 200
        assert client.ask("POST", "/activelearning/default", {"client_id": "x" * 2000}).status_code == 200
        assert client.ask("GET", "/info/").status_code == 200, "the length of the body before comes along"
        client.headers["content-length"] = str(1 << 24)
        assert client.ask("GET", "/info/").status_code == 200
        del client.headers["content-length"]
        (session,) = app.context.sessions.of("ann")
        assert session.browser
        app.context.sessions._end(frozenset({session.key}))
        assert client.ask("GET", "/info/").status_code == 401


def test_a_web_page_elsewhere_cannot_use_that_this_computer_is_let_in(app: App):
    client = client_of(app)
    evil = {"origin": "https://evil.example"}
    assert client.put("/monai/datastore/label?image=1", headers=evil).status_code == 403
    assert client.get(INFO, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get(INFO, headers={"host": "evil.example"}).status_code == 421


def test_a_cookie_opens_no_dialect(app: App):
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    with client_of(app) as page:
        page.post("/login", data={"name": "ann", "password": PASSWORD}, headers={"origin": BASE})
        assert page.get("/api/project").status_code == 200
        assert page.get(INFO).status_code == 401


def test_the_body_of_a_request_has_a_limit(workflow: Workflow):
    settings = ServerSettings(serve=("monai",), learn=False, max_file_bytes=1000)
    client = client_of(assemble(workflow, settings, with_page=False))
    assert client.put("/monai/datastore/label?image=1", content=b"x" * 1001).status_code == 413
    assert client.post("/monai/activelearning/default", content=b"x" * ((1 << 20) + 1)).status_code == 413
