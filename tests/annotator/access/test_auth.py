"""Who gets in: accounts, links, sessions and the sign-in page."""

import stat
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from annotator.access.accounts import Accounts, clean_name, local_user
from annotator.access.sessions import Session, Sessions
from annotator.access.sign_in import Attempts
from annotator.server import App
from annotator.server_settings import ServerSettings
from annotator.workflow import Workflow
from tests.support.asgi_client import BASE, OWN, client_of, small_app, small_workflow

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    with small_workflow(tmp_path_factory.mktemp("auth")) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> Iterator[App]:
    """A server with one user, ann."""
    app = small_app(workflow, require_sign_in=True)
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    yield app
    for name in app.context.sessions.accounts.names():
        app.context.sessions.accounts.remove_user(name)


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


def sign_in(client: TestClient, **form: str) -> int:
    return client.post("/login", data=form, headers=OWN).status_code


def cookie_of(sessions: Sessions, header: str) -> Session | None:
    return sessions.read(header.partition(";")[0])


@lru_cache
def _sessions(private: Path) -> Sessions:
    return Sessions(private, ServerSettings())


# accounts


def test_a_password_is_kept_only_as_a_salted_hash(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("ann", PASSWORD)
    accounts.add_user("bob", PASSWORD)
    files = [path.read_text() for path in (tmp_path / "users").iterdir()]
    assert len(files) == 2 and not any(PASSWORD in text for text in files)
    first, second = (user.password for name in ("ann", "bob") if (user := accounts.user(name)))
    assert first != second
    assert accounts.check_password("ann", PASSWORD) and not accounts.check_password("ann", PASSWORD + "x")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no owner-only bits")
def test_secrets_belong_to_their_owner_alone(tmp_path: Path) -> None:
    private = tmp_path / "private"
    sessions = Sessions(private, ServerSettings())
    sessions.accounts.add_user("ann", PASSWORD)
    sessions.accounts.make_link("bob")
    for path in (private, *private.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert len(list(private.rglob("*.*"))) == 3


def test_names_that_look_alike_are_one_user(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("Zoë", PASSWORD)
    with pytest.raises(ValueError, match="already"):
        accounts.add_user("zoe\u0308", PASSWORD)


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", "a\0b", "x" * 65, "<b>", ".", "a\nb"])
def test_a_name_that_nobody_should_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        Accounts(tmp_path).add_user(name, PASSWORD)


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="characters"):
        Accounts(tmp_path).add_user("ann", "short")


def test_the_local_user_has_a_name_that_may_be_stored() -> None:
    assert clean_name(local_user()) == local_user()


def test_a_link_works_once_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    token = accounts.make_link("bob")
    assert token not in next((tmp_path / "links").iterdir()).read_text()
    assert accounts.holder(token) == "bob"
    assert (user := accounts.spend_link(token)) and user.name == "bob"
    assert accounts.spend_link(token) is None and accounts.holder(token) is None


def test_an_expired_link_signs_nobody_in_and_opens_nothing(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    token = accounts.make_link("bob", hours=-1)
    assert accounts.spend_link(token) is None
    assert accounts.defined and not accounts.usable


def test_a_torn_account_file_is_nobody_and_harms_nobody(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("ann", PASSWORD)
    (tmp_path / "users" / "torn.json").write_text('{"name": "ev')
    assert Accounts(tmp_path).names() == ["ann"]


# sessions


def test_a_session_is_read_back_and_a_changed_one_is_not(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, ServerSettings())
    user = sessions.accounts.add_user("ann", PASSWORD)
    cookie = sessions.issue(user).partition(";")[0]
    assert (read := sessions.read(cookie)) and read.user == "ann"
    for at in range(len(sessions.cookie_name) + 1, len(cookie)):
        other = "A" if cookie[at] != "A" else "B"
        changed = cookie[:at] + other + cookie[at + 1 :]
        found = sessions.read(changed)
        assert found is None or (changed != cookie and found.user == "ann" and at == len(cookie) - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(text=st.text(max_size=80))
def test_no_text_is_a_session(workflow: Workflow, text: str) -> None:
    sessions = _sessions(workflow.store.root / "private")
    assert sessions.read(text) is None
    assert sessions.read(f"{sessions.cookie_name}={text}") is None


def test_sessions_outlive_a_restart_but_not_their_key(tmp_path: Path) -> None:
    user = Sessions(tmp_path, ServerSettings()).accounts.add_user("ann", PASSWORD)
    cookie = Sessions(tmp_path, ServerSettings()).issue(user)
    assert cookie_of(Sessions(tmp_path, ServerSettings()), cookie)
    (tmp_path / "session.key").unlink()
    assert cookie_of(Sessions(tmp_path, ServerSettings()), cookie) is None


def test_an_old_session_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path, ServerSettings())
    cookie = sessions.issue(None)
    assert (fresh := cookie_of(sessions, cookie)) and not fresh.stale
    import time

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 86400)
    assert (old := cookie_of(sessions, cookie)) and old.stale
    monkeypatch.setattr(time, "time", lambda: now + 15 * 86400)
    assert cookie_of(sessions, cookie) is None


def test_a_new_password_or_a_removal_ends_every_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, ServerSettings(require_sign_in=True))
    cookie = sessions.issue(sessions.accounts.add_user("ann", PASSWORD))
    assert cookie_of(sessions, cookie)
    user = sessions.accounts.set_password("ann", PASSWORD + "2")
    assert cookie_of(sessions, cookie) is None
    cookie = sessions.issue(user)
    sessions.accounts.remove_user("ann")
    assert cookie_of(sessions, cookie) is None


def test_a_change_by_another_process_counts_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    sessions = Sessions(tmp_path, ServerSettings())
    cookie = sessions.issue(sessions.accounts.add_user("ann", PASSWORD))
    assert cookie_of(sessions, cookie)
    Accounts(tmp_path).remove_user("ann")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.1)
    assert cookie_of(sessions, cookie) is None


def test_the_first_account_ends_the_time_of_getting_in_without_one(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, ServerSettings())
    cookie = sessions.issue(None)
    assert cookie_of(sessions, cookie)
    sessions.accounts.make_link("ann")
    assert cookie_of(sessions, cookie) is None


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_strict_and_out_of_reach_of_scripts(tmp_path: Path, secure: bool) -> None:
    sessions = Sessions(tmp_path, ServerSettings(https=secure))
    cookie = sessions.issue(None)
    assert "; HttpOnly; SameSite=Strict" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert ("; Secure" in cookie) == secure and cookie.startswith("__Host-") == secure


def test_two_projects_have_two_cookies(tmp_path: Path) -> None:
    names = {Sessions(tmp_path / name, ServerSettings()).cookie_name for name in ("a", "b")}
    assert len(names) == 2


# the sign-in page


def test_a_stranger_is_sent_to_the_sign_in_page(client: TestClient) -> None:
    answer = client.get("/", headers={"accept": "text/html"})
    assert answer.status_code == 303 and answer.headers["location"] == "/login"
    page = client.get("/login")
    assert page.status_code == 200 and 'type="password"' in page.text and "<script" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text


def test_the_right_password_gets_in(client: TestClient) -> None:
    answer = client.post("/login", data={"name": "ANN ", "password": PASSWORD}, headers=OWN)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    project = client.get("/api/project").json()
    assert project["user"] == "ann" and project["sign_in"]


def test_an_unknown_name_is_told_the_same_as_a_wrong_password(client: TestClient) -> None:
    answers = [
        client.post("/login", data={"name": "ann", "password": "x" * 12}, headers=OWN),
        client.post("/login", data={"name": "nob", "password": "x" * 12}, headers=OWN),
    ]
    assert [a.status_code for a in answers] == [403, 403]
    assert answers[0].text.replace("ann", "nob") == answers[1].text
    assert "set-cookie" not in answers[0].headers


def test_guessing_is_slowed_down(client: TestClient) -> None:
    answers = [
        client.post("/login", data={"name": "ann", "password": "guess"}, headers=OWN) for _ in range(12)
    ]
    assert [a.status_code for a in answers[:10]] == [403] * 10
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
    assert sign_in(client, name="ann", password=PASSWORD) == 429


def test_guessers_on_other_addresses_do_not_keep_a_person_out(app: App, client: TestClient) -> None:
    for n in range(20):
        with client_of(app, address=f"10.0.0.{n}") as guesser:
            assert sign_in(guesser, name="ann", password="guess") == 403
    assert sign_in(client, name="ann", password=PASSWORD) == 303


def test_all_guesses_at_a_name_share_a_slower_limit_that_spares_known_addresses_and_links() -> None:
    attempts = Attempts()
    assert attempts.wait("home", "ann") == 0
    attempts.succeeded("home", "ann")
    waits = [attempts.wait(f"10.0.{n}.1", "ann") for n in range(120)]
    assert waits[:99] == [0] * 99 and waits[-1] >= 1
    assert attempts.wait("home", "ann") == 0
    assert attempts.wait("elsewhere", "") == 0, "a link is no guess"


def test_somebody_who_is_signed_in_is_never_told_to_wait(client: TestClient) -> None:
    assert sign_in(client, name="ann", password=PASSWORD) == 303
    assert [sign_in(client, name="ann", password=PASSWORD) for _ in range(12)] == [303] * 12


def test_a_link_shows_a_button_and_signs_in_once(app: App, client: TestClient) -> None:
    token = app.context.sessions.accounts.make_link("bob")
    for _ in range(2):  # looking does not use it up
        assert "Welcome, bob" in client.get("/login", params={"token": token}).text
    assert sign_in(client, link=token) == 303
    assert client.get("/api/project").json()["user"] == "bob"
    with client_of(app) as other:
        assert sign_in(other, link=token) == 403
        assert "used already" in other.get("/login", params={"token": token}).text


def test_signing_out_forgets_the_session(client: TestClient) -> None:
    sign_in(client, name="ann", password=PASSWORD)
    assert client.post("/logout", headers=OWN).status_code == 303
    assert client.get("/api/project").status_code == 401


def test_what_was_typed_cannot_become_markup(client: TestClient) -> None:
    page = client.post("/login", data={"name": '"><img src=x>', "password": "y"}, headers=OWN)
    assert "<img" not in page.text and "&lt;img" in page.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_form_gets_an_answer(app: App, body: bytes) -> None:
    with client_of(app) as client:
        kind = {"content-type": "application/x-www-form-urlencoded", **OWN}
        assert client.post("/login", content=body, headers=kind).status_code in (403, 429)


def test_signing_out_ends_copies_of_the_cookie_too_and_after_a_restart(
    app: App, client: TestClient, workflow: Workflow
) -> None:
    sign_in(client, name="ann", password=PASSWORD)
    copied = dict(client.cookies)
    assert client.post("/logout", headers=OWN).status_code == 303
    for server in (app, small_app(workflow, require_sign_in=True)):
        with client_of(server) as thief:
            thief.cookies.update(copied)
            assert thief.get("/api/project").status_code == 401
    with client_of(app) as other:
        assert sign_in(other, name="ann", password=PASSWORD) == 303
        assert other.get("/api/project").status_code == 200


def test_a_damaged_list_of_ended_sessions_lets_nobody_back_in(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, ServerSettings())
    sessions.end(Session("ann", 2e9, "key"))
    (tmp_path / "ended-sessions.json").write_text("[7")
    with pytest.raises(ValueError, match="delete it and session.key"):
        Sessions(tmp_path, ServerSettings())


# without accounts


def test_at_ones_own_computer_opening_the_page_is_enough(workflow: Workflow) -> None:
    with client_of(small_app(workflow)) as client:
        assert client.get("/api/project").status_code == 401
        answer = client.get("/")
        assert "SameSite=Strict" in answer.headers["set-cookie"]
        project = client.get("/api/project").json()
        assert project["user"] == local_user() and not project["sign_in"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "10.1.2.3"},
        {"forwarded": "for=10.1.2.3"},
        {"sec-fetch-mode": "no-cors"},
        {"host": "example.org"},
    ],
)
def test_whoever_may_be_elsewhere_is_not_let_in_without_an_account(
    workflow: Workflow, headers: dict[str, str]
) -> None:
    with client_of(small_app(workflow)) as client:
        assert "set-cookie" not in client.get("/", headers=headers).headers


