"""One guard in front of every route: ours, Gradio's, and the websocket."""

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Mount
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from annotator.access import guard
from annotator.access.guard import ALWAYS, CONTENT_POLICY
from annotator.server import App, assemble
from annotator.server_settings import ServerSettings
from annotator.workflow import Workflow
from tests.support.asgi_client import BASE, OWN, SOCKETS, client_of, live, small_app, small_workflow, visit

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
FAST = guard.Rate(1e9, 1e9)
FOREIGN = {"origin": "https://evil.example"}
# What the page needs of Gradio, found out by running it; everything else of Gradio's is closed.
NEEDED = {
    "/",
    "/config",
    "/theme.css",
    "/assets/{path:path}",
    "/static/{path:path}",
    "/svelte/{path:path}",
    "/favicon.ico",
    "/gradio_api/theme.css",
    "/gradio_api/info",
    "/gradio_api/app_id",
    "/gradio_api/startup-events",
    "/gradio_api/heartbeat/{session_hash}",
}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    with small_workflow(tmp_path_factory.mktemp("guard")) as workflow:
        yield workflow


@pytest.fixture(scope="module")
def whole(workflow: Workflow) -> App:
    """With Gradio's routes too; strangers may ask as fast as this test does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "STRANGERS", FAST)
        patch.setattr(guard, "SIGNED_IN", FAST)
        return assemble(workflow, ServerSettings())


@pytest.fixture
def client(workflow: Workflow) -> Iterator[TestClient]:
    with visit(small_app(workflow)) as client:
        yield client


def routes_of(routes: list[Any], prefix: str = "") -> Iterator[str]:
    """Every path in a table of routes, those of mounted and included tables too."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from routes_of(route.effective_candidates(), prefix)
        elif isinstance(route, Mount):
            yield prefix + route.path + "/x.js"
            yield from routes_of(route.routes, prefix + route.path)
        else:
            yield prefix + (route.path or route.starlette_route.path)


def filled(path: str) -> str:
    """A path template with something in every place."""
    return re.sub(r"{[^}]*}", "1", path)


def closed_at_handshake(client: TestClient, path: str, **headers: str) -> int:
    """The status with which a websocket handshake is refused."""
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(SOCKETS + path, headers=headers),
    ):
        pass
    return refused.value.status_code


# every route


def test_the_walk_below_finds_our_routes_and_gradios(whole: App) -> None:
    paths = set(routes_of(whole.api.routes))
    assert {"/api/project", "/api/images/{image_id}/pixels", "/login", "/api/live", "/ui/x.js"} <= paths
    assert {"/gradio_api/upload", "/config", "/gradio_api/queue/join", "/monitoring"} <= paths
    assert len(paths) > 80


def test_a_stranger_gets_nowhere_on_any_route(whole: App) -> None:
    client = client_of(whole)
    for path in sorted(set(routes_of(whole.api.routes)) | {"/nowhere", "/docs", "/openapi.json", "/redoc"}):
        if path in ("/login", guard.MANIFEST, guard.HEALTH):
            continue
        for method in METHODS:
            if path == "/" and method in ("GET", "HEAD"):
                continue  # at this computer that is how one gets in
            answer = client.request(method, filled(path), headers=OWN)
            assert answer.status_code == 401, (method, path, answer.status_code)
            assert not client.cookies
        assert closed_at_handshake(client, filled(path), **OWN) == 401


def test_a_foreign_page_changes_nothing_on_any_route_even_with_the_cookie(whole: App) -> None:
    client = client_of(whole)
    client.get("/")
    for path in sorted(set(routes_of(whole.api.routes))):
        for method in UNSAFE:
            answer = client.request(method, filled(path), headers=FOREIGN)
            assert answer.status_code == 403, (method, path, answer.status_code)
        assert closed_at_handshake(client, filled(path), **FOREIGN) == 403


