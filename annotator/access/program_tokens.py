"""Tokens with which other programs come in as a person: made on the page, shown once, revoked there. On disk there is
a small file for each that only the owner can read, with its digest alone."""

import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from annotator.access.accounts import FRESH_SECONDS, make_private_directory, write_private

MOST_TOKENS = 50  # of one person
LONGEST_NOTE = 60


@dataclass(frozen=True)
class ProgramToken:
    """Times are seconds since 1970."""

    id: str
    user: str
    stamp: str  # of the user when it was made: a new password ends it, as it ends sessions
    note: str  # what the person calls it
    digest: str  # of the secret; the secret itself is nowhere on disk
    made: float
    used: float = 0.0  # the day of the last use, 0 for never


class ProgramTokens:
    """Thread-safe."""

    def __init__(self, private: Path) -> None:
        self._folder = private / "tokens"
        make_private_directory(self._folder)
        self._lock = threading.Lock()  # protects _cached
        self._cached: tuple[float, dict[str, ProgramToken]] | None = None

    def make(self, user: str, stamp: str, note: str) -> tuple[ProgramToken, str]:
        """A new token and its secret, which nobody can read again. Raises ValueError."""
        note = " ".join(note.split())
        if not note or len(note) > LONGEST_NOTE or not note.isprintable():
            raise ValueError(
                f"say in 1 to {LONGEST_NOTE} characters what the token is for, as Slicer on my laptop"
            )
        if len(self.of(user)) >= MOST_TOKENS:
            raise ValueError(f"you have {MOST_TOKENS} tokens; revoke one that you do not need any more")
        secret = secrets.token_urlsafe(32)
        token = ProgramToken(secrets.token_hex(8), user, stamp, note, _digest(secret), time.time())
        self._write(token)
        return token, secret

    def of(self, user: str) -> list[ProgramToken]:
        """The newest first."""
        return sorted((t for t in self._all().values() if t.user == user), key=lambda token: -token.made)

    def revoke(self, user: str, token_id: str) -> None:
        """Raises LookupError where this person has no such token."""
        if token_id not in {token.id for token in self.of(user)}:
            raise LookupError("this token was revoked already; open the list again")
        (self._folder / f"{token_id}.json").unlink(missing_ok=True)
        self._forget()

    def find(self, secret: str) -> ProgramToken | None:
        """Whose secret this is. Who holds it may still have no account any more."""
        digest = _digest(secret)
        return next((t for t in self._all().values() if hmac.compare_digest(t.digest, digest)), None)

    def used_today(self, token: ProgramToken) -> bool:
        """Whether that is on disk already."""
        return time.time() - token.used < 86400

    def note_use(self, token: ProgramToken) -> None:
        """As exact as a day, so that a click does not wait for the disk."""
        if (self._folder / f"{token.id}.json").exists():  # revoked meanwhile: it does not come back
            self._write(replace(token, used=float(int(time.time()) // 86400 * 86400)))

    def _all(self) -> dict[str, ProgramToken]:
        with self._lock:
            now = time.monotonic()
            if self._cached is None or now - self._cached[0] > FRESH_SECONDS:
                self._cached = now, {token.id: token for token in _read(self._folder)}
            return self._cached[1]

    def _write(self, token: ProgramToken) -> None:
        write_private(self._folder / f"{token.id}.json", json.dumps(asdict(token)).encode())
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            self._cached = None


def _read(folder: Path) -> list[ProgramToken]:
    """Those that can be read; one that vanishes or is torn meanwhile lets nobody in."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(ProgramToken(**json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError):
            continue
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
