"""Sessions: a signed cookie says who somebody is, and whether that still holds."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection, cookie_parser

from annotator.access.accounts import Accounts, User, local_user, make_private_directory, write_private
from annotator.access.metrics_token import MetricsToken
from annotator.access.program_tokens import ProgramTokens
from annotator.access.session_list import OpenSession, SessionList, browser_in_words
from annotator.server_settings import ServerSettings

SESSION_DAYS = 14
KEY_BYTES = 32
LOCAL = "local"  # the stamp of whoever is let in without an account
USER_KEY = "slicewise.user"  # where the guard notes in the scope who it is
SESSION_KEY = "slicewise.session"  # and which session
ENDED_SECONDS = SESSION_DAYS * 86400 + 3600  # no cookie of a session that ended lives longer


@dataclass(frozen=True)
class Session:
    user: str
    expires: float  # seconds since 1970
    key: str  # tells sessions apart
    stamp: str = LOCAL
    listed: bool = True  # False: of a program that signs in by no form; its token is listed instead

    @property
    def stale(self) -> bool:
        """More than half of its time is over: renew it at the next visit."""
        return self.expires - time.time() < SESSION_DAYS * 86400 / 2


class Sessions:
    """Thread-safe. The key is made at first start and read by nobody else."""

    def __init__(self, private: Path, settings: ServerSettings) -> None:
        make_private_directory(private)
        self.accounts = Accounts(private)
        self._settings = settings
        self._key = _secret(private / "session.key")
        tag = hashlib.sha256(b"cookie name" + self._key).hexdigest()[:8]
        self.project_id = hashlib.sha256(b"project id" + self._key).hexdigest()[:16]
        self._ended_file = private / "ended-sessions.json"
        self._lock = threading.Lock()  # protects _ended and its file
        self._ended = _ended(self._ended_file)  # key of a session -> when its last cookie has expired
        self.metrics_token, self.tokens = MetricsToken(private), ProgramTokens(private)
        self._list = SessionList(private / "sessions.json")
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        # Cookies ignore the port: two projects open on one computer need two names.
        self.cookie_name = f"{'__Host-' if settings.secure else ''}slicewise-{tag}"

    @property
    def root_path(self) -> str:
        """What stands before every path of ours in a browser."""
        return self._settings.root_path

    @property
    def serve(self) -> tuple[str, ...]:
        """The dialects of other tools that are switched on."""
        return self._settings.serve

    @property
    def lets_local_in(self) -> bool:
        """A person at this computer needs no account."""
        return self._settings.private_to_this_computer and not self.accounts.defined

    def issue(self, user: User | None, key: str | None = None) -> str:
        """The Set-Cookie header for a user, or for the person at this computer where None. `key`: of a session that
        goes on."""
        return self._cookie(self.value_for(user, key), SESSION_DAYS * 86400)

    def value_for(self, user: User | None, key: str | None = None) -> str:
        """As `issue`, the value alone, for a program that keeps no cookies."""
        name, stamp = (user.name, user.stamp) if user else (local_user(), LOCAL)
        expires = int(time.time()) + SESSION_DAYS * 86400
        body = json.dumps([name, stamp, expires, key or secrets.token_hex(8)]).encode()
        return f"{_encode(body)}.{_encode(self._sign(body))}"

    def renew(self, session: Session) -> str:
        """The Set-Cookie header of the same session for as long again."""
        user = self.accounts.user(session.user) if self.accounts.defined else None
        return self.issue(user, session.key)

    def subscribe(self, on_end: Callable[[frozenset[str]], None]) -> None:
        """Be told the keys of sessions that end, in the thread that ends them."""
        self._listeners.append(on_end)

    def end(self, session: Session | None) -> str:
        """Sign out: copies of the cookie are worth nothing from now on either. The Set-Cookie header."""
        if session is not None:
            self._end(frozenset({session.key}))
        return self._cookie("", 0)

    def end_others(self, session: Session) -> int:
        """End all sessions of this person but this one; how many."""
        keys = frozenset(row.key for row in self.of(session.user)) - {session.key}
        self._end(keys)
        return len(keys)

    def end_one(self, session: Session, key: str) -> None:
        """End another session of the same person. Raises LookupError."""
        if key not in {row.key for row in self.of(session.user)}:
            raise LookupError("this session has ended already; open the list again")
        self._end(frozenset({key}))

    def _end(self, keys: frozenset[str]) -> None:
        with self._lock:
            now = time.time()
            left = {key: expires for key, expires in self._ended.items() if expires > now}
            self._ended = {**left, **dict.fromkeys(keys, now + ENDED_SECONDS)}
            write_private(self._ended_file, json.dumps(self._ended).encode())
        self._list.forget(keys)
        for tell in self._listeners:
            tell(keys)

    def note(self, session: Session, agent: str, address: str) -> None:
        """A request of this session came. On the event loop; does not wait for the disk."""
        now = time.time()
        browser = browser_in_words(agent)
        row = OpenSession(
            session.key, session.user, session.stamp, browser, address, now, now, session.expires
        )
        if self._list.note(row):
            self._list.save_soon()

    def of(self, user: str) -> list[OpenSession]:
        """The sessions of a person that still hold, the newest seen first."""
        rows = self._list.of(user)
        return [row for row in rows if row.key not in self._ended and self.holds(row.user, row.stamp)]

    def read(self, cookies: str) -> Session | None:
        """Who a Cookie header belongs to; None for nobody, forged, expired and revoked ones."""
        return self.of_value(cookie_parser(cookies).get(self.cookie_name, ""))

    def of_value(self, value: str) -> Session | None:
        """As `read`, of the cookie's value alone."""
        body, signature = (_decode(part) for part in (value.split(".") + [""])[:2])
        if not body or not hmac.compare_digest(self._sign(body), signature):
            return None
        name, stamp, expires, key = json.loads(body)
        holds = expires > time.time() and key not in self._ended and self.holds(name, stamp)
        return Session(name, expires, key, stamp) if holds else None

    def is_administrator(self, session: Session) -> bool:
        """The person at this computer is one, and whoever was made one."""
        if session.stamp == LOCAL:
            return self.lets_local_in
        user = self.accounts.user(session.user)
        return user is not None and user.administrator

    def holds(self, name: str, stamp: str) -> bool:
        """Whether whoever had this stamp is still let in."""
        if stamp == LOCAL:
            return self.lets_local_in
        user = self.accounts.user(name)
        return user is not None and hmac.compare_digest(user.stamp, stamp)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"session " + body, "sha256")

    def _cookie(self, value: str, seconds: int) -> str:
        secure = "; Secure" if self._settings.secure else ""
        return f"{self.cookie_name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"


def user_of(request: HTTPConnection) -> str | None:
    """Who makes this request, as the guard found out."""
    return request.scope.get(USER_KEY)


def session_of(request: HTTPConnection) -> Session:
    """The session of this request; the guard lets nobody else through."""
    session = request.scope.get(SESSION_KEY)
    if not isinstance(session, Session):
        raise PermissionError("the guard let a stranger through")
    return session


def _ended(path: Path) -> dict[str, float]:
    """Sessions that people ended. Raises ValueError where the file is damaged: nobody is to come back by that."""
    try:
        return dict(json.loads(path.read_bytes())) if path.exists() else {}
    except (ValueError, TypeError) as error:
        line = f"{path} is damaged; delete it and session.key beside it, and everybody signs in again"
        raise ValueError(line) from error


def _secret(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        write_private(path, key)
    return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
