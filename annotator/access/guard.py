"""One guard in front of every route, ours and Gradio's, HTTP and websocket."""

import asyncio
import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable

from h11 import LocalProtocolError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotator.access.programs import at_this_computer, session_of_program
from annotator.access.rate_limits import Buckets, Rate
from annotator.access.request_info import SAFE, RequestInfo
from annotator.access.sessions import SESSION_KEY, USER_KEY, Session, Sessions
from annotator.dialects import ServedPath, served_path
from annotator.server_settings import ServerSettings, address_of, is_loopback
from annotator.text import sentence

log = logging.getLogger(__name__)

SIGNED_IN = Rate(per_second=400, burst=4000)  # the wheel asks for up to 180 slices a second
STRANGERS = Rate(per_second=10, burst=100)
STRANGER_SECONDS = 10.0  # for sending a whole sign-in form
GONE_SECONDS = 5.0
BODY_LIMIT = 1 << 20
LONGEST_PATH, LONGEST_NAME = 2048, 255  # of an address and of a part of it: no file has a longer name
SIGN_IN_LIMIT = 16 << 10
SCRIPT_HEADER = "x-slicewise"  # a browser sends it to another origin only after asking, and we never agree

# 'unsafe-eval' and 'unsafe-inline': Gradio compiles its templates in the page and does not start without.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
}
UNLESS_SAID = {"content-security-policy": CONTENT_POLICY, "cache-control": "private, no-store"}

MANIFEST = "/manifest.json"  # browsers ask for it without the cookie; it names the program and nothing else
HEALTH, METRICS = "/healthz", "/metrics"  # a program reads the second with a token; its route looks at it
OPEN_TO_STRANGERS = re.compile(r"/login|/manifest\.json|/healthz")
OURS = re.compile(r"/login|/logout|/manifest\.json|/healthz|/metrics|/ui/.+|/api/.+")
# The page's controls act in the browser, so none of Gradio's routes that run something is open.
GRADIO_READS = re.compile(
    r"/|/config|/theme\.css|/assets/.+|/static/.+|/svelte/.+|/favicon\.ico"
    r"|/gradio_api/(theme\.css|info|app_id|startup-events|heartbeat/[^/]+)"
)
# What may be asked of a project that is only looked at, although it is no reading: nothing of it is written.
LOOKS = re.compile(
    r"/login|/logout|/api/sessions/end|/api/export|/api/backup|/api/jobs/[^/]+/cancel|/api/models/[^/]+/export|/api/live"
)
UPLOAD = re.compile(r"/api/upload/[^/]+/[^/]+")
SOCKET = "/api/live"


