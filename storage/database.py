"""One SQLite connection behind one lock, opened by the project's owner alone (or read-only by anybody)."""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database as Tables

from storage.safety.looking import look_at
from storage.safety.schema_version import refuse_newer
from storage.schema import migration

DAMAGE = ("not a database", "malformed", "unsupported file format", "Could not decode", "has no column")
LOOKING = "this project is open only to look, so nothing in it can be changed"


class StorageFull(OSError):
    """The disk is full: nothing was written, the old state stands."""


class StorageBusy(OSError):
    """Another program holds the project's database: nothing was written, waiting helps."""


class ProjectUnwritable(OSError):
    """A project that may be looked at and not changed."""


class DamagedDatabase(RuntimeError):
    """The project's database cannot be read: torn, of another program, or empty."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"{path} is damaged or no database of Slicewise ({reason}); put a copy of it back, "
            "or choose another project"
        )


class Database:
    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        # Protects the connection. It is a leaf: nobody takes another lock while holding it.
        self._lock = threading.RLock()
        self._path, self.looking = path, read_only
        self._fresh: list[Path] = []  # files of the transaction that is open
        with self._telling_damage():
            self._look = look_at(path) if read_only else None
            self._connection = self._look.connection if self._look else _writable(path)
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
    def transaction(self, files: Sequence[Path] = ()) -> Iterator[Tables]:
        """All or nothing, on disk when it ends (synchronous = FULL). `files` were written for rows of it: they go where
        it, or one around it, fails."""
        with self._lock, self._telling_damage():
            before = len(self._fresh)
            self._fresh += files
            try:
                with self.tables.atomic():
                    yield self.tables
                if not self._connection.in_transaction:
                    self._fresh.clear()
            except BaseException as error:
                self._drop_files(before)
                if not isinstance(error, sqlite3.OperationalError):
                    raise
                if is_full(error):
                    raise StorageFull("the disk is full; free some space, nothing was lost") from error
                if "locked" in str(error):
                    raise StorageBusy(
                        "another program uses the project's database; this waits for it"
                    ) from error
                if self.looking and "readonly" in str(error):
                    raise ProjectUnwritable(LOOKING) from error
                raise

    def _drop_files(self, start: int) -> None:
        for path in self._fresh[start:]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        del self._fresh[start:]

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
            (self._look or self._connection).close()

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
            raise


def _writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
    try:
        refuse_newer(connection)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")  # an acknowledged label survives a power cut
        connection.execute("pragma foreign_keys = on")
        return connection
    except BaseException:
        connection.close()
        raise


@contextmanager
def full_disk_told(remedy: str = "free some space, nothing was lost") -> Iterator[None]:
    """Turns the system's error for a full disk or quota into StorageFull."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if is_full(error):
            raise StorageFull(f"the disk is full; {remedy}") from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether a disk or quota is full, in the words of the system, of SQLite, of NumPy, which gives no number, or of
    who only quotes the system, such as safetensors."""
    if isinstance(error, sqlite3.OperationalError):
        return "full" in str(error)
    if not isinstance(error, OSError):
        return os.strerror(errno.ENOSPC) in str(error)
    full = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return error.errno in full or (error.errno is None and " requested and " in str(error))
