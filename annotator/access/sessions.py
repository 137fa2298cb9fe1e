"""Sessions: a signed cookie says who somebody is, and whether that still holds."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection, cookie_parser

from annotator.access.accounts import Accounts, User, local_user, make_private_directory, write_private
from annotator.server_settings import ServerSettings

SESSION_DAYS = 14
KEY_BYTES = 32
LOCAL = "local"  # the stamp of whoever is let in without an account
USER_KEY = "slicewise.user"  # where the guard notes in the scope who it is


@dataclass(frozen=True)
class Session:
    user: str
    expires: float  # seconds since 1970
    key: str  # tells sessions apart for rate limits

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
        # Cookies ignore the port: two projects open on one computer need two names.
        self.cookie_name = f"{'__Host-' if settings.secure else ''}slicewise-{tag}"

    @property
    def lets_local_in(self) -> bool:
        """A person at this computer needs no account."""
        return self._settings.private_to_this_computer and not self.accounts.defined

    def issue(self, user: User | None) -> str:
        """The Set-Cookie header for a user, or for the person at this computer where None."""
        name, stamp = (user.name, user.stamp) if user else (local_user(), LOCAL)
        expires = int(time.time()) + SESSION_DAYS * 86400
        body = json.dumps([name, stamp, expires, secrets.token_hex(8)]).encode()
        return self._cookie(f"{_encode(body)}.{_encode(self._sign(body))}", SESSION_DAYS * 86400)

    def renew(self, session: Session) -> str:
        return self.issue(self.accounts.user(session.user) if self.accounts.defined else None)

    def clear(self) -> str:
        """The Set-Cookie header that signs out."""
        return self._cookie("", 0)

    def read(self, cookies: str) -> Session | None:
        """Who a Cookie header belongs to; None for nobody, forged, expired and revoked ones."""
        value = cookie_parser(cookies).get(self.cookie_name, "")
        body, signature = (_decode(part) for part in (value.split(".") + [""])[:2])
        if not body or not hmac.compare_digest(self._sign(body), signature):
            return None
        name, stamp, expires, key = json.loads(body)
        return Session(name, expires, key) if expires > time.time() and self._holds(name, stamp) else None

    def _holds(self, name: str, stamp: str) -> bool:
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