class Guard:
    """Plain ASGI, so that streams stay streams. Everything that is refused is refused here, with one sentence."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        settings: ServerSettings,
        count: Callable[[int], None] = lambda status: None,
        *,
        looking: str = "",
    ) -> None:
        """`count` hears the status of every answer. `looking`: why nothing of the project can be changed, in words."""
        self.app, self._count, self._looking = app, count, looking
        self._sessions, self._settings = sessions, settings
        self._by_session, self._by_address = Buckets(SIGNED_IN), Buckets(STRANGERS)
        self._names = _names_of(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        gone = asyncio.Event()
        await self._serve(scope, receive, _while_there(send, gone))
        if gone.is_set():
            await _disconnected(receive)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = RequestInfo.of(scope, self._settings.root_path)
        if visit.wants_page and visit.path == self._settings.root_path:
            await RedirectResponse(f"{visit.path}/", 307)(scope, receive, self._armoured(send))
            return
        session = self._session_of(visit)
        newcomer = session is None and self._lets_in(visit)
        if newcomer or (session and session.stale and visit.path == "/"):
            cookie = self._sessions.renew(session) if session else self._sessions.issue(None)
            send = _with_cookie(send, cookie)
        if newcomer:
            session = self._sessions.read(cookie.partition(";")[0])
        refusal = self._refusal(visit, session)
        if refusal is not None:
            await _refuse(visit, refusal, receive, self._armoured(send))
            return
        visit.scope[USER_KEY], visit.scope[SESSION_KEY] = session.user if session else None, session
        if (
            session and session.listed and not newcomer
        ):  # who never comes back with the cookie has no session worth listing
            self._sessions.note(session, visit.headers.get("user-agent", ""), visit.address)
        await self._pass_on(visit, receive, self._armoured(send))

    def _session_of(self, visit: RequestInfo) -> Session | None:
        if self._served(visit):
            return session_of_program(self._sessions, visit)
        return self._sessions.read(visit.headers.get("cookie", ""))

    def _served(self, visit: RequestInfo) -> ServedPath | None:
        """What another tool asks in its own dialect, where that is switched on."""
        return None if visit.is_socket else served_path(visit.path, self._settings.serve)

    async def _pass_on(self, visit: RequestInfo, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] != "websocket.http.response.body"
            await send(message)

        try:
            await self.app(visit.scope, receive if visit.is_socket else self._limited(visit, receive), noting)
        except HTTPException as error:
            if not started:
                await _refuse(visit, _refusal_of(error.status_code, error.detail), receive, send)
        except Exception as error:
            if not getattr(error, "logged", False):
                log.error("an error nobody expected", exc_info=error)
            if not started:  # a handshake too: a server that gives none an answer complains in its log
                line = "Something went wrong; try again, or see the server's log."
                await _refuse(visit, _refusal_of(500, line), receive, send)

    def _refusal(self, visit: RequestInfo, session: Session | None) -> Response | None:
        """Why this visit ends here, None where it may pass."""
        if line := self._odd(visit):
            return _refusal_of(400, line)
        if not self._knows_host(visit.hostname):
            return _refusal_of(421, f"This server has another name; start it with --name {visit.hostname}.")
        if line := self._foreign(visit):
            return _refusal_of(403, line)
        bucket, key = (self._by_session, session.key) if session else (self._by_address, visit.address)
        if visit.path != HEALTH and (
            wait := bucket.take(key)
        ):  # behind a proxy a busy address is everybody's
            line = f"Too many requests; wait {wait} seconds."
            return _refusal_of(429, line, {"retry-after": str(wait)})
        if session is None and not self._open_to_strangers(visit):
            if visit.wants_page:
                return RedirectResponse(f"{self._settings.root_path}/login", 303)
            return _refusal_of(401, "You are not signed in; open the page again and sign in.")
        return self._closed(visit)

    def _closed(self, visit: RequestInfo) -> Response | None:
        """Routes that nobody needs, and bodies that are too long."""
        if not (self._served(visit) or _is_open(visit)):
            return _refusal_of(404, "There is nothing at this address.")
        if self._looking and visit.changes_things and not LOOKS.fullmatch(visit.path):
            return _refusal_of(409, sentence(self._looking))
        # a client of MONAI Label announces the length of an earlier body with requests that have none
        empty = visit.method in SAFE and self._served(visit)
        if not empty and _announced(visit.headers) > self._body_limit(visit):
            return _refusal_of(413, self._too_long(visit))
        return None

    def _odd(self, visit: RequestInfo) -> str:
        if visit.repeated & {"host", "origin", "content-length", "sec-fetch-site"}:
            return "A header came twice that may come only once."
        parts = visit.path.split("/")
        if (
            not visit.path.isprintable()
            or "\\" in visit.path
            or ".." in parts
            or "." in parts
            or "//" in visit.path
        ):
            return "This address is not written in its shortest form."
        longest = max(len(part.encode()) for part in parts)
        too_long = len(visit.path) > LONGEST_PATH or longest > LONGEST_NAME
        return "This address is too long." if too_long else ""

    def _knows_host(self, hostname: str) -> bool:
        """A page on another name that points to this computer gets nothing (DNS rebinding)."""
        if hostname in self._names or (hostname and is_loopback(hostname)):
            return True
        return not self._settings.on_loopback and address_of(hostname) is not None

    def _foreign(self, visit: RequestInfo) -> str:
        """Why this comes from a page that is not ours; empty where it does not."""
        site, origin = visit.headers.get("sec-fetch-site"), visit.headers.get("origin")
        if not visit.changes_things:
            linked = visit.headers.get("sec-fetch-mode") == "navigate" and visit.path in ("/", "/login")
            refused = site in ("cross-site", "same-site") and not linked
            return "Another site asked for this; open Slicewise itself." if refused else ""
        if origin is not None:
            return (
                ""
                if origin.lower() in self._origins(visit)
                else "Another site sent this; open Slicewise itself."
            )
        if site == "same-origin" or (site is None and visit.headers.get(SCRIPT_HEADER)):
            return ""
        if site is None and self._served(visit):  # no browser: each says where a change comes from
            return ""
        return f"A script that changes things here sends the header {SCRIPT_HEADER}: 1."

    def _origins(self, visit: RequestInfo) -> set[str]:
        schemes = {"https" if self._settings.secure else "http"}
        if self._settings.https and is_loopback(visit.hostname):
            schemes.add("http")  # the owner, past the proxy
        return {f"{scheme}://{visit.headers.get('host', '').lower()}" for scheme in schemes}

    def _lets_in(self, visit: RequestInfo) -> bool:
        """A person at this computer who opens the page; see docs/guide/security.md."""
        return (
            visit.path == "/"
            and visit.method in SAFE
            and not visit.is_socket
            and visit.headers.get("sec-fetch-mode", "navigate") == "navigate"
            and at_this_computer(visit)
            and self._sessions.lets_local_in
        )

    def _open_to_strangers(self, visit: RequestInfo) -> bool:
        served = self._served(visit)
        return served.open_to_strangers if served else _open_to_strangers(visit)

    def _body_limit(self, visit: RequestInfo) -> int:
        if served := self._served(visit):
            if served.takes_files and visit.method not in SAFE:
                return self._settings.max_file_bytes
            return SIGN_IN_LIMIT if served.open_to_strangers else served.entry.body_limit
        if visit.method == "PUT" and UPLOAD.fullmatch(visit.path):
            return self._settings.max_file_bytes
        return SIGN_IN_LIMIT if OPEN_TO_STRANGERS.fullmatch(visit.path) else BODY_LIMIT

    def _too_long(self, visit: RequestInfo) -> str:
        limit = self._body_limit(visit)
        unit, size = ("MB", limit >> 20) if limit >> 20 else ("kB", limit >> 10)
        return f"This is over the limit of {size} {unit} for one request; send less at once."

    def _limited(self, visit: RequestInfo, receive: Receive) -> Receive:
        """The body, counted as it comes; strangers have to be quick."""
        limit, read = self._body_limit(visit), 0
        seconds = STRANGER_SECONDS if self._open_to_strangers(visit) else None
        whole = False

        async def counting() -> Message:
            nonlocal read, whole
            try:
                async with asyncio.timeout(None if whole else seconds):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "The form took too long to arrive; send it again.") from error
            read += len(message.get("body", b""))
            whole = message["type"] == "http.request" and not message.get("more_body", False)
            if read > limit:
                raise HTTPException(413, self._too_long(visit))
            return message

        return counting

    def _armoured(self, send: Send) -> Send:
        """Adds the security headers to every answer and takes away what would let other sites read it."""
        always = dict(ALWAYS)
        if self._settings.secure:
            always["strict-transport-security"] = "max-age=31536000"

        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self._count(message["status"])
                message = {**message, "headers": _armour(message.get("headers", []), always)}
            await send(message)

        return sending


def _while_there(send: Send, gone: asyncio.Event) -> Send:
    """Drops what is sent to a visitor whose request broke off half-way: uvicorn has answered 400 by then."""

    async def sending(message: Message) -> None:
        try:
            await send(message)
        except LocalProtocolError:
            gone.set()

    return sending


async def _disconnected(receive: Receive) -> None:
    """Until the server knows it too; else it would complain in its log that an answer is not complete."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass


