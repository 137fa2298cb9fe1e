"""The server around a workflow: put together here, and run by ourselves."""

import asyncio
import contextlib
import logging
import socket
import ssl
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from annotator.access.guard import Guard
from annotator.access.private_folder import private_folder
from annotator.access.sessions import Sessions, user_of
from annotator.backups.nightly import Nightly
from annotator.dialects import DIALECTS
from annotator.healing import open_when_writable
from annotator.jobs import Busy, Job, Jobs, Listen
from annotator.prompting import auto_download
from annotator.prompting.embedding_state import EmbeddingProgress
from annotator.protocol import outgoing
from annotator.protocol.frames import MAX_FRAME
from annotator.scenes.first_import import FirstImport, run_first_import
from annotator.server_settings import ServerSettings
from annotator.web.context import AppContext, empty_folder
from annotator.web.errors import AdministratorsOnly, ErrorReply, describe_error
from annotator.web.hub import Hub
from annotator.web.router import make_background_router, make_router
from annotator.web.uploads import Uploads
from annotator.workflow import Refused, Workflow
from learners.give_way import MARK, PeopleWait
from storage.store import Store

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "page" / "static"
PORTS_TRIED = 50
STOP_SECONDS = 3
TICK_SECONDS = 1.0  # how often uvicorn renews its date header; 0.1 by itself
NEWS_SECONDS = 2.0  # while an import runs, the pages learn of new images this often


@dataclass(frozen=True)
class App:
    """An ASGI application and what a server needs to know of it."""

    guard: Guard
    api: FastAPI
    context: AppContext