def test_a_foreign_page_reads_nothing_on_any_route_even_with_the_cookie(whole: App) -> None:
    client = client_of(whole)
    client.get("/")
    for path in sorted(set(routes_of(whole.api.routes))):
        answer = client.get(filled(path), headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"})
        assert answer.status_code == 403, path


def test_a_name_that_only_points_here_gets_nothing_on_any_route(whole: App) -> None:
    client = client_of(whole)
    client.get("/")
    for path in sorted(set(routes_of(whole.api.routes))):
        for method in METHODS:
            answer = client.request(method, filled(path), headers={"host": "evil.example", **OWN})
            assert answer.status_code == 421, (method, path)


def test_of_gradio_only_what_the_page_needs_is_open(whole: App) -> None:
    client = client_of(whole)
    client.get("/")
    ours = re.compile(r"/(login|logout|manifest\.json|healthz|metrics|api/.*|ui/.*)")
    closed = [p for p in set(routes_of(whole.api.routes)) - NEEDED if not ours.fullmatch(p)]
    assert len(closed) > 40
    for path in closed:
        for method in ("GET", "HEAD", "POST"):
            answer = client.request(method, filled(path), headers=OWN)
            assert answer.status_code == 404, (method, path, answer.status_code)


def test_every_answer_carries_the_security_headers(whole: App) -> None:
    with client_of(whole) as client:
        client.get("/")
        answers = [
            client.get("/"),
            client.get("/config"),
            client.get("/api/project"),
            client.get("/api/images/99"),
            client.get("/ui/workspace/gradio_bridge.js"),
            client.get("/nowhere"),
            client.get("/login"),
            client.post("/api/classes", headers=FOREIGN),
            client.get("/api/project", headers={"host": "evil.example"}),
            client.get("/theme.css", headers={"origin": "http://localhost:1234"}),
        ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS, answer.url
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and (
            policy == CONTENT_POLICY or "/login" in str(answer.url)
        )
        assert "cache-control" in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control") or name == "server"]


def test_gradio_says_who_it_is_only_to_those_inside(whole: App) -> None:
    with client_of(whole) as client:
        assert client.get("/config").status_code == 401
        client.get("/")
        assert client.get("/config").json()["analytics_enabled"] is False


# where it comes from


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": BASE}, 200),
        ({"origin": BASE, "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://127.0.0.1:7861"}, 403),
        ({"origin": "http://localhost:7860"}, 403),
        ({"origin": "https://127.0.0.1:7860"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": BASE + ".evil.example"}, 403),
        ({}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "x-slicewise": "1"}, 403),
        ({"sec-fetch-site": "none", "x-slicewise": "1"}, 403),
        ({"x-slicewise": "1"}, 200),
    ],
)
def test_only_our_own_page_and_honest_scripts_change_things(
    workflow: Workflow, headers: dict[str, str], status: int
) -> None:
    with client_of(small_app(workflow)) as client:
        client.get("/")
        body = {"op": "recolor", "id": 1, "color": "#123456"}
        assert client.post("/api/classes", json=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("host", "settings_", "status"),
    [
        ("127.0.0.1:7860", {}, 401),
        ("localhost", {}, 401),
        ("[::1]:7860", {}, 401),
        ("127.1.2.3", {}, 401),
        ("evil.example", {}, 421),
        ("192.168.1.7", {}, 421),
        ("localhost.evil.example", {}, 421),
        ("", {}, 421),
        ("a b", {}, 421),
        ("127.0.0.1:99:99", {}, 421),
        ("user@127.0.0.1", {}, 421),
        ("scans.example", {"names": ("scans.example",)}, 401),
        ("SCANS.example.", {"names": ("scans.example",)}, 401),
        ("192.168.1.7", {"host": "0.0.0.0"}, 401),
        ("evil.example", {"host": "0.0.0.0"}, 421),
    ],
)
def test_the_server_knows_its_names(
    workflow: Workflow, host: str, settings_: dict[str, Any], status: int
) -> None:
    client = client_of(small_app(workflow, **settings_))
    assert client.get("/api/project", headers={"host": host}).status_code == status


def test_a_header_that_may_come_once_is_refused_when_it_comes_twice(client: TestClient) -> None:
    for name in ("host", "origin", "content-length"):
        headers = [(name, "1"), (name, "1")]
        assert client.post("/api/classes", headers=headers).status_code == 400


def test_a_link_on_another_site_may_open_the_page_but_reads_nothing(workflow: Workflow) -> None:
    navigation = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "accept": "text/html"}
    with client_of(small_app(workflow)) as client:
        assert client.get("/", headers=navigation).status_code != 403
        assert client.get("/api/project", headers=navigation).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/ui/../private/session.key",
        "/ui/%2e%2e/app.py",
        "/ui/..%5capp.py",
        "/a%00b",
        "/ui/./x",
    ],
)
def test_addresses_that_lead_elsewhere_are_refused(client: TestClient, path: str) -> None:
    answer = client.request("GET", BASE + path)
    assert answer.status_code in (400, 404) and "error" in answer.json()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    path=st.text(max_size=60).map(lambda text: "/" + text),
    headers=st.dictionaries(
        st.sampled_from(
            ["host", "origin", "cookie", "sec-fetch-site", "content-length", "accept", "forwarded"]
        ),
        st.binary(max_size=40).map(lambda raw: raw.decode("latin-1").replace("\n", "").replace("\r", "")),
    ),
    method=st.sampled_from(METHODS),
)
def test_no_request_of_a_stranger_gets_in_or_brings_a_traceback(
    whole: App, path: str, headers: dict[str, str], method: str
) -> None:
    sent: list[dict] = []
    got_in(whole, path, [(k.encode(), v.encode("latin-1")) for k, v in headers.items()], method, sent)
    status = sent[0]["status"]
    assert status in (303, 400, 401, 403, 404, 408, 413, 421, 429) or path in ("/", "/login"), (status, path)


