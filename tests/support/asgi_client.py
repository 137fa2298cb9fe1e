"""The server's application without a network: a signed-in client, an open socket, frames in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient, WebSocketTestSession

from annotator.prompting.service import PromptService
from annotator.protocol.frames import pack, unpack
from annotator.server import App, assemble
from annotator.server_settings import ServerSettings
from annotator.workflow import Workflow
from storage.store import Store
from tests.conftest import ball

BASE = "http://127.0.0.1:7860"
SOCKETS = BASE.replace("http", "ws")
OWN = {"origin": BASE}


@contextmanager
def small_workflow(folder: Path, kind: type[Workflow] = Workflow) -> Iterator[Workflow]:
    """A project of one 9 x 17 x 23 volume and one class."""
    store = Store(folder / "project")
    store.add_class("one")
    store.add_image(ball()[0])
    workflow = kind(store, PromptService(store))
    try:
        yield workflow
    finally:
        workflow.close()


def small_app(workflow: Workflow, **settings: Any) -> App:
    """Our routes without Gradio's, and without what proposes labels in the background unless asked for."""
    return assemble(workflow, ServerSettings(**{"fill": False, "learn": False, **settings}), with_page=False)


def client_of(app: App, base: str = BASE, address: str = "127.0.0.1") -> TestClient:
    """A stranger, at this computer where no other address is given."""
    return TestClient(app.guard, base_url=base, client=(address, 50000), follow_redirects=False)


@contextmanager
def visit(app: App) -> Iterator[TestClient]:
    """A signed-in person whose unsafe requests come from our own page; the server runs meanwhile."""
    with client_of(app) as client:
        client.get("/")
        client.headers["origin"] = BASE
        yield client


class Live:
    """One open websocket."""

    def __init__(self, session: WebSocketTestSession) -> None:
        self.session = session

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        self.session.send_bytes(pack(message, payload))

    def next(self) -> tuple[dict[str, Any], bytes]:
        return unpack(self.session.receive_bytes())

    def wait(self, kind: str, **fields: Any) -> tuple[dict[str, Any], bytes]:
        """The next message of a kind with these fields; what comes before is dropped."""
        while True:
            message, payload = self.next()
            if message["t"] == kind and all(message.get(key) == value for key, value in fields.items()):
                return message, payload


@contextmanager
def live(client: TestClient) -> Iterator[Live]:
    with client.websocket_connect(SOCKETS + "/api/live") as session:
        yield Live(session)
