"""Images that a tool lends for a while (sessions): nothing of them is in the project, only their owner sees them."""

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotator.dialects.subjects import Subject
from storage import formats
from storage.arrays import write_npy
from storage.formats import grid_of_image

MOST_LENT = 8  # of one person; the one not used for longest goes first
SECONDS, MOST_SECONDS = 3600, 86400


@dataclass(frozen=True)
class LentImage:
    id: str
    user: str
    name: str
    subject: Subject
    made: float
    used: float
    seconds: int  # without use, after which it is gone

    def json(self) -> dict[str, Any]:
        times = {"create_ts": int(self.made), "last_access_ts": int(self.used), "expiry": self.seconds}
        return {"name": self.id, "image": self.name, **times, "meta": {}}


class LentImages:
    """Thread-safe."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._lock = threading.Lock()  # protects _lent; a leaf
        self._lent: dict[str, LentImage] = {}

    def add(self, user: str, file: Path, seconds: int) -> LentImage:
        """Raises FileRefused."""
        scan = formats.read(file)
        key = secrets.token_hex(16)
        path = self._folder / f"{key}.npy"
        write_npy(path, scan.pixels)
        z, y, x = scan.pixels.shape[:3]
        grid = grid_of_image(scan.geometry, (z, y, x), scan.spacing_mm)
        subject = Subject(path, (z, y, x), grid, scan.window, scan.spacing_mm or (1.0, 1.0, 1.0))
        now = time.time()
        lent = LentImage(key, user, scan.name, subject, now, now, min(seconds or SECONDS, MOST_SECONDS))
        with self._tidied():
            self._lent[key] = lent
            mine = sorted((one for one in self._lent.values() if one.user == user), key=lambda one: one.used)
            for old in mine[:-MOST_LENT]:
                self._drop(old.id)
        return lent

    def get(self, user: str, key: str) -> LentImage:
        """Its time begins anew. Raises LookupError."""
        with self._tidied():
            lent = self._lent.get(key)
            if lent is None or lent.user != user:
                raise LookupError("this session has ended; send the image again")
            self._lent[key] = lent = replace(lent, used=time.time())
            return lent

    def remove(self, user: str, key: str) -> LentImage:
        lent = self.get(user, key)
        with self._tidied():
            self._drop(key)
        return lent

    @contextmanager
    def _tidied(self) -> Iterator[None]:
        with self._lock:
            now = time.time()
            for key in [one.id for one in self._lent.values() if now - one.used > one.seconds]:
                self._drop(key)
            yield

    def _drop(self, key: str) -> None:
        if (lent := self._lent.pop(key, None)) is not None:
            lent.subject.path.unlink(missing_ok=True)
