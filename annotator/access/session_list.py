"""The sessions that are open: which browser, from where, since when. The cookie alone decides who gets in."""

import asyncio
import json
import logging
import re
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from annotator.access.accounts import write_private

log = logging.getLogger(__name__)

FRESH_SECONDS = 60.0  # "last seen" is as exact as this
SAVE_SECONDS = 600.0  # what only changes "last seen" is written this seldom
MAX_SESSIONS = 1000  # those not seen for longest are forgotten first; forgetting one does not end it
PROGRAM = "the program"
BROWSERS = {  # by what only they write, in this order: each browser also names those that it grew from
    r"Edg(A|iOS)?/": "Edge",
    r"OPR/": "Opera",
    r"(Firefox|FxiOS)/": "Firefox",
    r"HeadlessChrome/": "Chrome without a window",
    r"(Chrome|CriOS|Chromium)/": "Chrome",
    r"Safari/": "Safari",
    r"^([\w.-]+)/": PROGRAM,
}
SYSTEMS = {
    r"Windows": "Windows",
    r"iPhone|iPad": "iOS",
    r"Android": "Android",
    r"CrOS": "ChromeOS",
    r"Mac OS X|Macintosh": "macOS",
    r"Linux|X11": "Linux",
}


@dataclass(frozen=True)
class OpenSession:
    """Times are seconds since 1970."""

    key: str
    user: str
    stamp: str
    browser: str
    address: str
    since: float
    seen: float
    expires: float


class SessionList:
    """Thread-safe. A list that cannot be read or written costs nobody more than its lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()  # protects _rows and the file
        self._rows = _read(file)
        self._saved = time.monotonic()

    def note(self, row: OpenSession) -> bool:
        """A request of this session came; whether the list should be saved soon."""
        known = self._rows.get(row.key)
        if known and row.seen - known.seen < FRESH_SECONDS and known.expires == row.expires:
            return False
        with self._lock:
            self._rows[row.key] = replace(row, since=known.since) if known else row
            return known is None or time.monotonic() - self._saved > SAVE_SECONDS

    def save_soon(self) -> None:
        """On the event loop, which does not wait for the disk."""
        asyncio.get_running_loop().run_in_executor(None, self.save)

    def save(self) -> None:
        with self._lock:
            now = time.time()
            living = sorted((r for r in self._rows.values() if r.expires > now), key=lambda r: r.seen)
            self._rows = {row.key: row for row in living[-MAX_SESSIONS:]}
            self._saved = time.monotonic()
            try:
                write_private(self._file, json.dumps([asdict(r) for r in self._rows.values()]).encode())
            except OSError as error:
                log.warning("the list of sessions cannot be written: %s", error.strerror)

    def of(self, user: str) -> list[OpenSession]:
        """The newest seen first."""
        with self._lock:
            mine = [row for row in self._rows.values() if row.user == user and row.expires > time.time()]
        return sorted(mine, key=lambda row: -row.seen)

    def forget(self, keys: frozenset[str]) -> None:
        with self._lock:
            self._rows = {key: row for key, row in self._rows.items() if key not in keys}
        self.save()


def browser_in_words(agent: str) -> str:
    """As "Firefox on Linux", from the User-Agent header."""
    for like, name in BROWSERS.items():
        if found := re.search(like, agent):
            system = next((system for like, system in SYSTEMS.items() if re.search(like, agent)), "")
            if name == PROGRAM:
                return f"{name} {found[1][:40]}"
            return f"{name} on {system}" if system else name
    return "an unknown browser"


def _read(file: Path) -> dict[str, OpenSession]:
    try:
        rows = [OpenSession(**row) for row in json.loads(file.read_bytes())]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError):
        log.warning("the list of sessions is damaged and begins anew; who is signed in stays so")
        return {}
    return {row.key: row for row in rows}
