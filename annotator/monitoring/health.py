"""Whether the server can do its work: the database answers, and the disk takes what is written."""

import tempfile
import time
from pathlib import Path

import anyio

from storage.store import Store

ANSWER_SECONDS = 5.0  # a database that takes longer does not answer
KEEP_SECONDS = 1.0  # anybody may ask; nobody makes the disk busy by it
PROBE = b"\0" * 4096
WELL = "ok"


class Health:
    """For the event loop only."""

    def __init__(self, store: Store, seconds: float = ANSWER_SECONDS) -> None:
        self._store, self._seconds = store, seconds
        self._known, self._at = WELL, -KEEP_SECONDS
        self._asking = anyio.Lock()

    async def word(self) -> str:
        """`ok`, else what fails: `database` or `disk`."""
        async with self._asking:
            if time.monotonic() - self._at > KEEP_SECONDS:
                self._known = await self._look()
                self._at = time.monotonic()
            return self._known

    async def _look(self) -> str:
        found = "database"
        with anyio.move_on_after(self._seconds):
            found = await anyio.to_thread.run_sync(self._try, abandon_on_cancel=True)
        return found

    def _try(self) -> str:
        try:
            self._store.newest_label()
        except Exception:  # whatever it is: it does not answer
            return "database"
        return WELL if takes_writes(self._store.root) else "disk"


def takes_writes(folder: Path) -> bool:
    """Whether a few bytes can be written there; nothing is left behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(PROBE)
            file.flush()
    except OSError:
        return False
    return True