def test_another_computer_is_not_let_in_without_an_account(workflow: Workflow) -> None:
    app = small_app(workflow)
    with TestClient(app.guard, base_url=BASE, client=("192.168.1.9", 4000)) as client:
        assert "set-cookie" not in client.get("/").headers


@pytest.mark.parametrize(
    "how", [{"host": "0.0.0.0"}, {"names": ("scans.example",)}, {"require_sign_in": True}]
)
def test_a_server_for_others_lets_nobody_in_without_an_account(workflow: Workflow, how: dict) -> None:
    with client_of(small_app(workflow, **how)) as client:
        assert client.get("/", headers={"accept": "text/html"}).status_code == 303
        assert not client.cookies


def test_a_server_for_others_does_not_start_before_somebody_can_sign_in(workflow: Workflow) -> None:
    from annotator.server import _check_exposed

    app = small_app(workflow, host="0.0.0.0")
    with pytest.raises(ValueError, match="python app.py user add NAME"):
        _check_exposed(app.context.sessions, ServerSettings(host="0.0.0.0"))
    app.context.sessions.accounts.make_link("ann")
    _check_exposed(app.context.sessions, ServerSettings(host="0.0.0.0"))
    app.context.sessions.accounts.remove_user("ann")


# behind a proxy that puts the app under a path


