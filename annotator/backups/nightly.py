"""When a snapshot is made: once a day, in the first quiet moment of the night."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from annotator.backups.snapshots import NoRoom, made_at, snapshots, take_snapshot
from storage.database import StorageFull
from storage.store import Store

log = logging.getLogger(__name__)

HOUR = 2  # local time
LOOK_SECONDS = 60.0
QUIET_LOOKS = 3  # so often in a row nothing was said
SUMMER_TIME = timedelta(hours=1)  # that the clock goes back by itself
PATIENCE = timedelta(hours=2)  # after which a snapshot is made although people work: it does not disturb them


def is_due(now: datetime, last: datetime | None) -> bool:
    """After two in the morning, once a day; or a day after the last; or where the clock was set back since."""
    if last is None or last - now > SUMMER_TIME:
        return True
    night = now.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return last < night <= now or now - last >= timedelta(days=1)


class Nightly:
    """A thread of its own; close() it."""

    def __init__(self, store: Store, busy: Callable[[], bool]) -> None:
        """`busy`: whether an import or another job runs."""
        self._store, self._busy = store, busy
        self._closed = threading.Event()
        self._clock, self._quiet = -1, 0
        self._waits_since: datetime | None = None
        self._tried: datetime | None = None
        self._thread = threading.Thread(target=self._loop, name="snapshots", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Waits for a snapshot that is being made."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                self.look(datetime.now())
            except (NoRoom, StorageFull) as error:
                log.warning("%s", error)
            except Exception as error:
                log.warning("no snapshot was made (%s); the next try is tomorrow", error)

    def look(self, now: datetime) -> Path | None:
        """The snapshot that was made, if one was due in a quiet moment. Raises what `take_snapshot` raises."""
        clock = self._store.newest_label()
        self._quiet = self._quiet + 1 if clock == self._clock and not self._busy() else 0
        self._clock = clock
        if not is_due(now, self._last()):
            self._waits_since = None
            return None
        self._waits_since = self._waits_since or now
        if self._quiet < QUIET_LOOKS and now - self._waits_since < PATIENCE:
            return None
        self._tried, self._waits_since = now, None
        started = time.monotonic()
        made = take_snapshot(self._store.root)
        if made is not None:
            log.info("snapshot %s made in %.1f s", made.name, time.monotonic() - started)
        return made

    def _last(self) -> datetime | None:
        """When a snapshot was last made or tried."""
        made = [made_at(path) for path in snapshots(self._store.root)[-1:]]
        return max([*made, *([self._tried] if self._tried else [])], default=None)
