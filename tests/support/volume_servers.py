"""Servers for whole volumes on real sockets: our own dialect, and one that answers what a test says."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from tests.support.asgi_client import small_app, small_workflow


@dataclass
class Served:
    """Until `stop`, after which nobody listens there."""

    address: str
    stop: Callable[[], None]


@contextmanager
def dialect_server(folder: Path, port: int = 0) -> Iterator[Served]:
    """`--serve nninteractive` of a project of its own, without sign-in."""
    with small_workflow(folder) as workflow:
        app = small_app(workflow, fill=True, serve=("nninteractive",))
        config = uvicorn.Config(
            app.guard, port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        listener = config.bind_socket()
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(10)
            listener.close()

        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}/nninteractive", stop)
        finally:
            stop()


@dataclass
class Script:
    """What a server answers: path -> (status, headers, body); and what it was asked."""

    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    address: str = ""


@contextmanager
def scripted_server(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[Script]:
    script = Script(
        {"/claim": (200, {}, b'{"lease_token": "one", "liveness_timeout_seconds": 60}'), **answers}
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append(self.path)
            script.tokens.add(self.headers.get("Authorization"))
            status, headers, body = script.answers.get(self.path, (200, {}, b"{}"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        script.address = f"http://127.0.0.1:{running.server_port}"
        yield script
        running.shutdown()
