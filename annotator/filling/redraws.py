"""Proposals whose outlines the prompt model draws anew, beside the fills: it may take minutes, for which nobody else's
volume is to wait."""

import threading
import time
from collections.abc import Callable
from typing import Any

from annotator.filling.failures import failed
from annotator.filling.fill_request import REDRAWN, FillRequests, remove_files
from annotator.filling.volume_filler import VolumeFiller
from learners.propagate import PropagationCancelled
from learners.propagate.process import FillSpec
from storage.predictions import NewPrediction
from storage.store import Store

PROGRESS_SECONDS = 0.5
TRIES = 3


class Redraws:
    """Thread-safe. One proposal is redrawn at a time; labels are laid over it afterwards."""

    def __init__(
        self,
        store: Store,
        requests: FillRequests,
        filler: VolumeFiller,
        *,
        announce: Callable[..., None],
        added: Callable[[int], None],
    ) -> None:
        """`announce(image, state, ...)` and `added(image)`, once there is a new proposal, are called from a thread."""
        self._store, self._requests, self._filler = store, requests, filler
        self._announce, self._added = announce, added
        self._changed = threading.Condition()  # protects all below; a leaf
        self._waiting: dict[int, str] = {}  # image -> the producer whose proposal it is
        self._running: tuple[int, str] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, image_id: int, producer: str) -> None:
        """Returns at once. What is being redrawn already is not begun anew."""
        with self._changed:
            if self._closed or self._running == (image_id, producer):
                return
            self._waiting[image_id] = producer
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="redraws", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many wait or are being redrawn."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    def under_way(self, image_id: int) -> bool:
        with self._changed:
            return image_id in self._waiting or (self._running is not None and self._running[0] == image_id)

    def idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and self._running is None, seconds)

    def close(self) -> None:
        """Stop what runs and wait for it; nothing starts any more."""
        with self._changed:
            self._closed, thread = True, self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        self._filler.close()

    # in the thread

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            self._redraw(*taken)
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _take(self) -> tuple[int, str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            image_id = next(iter(self._waiting))
            self._running = image_id, self._waiting.pop(image_id)
            return self._running

    def _redraw(self, image_id: int, producer: str) -> None:
        try:
            newest = self._store.newest_label(image_id, tags=False)
            spec = self._asked(image_id, producer)
            if spec is not None:
                self._draw(spec, newest)
                self._added(image_id)
        except PropagationCancelled:  # the app closes
            return
        except Exception as error:
            self._announce(image_id, **failed(error))

    def _asked(self, image_id: int, producer: str) -> FillSpec | None:
        """None where nothing is proposed any more."""
        for _ in range(TRIES):
            row = self._store.predictions.newest(image_id, producer)
            try:
                return None if row is None else self._requests.redraw(row)
            except FileNotFoundError:  # a newer one has just taken its place
                continue
        raise LookupError("the proposal was renewed meanwhile; press Redraw once more")

    def _draw(self, spec: FillSpec, newest_label: int) -> None:
        image_id, files = spec.image_id, (spec.classes_to, spec.confidence_to)
        try:
            self._announce(image_id, "running", producer=REDRAWN, progress=0.0)
            self._filler.fill(spec, lambda: self._closed, self._progress(image_id))
            self._store.predictions.add(NewPrediction(image_id, REDRAWN, "predicted", newest_label, *files))
        finally:
            remove_files(spec)

    def _progress(self, image_id: int) -> Callable[[float], None]:
        return slowly(lambda share: self._announce(image_id, "running", producer=REDRAWN, progress=share))


def slowly(tell: Callable[[float], Any]) -> Callable[[float], None]:
    """Shares of work, told at most so often, and not at all where it is over sooner."""
    told_at = time.monotonic()

    def progress(share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            tell(round(share, 3))

    return progress