def assemble(workflow: Workflow, settings: ServerSettings, *, with_page: bool = True) -> App:
    """Everything behind one guard: the page, our routes, the websocket. `with_page=False`: no Gradio, for tests."""
    context = _make_context(workflow, settings)
    api = FastAPI(lifespan=_lifespan(context), docs_url=None, redoc_url=None, openapi_url=None)
    api.include_router(make_router(context))
    if settings.fill:
        _add_background(api, context, settings)
    _add_dialects(api, context, settings.serve)
    api.mount("/ui", _Static(directory=STATIC))
    for kind in (Exception, LookupError, ValueError, OSError, Busy, Refused, AdministratorsOnly):
        api.add_exception_handler(kind, _on_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    api.add_exception_handler(HTTPException, _on_http)
    if with_page:
        from annotator.page.layout import mount  # Gradio takes seconds to import

        api = mount(api, user_of, settings.root_path)
    requests, looking = context.meters.requests, workflow.store.looking
    guard = Guard(
        api,
        context.sessions,
        settings,
        lambda status: requests.labels(str(status)).inc(),
        looking=looking,
    )
    return App(guard, api, context)


def _add_background(api: FastAPI, context: AppContext, settings: ServerSettings) -> None:
    """What proposes labels while people work, and its routes."""
    from learners.engines import make_engine  # brings the learners along

    engine = make_engine(settings.engine, settings.ray_address)
    background = context.workflow.start_background(context.hub.post, engine, learn=settings.learn)
    api.include_router(make_background_router(context, background))


def _add_dialects(api: FastAPI, context: AppContext, serve: tuple[str, ...]) -> None:
    """What other tools ask, each under its own name."""
    for name in serve:
        api.include_router(DIALECTS[name].make(context), prefix=f"/{name}")


def serve(workflow: Workflow, settings: ServerSettings, *, first: FirstImport | None = None) -> int | None:
    """Run until somebody stops us. `first` is imported as soon as the page is there. The port, where a project that was
    only looked at can be written now and is to be opened anew. Raises OSError, ValueError."""
    app = assemble(workflow, settings)
    _check_exposed(app.context.sessions, settings)
    listener = _listen(settings)

    def first_jobs() -> None:
        if workflow.store.looking:
            return
        if first is not None:
            app.context.jobs.start("import", lambda job: run_first_import(app.context, first, job))
        if settings.download:
            auto_download.begin(app.context.jobs, workflow.prompting)

    server = _Server(app, settings, listener, first_jobs)
    night = Nightly(workflow.store, busy=lambda: bool(app.context.jobs.running()))
    if settings.snapshots and not workflow.store.looking:
        night.open()
    try:
        server.run(sockets=[listener])
    finally:
        night.close()
    return server.port if server.healed else None


def _make_context(workflow: Workflow, settings: ServerSettings) -> AppContext:
    hub = Hub()
    workflow.prompting.subscribe(
        on_progress=lambda progress: _tell_embedding(hub, workflow, progress),
        on_speed=lambda: hub.post(outgoing.project()),
    )
    jobs = Jobs(_teller(hub), explain=lambda error: describe_error(error).line)
    place = workflow.store.workplace
    sessions = Sessions(private_folder(workflow.store), settings)
    sessions.subscribe(on_end=hub.sign_out)
    uploads = Uploads(place / "uploads", settings)
    context = AppContext(
        workflow,
        hub,
        jobs,
        sessions,
        uploads,
        exports=empty_folder(place / "exports"),
        people_wait=_people_wait(workflow.store, settings),
    )
    hub.subscribe(context.meters.hear)
    return context


def _people_wait(store: Store, settings: ServerSettings) -> PeopleWait:
    """For learners on this computer."""
    here = settings.fill and settings.learn and not store.looking and settings.ray_address is None
    return PeopleWait(store.rounds.directory / MARK if here else None)


def _tell_embedding(hub: Hub, workflow: Workflow, work: EmbeddingProgress) -> None:
    """How far the chosen model is with the slices around the open one, and who answers meanwhile."""
    states: dict[str, outgoing.JobState] = {"idle": "done", "failed": "failed"}
    state = states.get(work.phase, "running")
    hub.post(
        outgoing.job(
            "embed",
            kind="embed",
            phase=work.phase,
            done=work.done,
            total=work.total,
            message=work.message,
            state=state,
        )
    )
    hub.post(workflow.answering())


def _teller(hub: Hub) -> Listen:
    """Tells every page about a job, and that there are new images."""
    told_at = 0.0

    def tell(job: Job) -> None:
        nonlocal told_at
        hub.post(job.as_message())
        due = job.state != "running" or time.monotonic() - told_at > NEWS_SECONDS
        if job.kind in ("import", "download") and due:
            told_at = time.monotonic()
            hub.post(outgoing.project())

    return tell


def _lifespan(context: AppContext) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context.hub.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            context.hub.close()
            await asyncio.to_thread(context.jobs.close)

    return lifespan


class _Static(StaticFiles):
    """Our scripts and styles: asked about each time, sent only when they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "private, no-cache"
        return response


async def _on_error(request: Request, error: Exception) -> Response:
    return _error_response(describe_error(error))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    why = first["msg"].removeprefix("Value error, ")  # pydantic's word for a sentence of ours
    return _error_response(ErrorReply(f"The {where} of this request is wrong: {why}; reload the page.", 422))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    lines = {404: "There is nothing at this address.", 405: "This address does not do that."}
    return _error_response(ErrorReply(lines.get(error.status_code, str(error.detail)), error.status_code))


def _error_response(error: ErrorReply) -> Response:
    headers = {"retry-after": "3"} if error.retry else None
    return JSONResponse({"error": error.line, "retry": error.retry}, error.status, headers)


def _check_exposed(sessions: Sessions, settings: ServerSettings) -> None:
    """Other computers get in only with an account."""
    if settings.private_to_this_computer or sessions.accounts.usable:
        return
    raise ValueError(
        "nobody could sign in: make a user first with `python app.py user add NAME --project FOLDER`, "
        "or a one-time link with `python app.py link NAME --project FOLDER`"
    )


def _listen(settings: ServerSettings) -> socket.socket:
    """A listening socket on the port asked for or, where that is taken, the next free one."""
    last = 0 if settings.port == 0 else min(65535, settings.port + PORTS_TRIED)
    for port in range(settings.port, last + 1):
        with contextlib.suppress(OSError):
            listener = _bind(settings.host, port)
            if port != settings.port:
                print(f"Port {settings.port} is taken; using {port}.", flush=True)
            return listener
    return _bind(settings.host, settings.port)  # raises what is wrong


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
        return listener
    except OSError:
        listener.close()
        raise


class _Server(uvicorn.Server):
    """Says where it is when it is ready; stops at once although pages hold streams open."""

    def __init__(
        self,
        app: App,
        settings: ServerSettings,
        listener: socket.socket,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`ready` is called once pages can be served."""
        super().__init__(_config(app.guard, settings))
        logging.getLogger("uvicorn.error").addFilter(_worth_saying)
        self._app, self._settings, self.port = app, settings, listener.getsockname()[1]
        self.healed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # on a full disk the project still opens
            self._app.context.workflow.store.note_address(self._address())
        await super().startup(sockets)
        print(f"Slicewise is ready at {self._address()}", flush=True)
        if not self._settings.private_to_this_computer or self._app.context.sessions.accounts.defined:
            print("People sign in with their name and password or a one-time link.", flush=True)
        if self._settings.open_browser:
            threading.Thread(target=webbrowser.open, args=(self._address(),), daemon=True).start()
        self._ready()
        store = self._app.context.workflow.store
        if store.looking and not self._settings.look:
            self._healing = asyncio.create_task(open_when_writable(store.root, self._heal))

    def _heal(self) -> None:
        self.healed = self.should_exit = True
        self._end_streams()

    async def main_loop(self) -> None:
        """Seldom awake while nobody does anything, and at once when it is to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._stopping.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends the streams that would keep the pages' connections open; a second Ctrl+C does not wait."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_streams)

    def _end_streams(self) -> None:
        self._stopping.set()
        self._app.context.hub.close()
        for route in self._app.api.routes:
            stop = getattr(getattr(route, "app", None), "stop_event", None)
            if stop is not None:
                stop.set()

    def _address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(
            self._settings.host, self._settings.host
        )
        scheme = "https" if self._settings.certificate else "http"
        return f"{scheme}://{host}:{self.port}{self._settings.root_path}/"


def _config(app: Guard, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,  # addresses hold names of files
        server_header=False,
        proxy_headers=False,  # anybody can write them
        ws_max_size=MAX_FRAME,
        ws_max_queue=2,
        ws_per_message_deflate=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.certificate_key,
        ssl_context_factory=_tls if settings.certificate else None,
    )


def _worth_saying(record: logging.LogRecord) -> bool:
    """uvicorn (0.54) calls it an error when a handshake is refused by an answer; strangers would fill the log."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def _tls(config: uvicorn.Config, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, whatever the system's settings of OpenSSL would let in."""
    context = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
