"""One's own sessions: a list of where one is signed in, and signing out there, which counts at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from annotator.access.session_list import SAVE_SECONDS, OpenSession, SessionList, browser_in_words
from annotator.access.sessions import Session, Sessions
from annotator.server import App
from annotator.server_settings import ServerSettings
from annotator.web.hub import SIGNED_OUT
from annotator.workflow import Workflow
from tests.support.asgi_client import BASE, OWN, client_of, live, small_app, small_workflow

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"  # noqa: E501  # fmt: skip
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"  # noqa: E501  # fmt: skip


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    with small_workflow(tmp_path_factory.mktemp("sessions")) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> Iterator[App]:
    """A server with two users, ann and bob."""
    app = small_app(workflow, require_sign_in=True)
    accounts = app.context.sessions.accounts
    for name in ("ann", "bob"):
        accounts.add_user(name, PASSWORD)
    yield app
    for name in accounts.names():
        accounts.remove_user(name)


def signed_in(app: App, name: str, agent: str, address: str = "127.0.0.1") -> TestClient:
    """A browser in which this person has just signed in."""
    client = client_of(app, address=address)
    client.headers |= {"user-agent": agent, "origin": BASE}
    assert client.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
    assert client.get("/api/project").status_code == 200
    return client


def listed(client: TestClient) -> list[dict]:
    return client.get("/api/sessions").json()["sessions"]


def test_a_person_sees_their_own_sessions_and_which_one_this_is(app: App):
    with client_of(app):
        desk, laptop = signed_in(app, "ann", FIREFOX), signed_in(app, "ann", EDGE, "10.0.0.7")
        signed_in(app, "bob", IPHONE)
        rows = {row["browser"]: row for row in listed(desk)}
        assert set(rows) == {"Firefox on Linux", "Edge on Windows"}
        assert rows["Edge on Windows"]["address"] == "10.0.0.7"
        assert rows["Firefox on Linux"]["this"] and not rows["Edge on Windows"]["this"]
        assert {row["browser"]: row["this"] for row in listed(laptop)} == {
            "Firefox on Linux": False,
            "Edge on Windows": True,
        }


def test_signing_out_one_session_ends_it_and_its_open_tabs_at_once_and_no_other(app: App):
    with client_of(app):
        desk, laptop = signed_in(app, "ann", FIREFOX), signed_in(app, "ann", EDGE)
        with live(laptop) as its_tab, live(desk) as own_tab:
            (other,) = [row for row in listed(desk) if not row["this"]]
            answer = desk.post("/api/sessions/end", json={"id": other["id"]})
            assert [row["this"] for row in answer.json()["sessions"]] == [True]
            with pytest.raises(WebSocketDisconnect) as closed:
                its_tab.wait("nothing is sent any more")
            assert closed.value.code == SIGNED_OUT
            own_tab.send({"t": "ping", "n": 5})
            assert own_tab.wait("pong")[0]["n"] == 5
        assert laptop.get("/api/project").status_code == 401
        assert desk.get("/api/project").status_code == 200


def test_signing_out_everywhere_else_leaves_this_session_and_other_people(app: App):
    with client_of(app):
        desk, bob = signed_in(app, "ann", FIREFOX), signed_in(app, "bob", FIREFOX)
        others = [signed_in(app, "ann", agent) for agent in (EDGE, IPHONE)]
        assert [row["this"] for row in desk.post("/api/sessions/end", json={}).json()["sessions"]] == [True]
        assert [one.get("/api/project").status_code for one in (*others, desk, bob)] == [401, 401, 200, 200]


def test_signing_out_closes_the_tabs_of_this_browser_too(app: App):
    with client_of(app):
        desk = signed_in(app, "ann", FIREFOX)
        with live(desk) as tab:
            assert desk.post("/logout", headers=OWN).status_code == 303
            with pytest.raises(WebSocketDisconnect) as closed:
                tab.wait("nothing is sent any more")
            assert closed.value.code == SIGNED_OUT


def test_nobody_ends_the_session_of_somebody_else(app: App):
    with client_of(app):
        ann, bob = signed_in(app, "ann", FIREFOX), signed_in(app, "bob", EDGE)
        (hers,) = listed(ann)
        answer = bob.post("/api/sessions/end", json={"id": hers["id"]})
        assert answer.status_code == 404 and "ended already" in answer.json()["error"]
        assert ann.get("/api/project").status_code == 200
        assert client_of(app).get("/api/sessions").status_code == 401


def test_the_list_outlives_a_restart_and_what_no_longer_holds_is_not_on_it(tmp_path: Path):
    sessions = Sessions(tmp_path, ServerSettings(require_sign_in=True))
    ann = sessions.accounts.add_user("ann", PASSWORD)
    read = [sessions.read(sessions.issue(ann).partition(";")[0]) for _ in range(2)]
    now = time.time()
    for at, session in enumerate(read):
        assert session
        row = OpenSession(
            session.key, "ann", session.stamp, f"browser {at}", "::1", now, now, session.expires
        )
        sessions._list.note(row)
    sessions._list.save()
    again = Sessions(tmp_path, ServerSettings(require_sign_in=True))
    assert {row.browser for row in again.of("ann")} == {"browser 0", "browser 1"}
    again.end(read[0])
    assert [row.browser for row in again.of("ann")] == ["browser 1"]
    again.accounts.set_password("ann", PASSWORD + "2")
    assert not again.of("ann")


def test_an_ended_session_stays_ended_when_its_cookie_was_renewed_meanwhile(tmp_path: Path, monkeypatch):
    sessions = Sessions(tmp_path, ServerSettings())
    first = sessions.read(sessions.issue(None).partition(";")[0])
    assert first
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 86400)
    renewed = sessions.renew(first).partition(";")[0]
    sessions.end(first)
    monkeypatch.setattr(time, "time", lambda: now + 16 * 86400)
    sessions.end(sessions.read(sessions.issue(None).partition(";")[0]))  # tidies what has expired
    assert sessions.read(renewed) is None


def test_last_seen_is_written_now_and_then_and_the_first_time_stays(tmp_path: Path, monkeypatch):
    rows = SessionList(tmp_path / "sessions.json")
    clock = time.monotonic()

    def row(seen: float) -> OpenSession:
        return OpenSession("k", "ann", "s", "Firefox", "::1", since=seen, seen=seen, expires=2e9)

    now = time.time()
    assert rows.note(row(now)), "a new session is saved"
    rows.save()
    assert not rows.note(row(now + 1)) and not rows.note(row(now + 120))
    assert (kept := rows.of("ann")[0]).seen == now + 120 and kept.since == now
    monkeypatch.setattr(time, "monotonic", lambda: clock + SAVE_SECONDS + 60)
    assert rows.note(row(now + 240))


def test_a_damaged_or_unwritable_list_locks_nobody_out(tmp_path: Path):
    (tmp_path / "sessions.json").write_text("[7")
    sessions = Sessions(tmp_path, ServerSettings())
    session = sessions.read(sessions.issue(None).partition(";")[0])
    assert isinstance(session, Session) and sessions.of(session.user) == []
    broken = SessionList(tmp_path / "no folder" / "sessions.json")
    broken.note(OpenSession("k", "ann", "s", "Firefox", "::1", 1, 1, 2e9))
    broken.save()
    assert [one.key for one in broken.of("ann")] == ["k"]


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        (IPHONE, "Safari on iOS"),
        (EDGE.replace(" Edg/140.0.0.0", ""), "Chrome on Windows"),
        ("python-httpx/0.28.1", "the program python-httpx"),
        ("", "an unknown browser"),
        ("<b>\x00", "an unknown browser"),
    ],
)
def test_a_browser_is_named_in_words(agent: str, words: str):
    assert browser_in_words(agent) == words
