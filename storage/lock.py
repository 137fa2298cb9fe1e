"""One owner for a project: a lock that the system drops when the owner dies, and a note of who it is."""

import json
import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout


class ProjectBusy(RuntimeError):
    """Somebody else has this project open."""


class ProjectLock:
    def __init__(self, root: Path) -> None:
        self._lock = FileLock(root / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ProjectBusy(f"{root} is open in {owner(root)}; close it there first") from None
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        (root / "owner.json").write_text(json.dumps(note), encoding="utf-8")

    def release(self) -> None:
        self._lock.release()


def owner(root: Path) -> str:
    """Who holds the project, in words; guesses nothing where the note is missing or torn."""
    try:
        note = json.loads((root / "owner.json").read_text(encoding="utf-8"))
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
