"""Nightly snapshots in the project's own folder: a database each, and the files that they name once for all of them."""

import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from annotator.backups.backup import RESERVE
from storage.database import full_disk_told
from storage.lock import DIRECTORIES
from storage.safety.contents import copy_database, facts_in, files_named

log = logging.getLogger(__name__)

FOLDER = "backups"
KEPT = 7
LINKED = ("images/", "channels/")  # never written again
STAMP = "%Y-%m-%d_%H%M%S"
NAME = re.compile(r"(\d{4}-\d\d-\d\d_\d{6})(?:_(\d{1,9}))?\.db")  # older versions gave no number


class NoRoom(OSError):
    """A snapshot would leave too little of the disk for labels."""


def snapshots(root: Path) -> list[Path]:
    """The databases of the snapshots in the order in which they were made, whatever the clock said then."""
    there = [path for path in (root / FOLDER).glob("*.db") if NAME.fullmatch(path.name)]
    return sorted(there, key=lambda path: (_number(path), path.name))


def made_at(snapshot: Path) -> datetime:
    """By the clock of that moment, in local time. Raises ValueError for a day that no calendar has."""
    return datetime.strptime(_parts(snapshot)[0], STAMP)


def take_snapshot(root: Path) -> Path | None:
    """A new snapshot, durable when it returns; None where nothing changed since the last. Images are linked, labels
    copied, and what can be made again is left out. Raises NoRoom, StorageFull, OSError."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    unfinished = folder / "unfinished.tmp"
    unfinished.unlink(missing_ok=True)
    try:
        return _taken(root, unfinished)
    finally:
        unfinished.unlink(missing_ok=True)


def _taken(root: Path, unfinished: Path) -> Path | None:
    with full_disk_told("no snapshot was made"):
        copy_database(root, unfinished)
        older = snapshots(root)
        if older and facts_in(older[-1]) == facts_in(unfinished):
            return None
        _keep_files(root, files_named(unfinished, root).own)
        number = _number(older[-1]) + 1 if older else 1
        target = unfinished.with_name(f"{time.strftime(STAMP)}_{number}.db")
        os.replace(unfinished, target)
        _to_disk()
        _thin(root)
        return target


def _keep_files(root: Path, places: tuple[str, ...]) -> None:
    """Each file once, however many snapshots name it: it never changes."""
    for name in DIRECTORIES:
        (root / FOLDER / name).mkdir(exist_ok=True)
    fresh = [place for place in places if not (root / FOLDER / place).exists() and (root / place).exists()]
    linked = _links_work(root)
    size = sum((root / p).stat().st_size for p in fresh if not (linked and p.startswith(LINKED)))
    if shutil.disk_usage(root).free < size + RESERVE:
        raise NoRoom(_no_room(root, size))
    log.info("a snapshot copies %.1f MB and links the rest", size / 1e6)
    for place in fresh:
        copy = root / FOLDER / place
        with contextlib.suppress(FileNotFoundError):  # the bin was emptied meanwhile
            if linked and place.startswith(LINKED):
                os.link(root / place, copy)
            else:
                half = copy.with_name(f"{copy.name}.tmp")
                shutil.copyfile(root / place, half)
                os.replace(half, copy)


def _links_work(root: Path) -> bool:
    """Some file systems have no second name for a file."""
    source, second = root / FOLDER / "unfinished.tmp", root / FOLDER / "link.tmp"
    try:
        os.link(source, second)
        return True
    except OSError:
        return False
    finally:
        second.unlink(missing_ok=True)


def _thin(root: Path) -> None:
    """Keep the newest, and the files that they name."""
    for old in snapshots(root)[:-KEPT]:
        old.unlink()
    named = {place for kept in snapshots(root) for place in files_named(kept, root).own}
    for name in DIRECTORIES:
        for path in (root / FOLDER / name).iterdir():
            if f"{name}/{path.name}" not in named:
                path.unlink(missing_ok=True)


def _number(snapshot: Path) -> int:
    return int(_parts(snapshot)[1] or 0)


def _parts(snapshot: Path) -> tuple[str, str | None]:
    found = NAME.fullmatch(snapshot.name)
    assert found is not None, snapshot
    return found[1], found[2]


def _to_disk() -> None:
    """Thousands of small files: the system is asked once, not for each."""
    sync: Callable[[], None] | None = getattr(os, "sync", None)
    if sync is not None:
        sync()


def _no_room(root: Path, size: int) -> str:
    return (
        f"no snapshot was made: it needs {size / 1e6:,.0f} MB, and {RESERVE >> 20} MB of the disk of {root} stay "
        "free for labels"
    )
