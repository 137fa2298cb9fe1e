"""Whether a project can be written: rights in its folder, and room on its disk."""

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.database import ProjectUnwritable, StorageFull, is_full

ROOM = 4 << 20  # bytes: below it SQLite cannot keep its journal, and labels fail one by one
PROBE = 1 << 20
HEALED = 4  # times ROOM: a disk at its brim must not open and close the project


@contextmanager
def unwritable_told(root: Path) -> Iterator[None]:
    """Turns the system's refusals to write into one sentence: StorageFull or ProjectUnwritable."""
    try:
        yield
    except (StorageFull, ProjectUnwritable):
        raise
    except (OSError, sqlite3.OperationalError) as error:
        if is_full(error) or _no_room(root, error):
            raise full_disk(root) from error
        number = (
            error.errno if isinstance(error, OSError) else errno.EROFS if "readonly" in str(error) else None
        )
        if number not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ProjectUnwritable(
            f"{root} cannot be written to ({os.strerror(number)}); make the folder writable or copy it. "
            "To look and to export, open it with --look"
        ) from error


def full_disk(root: Path) -> StorageFull:
    return StorageFull(
        f"the disk of {root} is full; free some space and open it again, nothing was lost. "
        "To look and to export to another disk, open it with --look"
    )


def check_room(root: Path) -> None:
    """Before a project is opened for writing or made. Raises StorageFull."""
    place = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if shutil.disk_usage(place).free < ROOM:
        raise full_disk(root)


def need_room(place: Path, needed: int, what: str) -> None:
    """Before many bytes are written into a folder. Raises ValueError."""
    free = shutil.disk_usage(place).free
    if free < needed + ROOM:
        raise ValueError(
            f"{what} needs {(needed + ROOM) / 1e6:,.0f} MB, and the disk of {place} has {free / 1e6:,.0f} MB left; "
            "free some space or choose another disk"
        )


def can_be_written(root: Path) -> bool:
    """Whether a project that was only looked at may be opened anew: there is room, and a file can be written."""
    probe = root / f".probe-{os.getpid()}.tmp"
    try:
        if shutil.disk_usage(root).free < HEALED * ROOM:
            return False
        probe.write_bytes(bytes(PROBE))
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _no_room(root: Path, error: Exception) -> bool:
    """SQLite says "disk I/O error" where it finds no room for its notes."""
    return "disk I/O error" in str(error) and shutil.disk_usage(root).free < ROOM
