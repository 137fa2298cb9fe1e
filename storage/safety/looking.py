"""A database for looking only: nothing is written beside it, and what is counted anew is kept in memory."""

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils import Database as Tables

from storage.safety.schema_version import refuse_newer
from storage.safety.scratch import LEAST, NoScratch, scratch_folder
from storage.schema import migration

UNWRITABLE = ("readonly", "unable to open", "disk I/O error", "locking protocol", "is full")
LARGE = 1 << 28  # bytes from which a database without a journal is read in its place
COUNTED = "image_progress"  # a table that can be made again: counting writes a copy of it in memory


@dataclass(frozen=True)
class LookedAt:
    """`copy` holds the database where its own folder would not do; cleanup() it."""

    connection: sqlite3.Connection
    copy: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        self.connection.close()
        if self.copy is not None:
            self.copy.cleanup()


def look_at(path: Path) -> LookedAt:
    """SQLite keeps notes beside a database even to read it. Where the folder forbids that, a copy is read, or what is
    large and has no journal, as it stands. A database of an older version is read as a copy too. Raises
    sqlite3.DatabaseError, NoScratch, NewerProject."""
    look = _as_it_is(path)
    if not _behind(look.connection):
        return look
    look.close()
    return _copy(path)


def _as_it_is(path: Path) -> LookedAt:
    try:
        return LookedAt(_opened(path))
    except sqlite3.OperationalError as error:
        if not any(sign in str(error) for sign in UNWRITABLE):
            raise
    journal = _size(_journal(path))
    if journal or _size(path) < LARGE:  # somebody on another computer may write it meanwhile
        with contextlib.nullcontext() if journal else contextlib.suppress(NoScratch):
            return _copy(path)
    return LookedAt(_opened(path, immutable=True))


def _copy(path: Path) -> LookedAt:
    copy = scratch_folder(2 * (_size(path) + _size(_journal(path))) + LEAST)
    try:
        return LookedAt(_opened(_copied(path, Path(copy.name))), copy)
    except BaseException:
        copy.cleanup()
        raise


def _behind(connection: sqlite3.Connection) -> bool:
    """Whether an older version made these tables, so that a copy has to be brought up to date."""
    tables = Tables(connection)
    return tables["images"].exists() and bool(migration.pending(tables))


def _opened(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5)
    try:
        connection.execute("pragma temp_store = memory")
        refuse_newer(connection)
        if connection.execute("select 1 from sqlite_master where name = ?", [COUNTED]).fetchone():
            _shadow(connection)
        return connection
    except BaseException:
        connection.close()
        raise


def _shadow(connection: sqlite3.Connection) -> None:
    """A temporary table of the same name comes first."""
    connection.execute(f"create temp table {COUNTED} as select * from main.{COUNTED}")
    connection.execute(f"create unique index temp.{COUNTED}_image on {COUNTED} (image_id)")
    connection.commit()


def _copied(path: Path, folder: Path) -> Path:
    """A copy with its journal brought in, and the tables of this version."""
    copy = folder / path.name
    shutil.copyfile(path, copy)
    if _size(_journal(path)):
        shutil.copyfile(_journal(path), _journal(copy))
    connection = sqlite3.connect(copy)
    try:
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("pragma journal_mode = delete")
        if Tables(connection)["images"].exists():
            migration.apply(Tables(connection))
    finally:
        connection.close()
    return copy


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