def _armour(headers: list[tuple[bytes, bytes]], always: dict[str, str]) -> list[tuple[bytes, bytes]]:
    dropped = {name.encode() for name in always} | {b"server", b"x-powered-by"}
    kept = [
        (k, v)
        for k, v in headers
        if k.lower() not in dropped and not k.lower().startswith(b"access-control-")
    ]
    said = {name.lower() for name, _ in kept}
    added = always | {k: v for k, v in UNLESS_SAID.items() if k.encode() not in said}
    return kept + [(name.encode(), value.encode()) for name, value in added.items()]


def _open_to_strangers(visit: RequestInfo) -> bool:
    with_token = visit.path == METRICS and "authorization" in visit.headers and not visit.is_socket
    return with_token or bool(OPEN_TO_STRANGERS.fullmatch(visit.path))


def _is_open(visit: RequestInfo) -> bool:
    if visit.is_socket:
        return visit.path == SOCKET
    if OURS.fullmatch(visit.path):
        return True
    return visit.method in SAFE and bool(GRADIO_READS.fullmatch(visit.path))


def _announced(headers: dict[str, str]) -> int:
    """Bytes that the request says it will send; an unreadable number is refused as endless."""
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 1 << 62


def _names_of(settings: ServerSettings) -> frozenset[str]:
    names = {name.lower() for name in settings.names} | {settings.host.lower()}
    if not settings.on_loopback:
        machine = socket.gethostname().lower()
        names |= {machine, f"{machine}.local"}
    return frozenset(names - {""})


def _refusal_of(status: int, line: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": line}, status, headers)


def _with_cookie(send: Send, cookie: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _refuse(visit: RequestInfo, refusal: Response, receive: Receive, send: Send) -> None:
    if not visit.is_socket:
        await refusal(visit.scope, receive, send)
    elif "websocket.http.response" in visit.scope.get("extensions", {}):
        start = {"status": refusal.status_code, "headers": refusal.raw_headers}
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": bytes(refusal.body)})
    else:
        await send(
            {
                "type": "websocket.close",
                "code": 1008,
                "reason": json.loads(bytes(refusal.body))["error"][:120],
            }
        )
