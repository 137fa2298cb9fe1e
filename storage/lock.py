"""A project's folder: whole, and with one owner: a lock that the system drops when it dies, a note of who it is."""

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from storage.arrays import write_bytes
from storage.safety.own_files import NOTE

DIRECTORIES = ("images", "labels", "channels")  # named like their tables


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
        self._folder = _hold_folder(root)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._release_folder()
            raise ProjectBusy(root, read_owner(root)) from None
        except BaseException:
            self._release_folder()
            raise
        self._owner = Owner(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
        self._write_note()

    def note_address(self, address: str) -> None:
        """Where people reach the owner. Raises OSError."""
        self._owner = replace(self._owner, address=address)
        self._write_note()

    def release(self) -> None:
        self._lock.release()
        self._release_folder()

    def _release_folder(self) -> None:
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def _write_note(self) -> None:
        write_bytes(self._note, json.dumps(asdict(self._owner)).encode())


def _hold_folder(root: Path) -> int | None:
    """A lock on the folder itself, which nobody frees by deleting `.lock`; None where the system has none. Raises
    ProjectBusy."""
    if sys.platform == "win32":  # a locked file cannot be deleted there
        return None
    import fcntl

    folder = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return folder
    except BlockingIOError:
        os.close(folder)
        raise ProjectBusy(root, read_owner(root)) from None
    except OSError:  # some network file systems lock files only
        os.close(folder)
        return None


def read_owner(root: Path) -> Owner | None:
    """Who holds the project; guesses nothing where the note is missing or torn."""
    try:
        note = json.loads((root / NOTE).read_text(encoding="utf-8"))
        address = str(note.get("address", ""))  # older versions did not write it
        return Owner(int(note["pid"]), str(note["host"]), str(note["since"]), address)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_there(root: Path) -> None:
    """Raises FileNotFoundError where there is no project, and what `check_whole` raises."""
    check_whole(root)
    if not (root / "project.db").exists():
        raise FileNotFoundError(
            f"{root} is not a project; make one with: python app.py import DATA --project DIR"
        )


def check_whole(root: Path) -> None:
    """Before anything is made or set aside: files without their facts are no empty project. Raises LookupError."""
    database = root / "project.db"
    if root.exists() and not root.is_dir():
        raise LookupError(f"{root} is a file and a project is a folder; give another place")
    if database.exists() and not database.is_file():
        raise LookupError(
            f"{database} is no file, so nothing of the project is known; put it back from a copy"
        )
    if database.exists() and database.stat().st_size:
        return
    for name in DIRECTORIES:
        if (root / name).is_dir() and any((root / name).iterdir()):
            raise LookupError(
                f"{root} holds {name} but {'an empty' if database.exists() else 'no'} project.db, which knows what "
                "they are; put it back from a copy, nothing was changed"
            )


def sweep(directory: Path, known: set[str]) -> None:
    """After a crash: half-written files go, whole ones that no row knows are set aside, not deleted."""
    for path in directory.iterdir():
        if path.suffix == ".tmp":
            path.unlink(missing_ok=True)
        elif path.stem not in known:
            aside = directory.with_name("set-aside")
            aside.mkdir(exist_ok=True)
            path.replace(aside / path.name)