def got_in(whole: App, path: str, headers: list[tuple[bytes, bytes]], method: str, sent: list[dict]) -> None:
    """Call the application as a server would, with bytes that an honest client library never sends."""
    import anyio

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
    }
    scope |= {
        "headers": headers,
        "scheme": "http",
        "http_version": "1.1",
        "client": ("10.0.0.9", 1),
        "extensions": {},
    }
    scope["server"] = ("127.0.0.1", 7860)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    anyio.run(whole.guard, scope, receive, send)


# the websocket


def test_the_websocket_opens_for_our_own_page_only(workflow: Workflow) -> None:
    with client_of(small_app(workflow)) as client:
        assert closed_at_handshake(client, "/api/live", **OWN) == 401
        client.get("/")
        assert closed_at_handshake(client, "/api/live", **FOREIGN) == 403
        assert closed_at_handshake(client, "/api/live", origin="null") == 403
        assert closed_at_handshake(client, "/api/live") == 403
        assert closed_at_handshake(client, "/api/live", host="evil.example", **OWN) == 421
        assert closed_at_handshake(client, "/elsewhere", **OWN) == 404
        with client.websocket_connect(SOCKETS + "/api/live", headers=OWN) as session:
            assert session.receive_bytes()


def test_a_handshake_that_runs_into_a_fault_is_answered_too(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = small_app(workflow)

    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a defect")

    with visit(app) as client:
        monkeypatch.setattr(app.guard, "app", faulty)
        assert closed_at_handshake(client, "/api/live", **OWN) == 500


def test_an_open_websocket_ends_with_its_session(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    app = small_app(workflow)
    with visit(app) as client, live(client) as tab:
        tab.wait("hello")
        monkeypatch.setattr(app.context.sessions, "read", lambda cookies: None)
        tab.send({"t": "ping", "n": 1})
        with pytest.raises(WebSocketDisconnect) as ended:
            while True:
                tab.next()
        assert ended.value.code == 4401


# how much and how often


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(client: TestClient) -> None:
    long = b" " * (guard.BODY_LIMIT + 1)
    kind = {"content-type": "application/json"}
    announced = client.post("/api/classes", content=long, headers=kind)
    streamed = client.post("/api/classes", content=iter([long[:1000], long[1000:]]), headers=kind)
    lying = client.post("/api/classes", content=iter([long]), headers={**kind, "content-length": "9" * 30})
    assert [a.status_code for a in (announced, streamed, lying)] == [413, 413, 413]
    assert "1 MB" in streamed.json()["error"]


def test_a_sign_in_form_is_short(client: TestClient) -> None:
    assert client.post("/login", content=b"x" * (guard.SIGN_IN_LIMIT + 1)).status_code == 413


def test_strangers_are_slowed_down(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "STRANGERS", guard.Rate(per_second=0.1, burst=5))
    client = client_of(small_app(workflow))
    answers = [client.get("/api/project") for _ in range(7)]
    assert [a.status_code for a in answers] == [401] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert client.get(guard.HEALTH).status_code == 200, "a monitor always gets its word"


def test_a_person_who_scrolls_fast_is_not_slowed_down(client: TestClient) -> None:
    answers = [client.get(f"/api/images/1/slice/0/{n % 9}") for n in range(120)]
    assert {a.status_code for a in answers} == {200}


def test_a_session_has_its_own_limit(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SIGNED_IN", guard.Rate(per_second=0.1, burst=5))
    with visit(small_app(workflow)) as client:
        assert [client.get("/api/history").status_code for _ in range(6)][-1] == 429


def test_an_error_nobody_foresaw_is_one_sentence(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(user: str) -> dict:
        raise RuntimeError("secret detail of /home/somebody")

    monkeypatch.setattr(workflow, "history", broken)
    with client_of(small_app(workflow)) as client:
        client.get("/")
        transport = TestClient(
            client.app,
            base_url=BASE,
            client=("127.0.0.1", 1),
            raise_server_exceptions=False,
            cookies=client.cookies,
        )
        answer = transport.get("/api/history")
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["error"].startswith("Something went wrong")