@pytest.mark.parametrize("kept", ["", "/label"])
def test_every_address_for_the_browser_is_under_the_prefix(workflow: Workflow, kept: str) -> None:
    app = small_app(workflow, require_sign_in=True, root_path="/label")
    app.context.sessions.accounts.add_user("ann", PASSWORD)
    with client_of(app) as client:
        sent_away = client.get(f"{kept}/", headers={"accept": "text/html"})
        assert sent_away.headers["location"] == "/label/login"
        assert 'action="login"' in client.get(f"{kept}/login").text
        form = {"name": "ann", "password": PASSWORD}
        signed_in = client.post(f"{kept}/login", data=form, headers=OWN)
        assert signed_in.status_code == 303 and signed_in.headers["location"] == "/label/"
        assert client.get(f"{kept}/api/project").status_code == 200
        assert client.get("/label", headers={"accept": "text/html"}).headers["location"] == "/label/"
        assert client.get("/labels/api/project").status_code == 404
        assert client.get(f"{kept}/api/../private/session.key").status_code in (400, 404)
        signed_out = client.post(f"{kept}/logout", headers=OWN)
        assert signed_out.headers["location"] == "/label/login"
    app.context.sessions.accounts.remove_user("ann")


@pytest.mark.parametrize(
    "prefix", ["label", "/label/", "//other.example", "/a/../b", "/a b", "https://a.example/x"]
)
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no path prefix"):
        ServerSettings(root_path=prefix)
