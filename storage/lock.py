"""One owner for a project: a lock that the system drops when the owner dies, and a note of who it is."""

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from storage.arrays import write_bytes

NOTE = "owner.json"


@dataclass(frozen=True)
class Owner:
    """Who has a project open, as the note in its folder says."""

    pid: int
    host: str
    since: str
    address: str = ""  # of its page, while it serves one

    @property
    def on_this_computer(self) -> bool:
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        page = f", at {self.address}" if self.address else ""
        return f"process {self.pid} on {self.host} since {self.since}{page}"


class ProjectBusy(RuntimeError):
    """Somebody else has this project open. `owner` is None where the note is missing or torn."""

    def __init__(self, root: Path, owner: Owner | None) -> None:
        super().__init__(f"{root} is open in {owner or 'another process'}; close it there first")
        self.root, self.owner = root, owner


class ProjectLock:
    """Raises ProjectBusy."""

    def __init__(self, root: Path) -> None:
        self._lock, self._note = FileLock(root / ".lock"), root / NOTE
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ProjectBusy(root, read_owner(root)) from None
        self._owner = Owner(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
        self._write_note()

    def note_address(self, address: str) -> None:
        """Where people reach the owner. Raises OSError."""
        self._owner = replace(self._owner, address=address)
        self._write_note()

    def release(self) -> None:
        self._lock.release()

    def _write_note(self) -> None:
        write_bytes(self._note, json.dumps(asdict(self._owner)).encode())


def read_owner(root: Path) -> Owner | None:
    """Who holds the project; guesses nothing where the note is missing or torn."""
    try:
        note = json.loads((root / NOTE).read_text(encoding="utf-8"))
        address = str(note.get("address", ""))  # older versions did not write it
        return Owner(int(note["pid"]), str(note["host"]), str(note["since"]), address)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
