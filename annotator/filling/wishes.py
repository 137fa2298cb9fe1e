"""What people ask the prompt model for, beside the fills: new outlines for a proposal, or every object of a picture. It
may take minutes, for which nobody else's volume is to wait."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from annotator.filling.failures import failed
from annotator.filling.fill_request import FillRequests, remove_files
from annotator.filling.volume_filler import VolumeFiller
from learners.propagate import PropagationCancelled
from learners.propagate.process import FillSpec
from storage.predictions import NewPrediction
from storage.store import Store

PROGRESS_SECONDS = 0.5
TRIES = 3


@dataclass(frozen=True)
class Redraw:
    """The proposal of this producer with new outlines."""

    producer: str


@dataclass(frozen=True)
class FindObjects:
    """Every object of a picture that the model is sure of, as this class."""

    class_id: int


Wish = Redraw | FindObjects


class Wishes:
    """Thread-safe. One is granted at a time; labels are laid over it afterwards."""

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
        self._waiting: dict[int, Wish] = {}  # of images
        self._running: tuple[int, Wish] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, image_id: int, wish: Wish) -> None:
        """Returns at once. What is being made already is not begun anew."""
        with self._changed:
            if self._closed or self._running == (image_id, wish):
                return
            self._waiting[image_id] = wish
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wishes", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many wait or are being made."""
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
            self._grant(*taken)
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _take(self) -> tuple[int, Wish] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            image_id = next(iter(self._waiting))
            self._running = image_id, self._waiting.pop(image_id)
            return self._running

    def _grant(self, image_id: int, wish: Wish) -> None:
        try:
            newest = self._store.newest_label(image_id, tags=False)
            if isinstance(wish, FindObjects):
                spec: FillSpec | None = self._requests.find(image_id, wish.class_id)
            else:
                spec = self._asked(image_id, wish.producer)
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
            self._announce(image_id, "running", producer=spec.propagator, progress=0.0)
            self._filler.fill(spec, lambda: self._closed, self._progress(spec))
            new = NewPrediction(
                image_id, spec.propagator, "predicted", newest_label, *files, objects=spec.numbers_to
            )
            self._store.predictions.add(new)
        finally:
            remove_files(spec)

    def _progress(self, spec: FillSpec) -> Callable[[float], None]:
        return slowly(
            lambda share: self._announce(spec.image_id, "running", producer=spec.propagator, progress=share)
        )


def slowly(tell: Callable[[float], Any]) -> Callable[[float], None]:
    """Shares of work, told at most so often, and not at all where it is over sooner."""
    told_at = time.monotonic()

    def progress(share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            tell(round(share, 3))

    return progress
