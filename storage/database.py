"""One SQLite connection behind one lock, opened by the project's owner alone (or read-only by anybody)."""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database as Tables

from storage.schema import migration


class StorageFull(OSError):
    """The disk is full: nothing was written, the old state stands."""


class StorageBusy(OSError):
    """Another program holds the project's database: nothing was written, waiting helps."""


class Database:
    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        # Protects the connection. It is a leaf: nobody takes another lock while holding it.
        self._lock = threading.RLock()
        self._connection = _read_only(path) if read_only else _writable(path)
        self.tables = Tables(self._connection)
        if not read_only:
            migration.apply(self.tables)

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """All or nothing, on disk when it ends (synchronous = FULL)."""
        with self._lock:
            try:
                with self.tables.atomic():
                    yield self.tables
            except sqlite3.OperationalError as error:
                if "full" in str(error):
                    raise StorageFull("the disk is full; free some space, nothing was lost") from error
                if "locked" in str(error):
                    raise StorageBusy(
                        "another program uses the project's database; this waits for it"
                    ) from error
                raise

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with self._lock:
            return list(self.tables.query(sql, list(params)))

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is no row."""
        with self._lock:
            row = self.tables.execute(sql, list(params)).fetchone()
        return row[0] if row else None

    def number(self, sql: str, params: Sequence[Any] = ()) -> int:
        """As `value`, of a query that always answers with a whole number: a count, or a coalesced maximum."""
        return int(self.value(sql, params))

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")  # an acknowledged label survives a power cut
    connection.execute("pragma foreign_keys = on")
    return connection


def _read_only(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise FileNotFoundError(
            f"{path.parent} is not a project; make one with: python app.py import DATA --project DIR"
        )
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=5)


@contextmanager
def full_disk_told(remedy: str = "free some space, nothing was lost") -> Iterator[None]:
    """Turns the system's error for a full disk or quota into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise StorageFull(f"the disk is full; {remedy}") from error
        raise
