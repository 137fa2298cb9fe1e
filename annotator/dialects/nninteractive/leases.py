"""Who works on which volume: a lease for each tool. All of it lives on the event loop, and what is kept may be lost.

A lease does not end by time, so that a laptop that slept finds its prompts again: it goes when it is given back, when
its user has too many, or when the server stops.
"""

import asyncio
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import HTTPException

from annotator.dialects.nninteractive.drawing import Drawing
from annotator.dialects.subjects import Subject

MOST_OF_ONE, MOST = 4, 32
IDLE_SECONDS, LIVELY_SECONDS = 7 * 86_400.0, 60.0  # as told; nothing ends by them
MOST_UNDO = 10
GONE = "this session has ended; connect again and send the image"


@dataclass
class Lease:
    """What one tool works on. `busy` is held while a prompt is answered."""

    token: str
    user: str
    folder: Path
    used: float
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    subject: Subject | None = None
    drawing: Drawing | None = None
    undo: list[Drawing] = field(default_factory=list)
    dtype: str = "uint8"  # of what is sent back

    @property
    def remaining(self) -> float:
        return max(0.0, IDLE_SECONDS - (time.monotonic() - self.used))

    def take_image(self, subject: Subject, drawing: Drawing) -> None:
        if self.subject is not None:
            self.subject.path.unlink(missing_ok=True)
        self.subject, self.drawing, self.undo = subject, drawing, []

    def take_image_again(self, drawing: Drawing) -> None:
        """Another object of the same image."""
        self.drawing, self.undo = drawing, []

    def work(self) -> tuple[Subject, Drawing]:
        """Raises ValueError before an image came."""
        if self.subject is None or self.drawing is None:
            raise ValueError("no image came yet; send one with set_image first")
        return self.subject, self.drawing

    def take(self, drawing: Drawing, *, step: bool = True) -> None:
        if step and self.drawing is not None:
            self.undo = [*self.undo[1 - MOST_UNDO :], self.drawing]
        self.drawing = drawing

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Leases:
    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._leases: dict[str, Lease] = {}

    def claim(self, user: str) -> Lease:
        """The ones not used for longest make room."""
        mine = sorted((one for one in self._leases.values() if one.user == user), key=lambda one: one.used)
        for old in mine[: max(0, len(mine) - MOST_OF_ONE + 1)]:
            self.release(user, old.token)
        if len(self._leases) >= MOST:
            raise HTTPException(503, "too many tools are connected; close one and try again")
        token = secrets.token_hex(16)
        folder = self._folder / token
        folder.mkdir(parents=True)
        lease = self._leases[token] = Lease(token, user, folder, time.monotonic())
        return lease

    def of(self, user: str, token: str) -> Lease:
        """Another's lease is none."""
        lease = self._leases.get(token)
        if lease is None or lease.user != user:
            raise HTTPException(410, GONE)
        return lease

    def release(self, user: str, token: str) -> None:
        lease = self._leases.get(token)
        if lease is not None and lease.user == user:
            del self._leases[token]
            lease.close()
