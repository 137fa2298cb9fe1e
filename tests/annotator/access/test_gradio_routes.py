"""Gradio's routes behind the guard: what runs something is closed, the rest answers odd input without a traceback."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from annotator.access import guard
from annotator.server import assemble
from annotator.server_settings import ServerSettings
from tests.support.asgi_client import OWN, client_of, small_workflow

FAST = guard.Rate(1e9, 1e9)
RUNS_SOMETHING = ("run/status", "run/", "call/status", "queue/join", "reset", "cancel", "run/" + "x" * 240)
BODIES = (b"", b"[", b"[]", b"{}", b'"x"', b"[" * 50_000, b'{"data": 1}', b'{"fn_index": "a"}', b"\xff\xfe")
READS = ("assets", "static", "svelte", "theme.css", "config", "gradio_api/info", "gradio_api/app_id",
         "gradio_api/startup-events", "gradio_api/theme.css")  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a person who is signed in, on a server with Gradio; errors nobody expected are raised here."""
    with pytest.MonkeyPatch.context() as patch, small_workflow(tmp_path_factory.mktemp("gradio")) as workflow:
        patch.setattr(guard, "STRANGERS", FAST)
        patch.setattr(guard, "SIGNED_IN", FAST)
        client = client_of(assemble(workflow, ServerSettings()))
        client.get("/")
        yield client


@pytest.mark.parametrize("route", RUNS_SOMETHING)
def test_nothing_can_be_run_through_gradio(client: TestClient, route: str, capsys: Any, caplog: Any):
    for body in BODIES:
        headers = {**OWN, "content-type": "application/json"}
        answer = client.post(f"/gradio_api/{route}", content=body, headers=headers)
        assert answer.status_code in (404, 405), (route, body[:20])
    assert client.get(f"/gradio_api/{route}").status_code == 404
    assert "Traceback" not in capsys.readouterr().err and not caplog.records


@pytest.mark.parametrize("folder", ["assets", "static", "svelte"])
@pytest.mark.parametrize(
    "name", ["a" * 256, "é" * 200, "a/" * 900 + "b", "a%00b", "%2e%2e/x", "con", "a" * 255]
)
def test_odd_and_very_long_paths_of_files_are_refused_quietly(
    client: TestClient, folder: str, name: str, caplog: Any
):
    assert 400 <= client.get(f"/{folder}/{name}").status_code < 500
    assert not caplog.records


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(READS), st.text(max_size=60), st.dictionaries(st.text(max_size=8), st.text(max_size=40))
)
def test_no_address_or_question_gets_more_than_a_refusal(
    client: TestClient, start: str, rest: str, asked: dict
):
    answer = client.get(f"/{start}", params=asked)
    assert answer.status_code < 500
    assert client.get(f"/{start}/{quote(rest, safe='')}").status_code < 500


def test_the_manifest_is_given_without_a_cookie_as_browsers_ask_for_it(client: TestClient):
    stranger = TestClient(client.app, base_url=str(client.base_url), client=("127.0.0.1", 5))
    answer = stranger.get("/manifest.json")
    assert answer.status_code == 200 and json.loads(answer.text)["name"] == "Slicewise"
    assert "max-age" in answer.headers["cache-control"] and not stranger.cookies
