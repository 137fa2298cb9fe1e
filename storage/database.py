"""One SQLite connection behind one lock, opened by the project's owner alone (or read-only by anybody)."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlite_utils import Database as Tables

from storage.schema import migration

DAMAGE = ("not a database", "malformed", "unsupported file format", "Could not decode", "has no column")
UNWRITABLE = ("readonly", "unable to open", "disk I/O error", "locking protocol")


class StorageFull(OSError):
    """The disk is full: nothing was written, the old state stands."""


class StorageBusy(OSError):
    """Another program holds the project's database: nothing was written, waiting helps."""


class DamagedDatabase(RuntimeError):
    """The project's database cannot be read: torn, of another program, or empty."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"{path} is damaged or no database of Slicewise ({reason}); put a copy of it back, "
            "or choose another project"
        )


class OlderProject(RuntimeError):
    """A look at a project whose tables an older version made."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path.parent} was made by an older version; open it once, which brings it up to date"
        )


class Database:
    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        # Protects the connection. It is a leaf: nobody takes another lock while holding it.
        self._lock = threading.RLock()
        self._path, self._looking = path, read_only
        self._copy: TemporaryDirectory[str] | None = None
        with self._telling_damage():
            self._connection = self._read_only() if read_only else _writable(path)
            try:
                self.tables = Tables(self._connection)
                if not read_only:
                    migration.apply(self.tables)
                elif not self.tables["images"].exists():
                    raise DamagedDatabase(path, "it has no images table")
            except BaseException:
                self.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """All or nothing, on disk when it ends (synchronous = FULL)."""
        with self._lock, self._telling_damage():
            try:
                with self.tables.atomic():
                    yield self.tables
            except sqlite3.OperationalError as error:
                if is_full(error):
                    raise StorageFull("the disk is full; free some space, nothing was lost") from error
                if "locked" in str(error):
                    raise StorageBusy(
                        "another program uses the project's database; this waits for it"
                    ) from error
                raise

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with self._lock, self._telling_damage():
            return list(self.tables.query(sql, list(params)))

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is no row."""
        with self._lock, self._telling_damage():
            row = self.tables.execute(sql, list(params)).fetchone()
        return row[0] if row else None

    def number(self, sql: str, params: Sequence[Any] = ()) -> int:
        """As `value`, of a query that always answers with a whole number: a count, or a coalesced maximum."""
        return int(self.value(sql, params))

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            if self._copy is not None:
                self._copy.cleanup()

    def _read_only(self) -> sqlite3.Connection:
        """SQLite keeps notes beside a database even to read it; where the folder forbids that, a copy is read."""
        connection = _looking_at(self._path)
        try:
            connection.execute("select count(*) from sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if not any(sign in str(error) for sign in UNWRITABLE):
                raise
        self._copy = TemporaryDirectory()
        copy = Path(self._copy.name, self._path.name)
        for ending in ("", "-wal"):
            if (own := self._path.with_name(self._path.name + ending)).exists():
                shutil.copyfile(own, copy.with_name(copy.name + ending))
        return _looking_at(copy, writable=True)  # the copy is ours: its journal is brought in

    @contextmanager
    def _telling_damage(self) -> Iterator[None]:
        """Turns SQLite's words for a file that it cannot use into ours; a defect of our own stays what it is."""
        try:
            yield
        except UnicodeDecodeError as error:
            raise DamagedDatabase(self._path, "a text in it is none") from error
        except sqlite3.DatabaseError as error:
            if sign := next((sign for sign in DAMAGE if sign in str(error)), ""):
                raise DamagedDatabase(self._path, sign) from error
            if self._looking and "no such" in str(error):
                raise OlderProject(self._path) from error
            raise


def _writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")  # an acknowledged label survives a power cut
    connection.execute("pragma foreign_keys = on")
    return connection


def _looking_at(path: Path, *, writable: bool = False) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={'rw' if writable else 'ro'}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5)


@contextmanager
def full_disk_told(remedy: str = "free some space, nothing was lost") -> Iterator[None]:
    """Turns the system's error for a full disk or quota into StorageFull."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if is_full(error):
            raise StorageFull(f"the disk is full; {remedy}") from error
        raise


def is_full(error: OSError | sqlite3.OperationalError) -> bool:
    """Whether a disk or quota is full, in the words of the system, of SQLite or of NumPy, which gives no number."""
    if isinstance(error, sqlite3.OperationalError):
        return "full" in str(error)
    full = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return error.errno in full or (error.errno is None and " requested and " in str(error))


class ProjectUnwritable(OSError):
    """A project that may be looked at and not opened."""


@contextmanager
def unwritable_told(root: Path) -> Iterator[None]:
    """Turns the system's refusals to write into one sentence."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if is_full(error) or _no_room(root, error):
            raise StorageFull(
                f"the disk of {root} is full; free some space and open it again, nothing was lost. "
                "The command status works, and export to another disk"
            ) from error
        number = (
            error.errno if isinstance(error, OSError) else errno.EROFS if "readonly" in str(error) else None
        )
        if number not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ProjectUnwritable(
            f"{root} cannot be written to ({os.strerror(number)}); the commands status and export work all the same, "
            "for anything else make the folder writable or copy it"
        ) from error


def _no_room(root: Path, error: Exception) -> bool:
    """SQLite says "disk I/O error" where it finds no room for its notes."""
    return "disk I/O error" in str(error) and shutil.disk_usage(root).free < 1 << 20
