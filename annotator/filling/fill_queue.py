"""Which volumes wait to be filled, and which one is being filled."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class NextFill:
    """What the worker does next. `decides`: it only asks whether labels alone do better than what is there."""

    image_id: int
    decides: bool


class FillQueue:
    """Thread-safe; one worker takes. A newer label on what is being filled ends that fill."""

    def __init__(self) -> None:
        # Protects all below. Taken inside the lock of the label cache; a leaf: no other lock is taken inside it.
        self._changed = threading.Condition()
        self._waiting: list[int] = []  # the one asked for last is filled first
        self._undecided: list[int] = []  # filled; asked about once nothing waits
        self._running: int | None = None
        self._deciding = False
        self._busy = False  # from the taking of an image until its outcome is published
        self._superseded = False
        self._tried: dict[int, tuple[int, str]] = {}  # image -> newest label and propagator of its last fill
        self._closed = False

    # by whoever labels or looks

    def add(self, image_id: int) -> bool:
        """Whether it will be filled: after closing nothing is."""
        with self._changed:
            if self._closed:
                return False
            if image_id in self._waiting:
                self._waiting.remove(image_id)
            self._waiting.append(image_id)
            self._superseded = self._superseded or self._deciding or self._running == image_id
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """What runs is to end, and nothing is taken any more."""
        with self._changed:
            self._closed, self._superseded = True, True
            self._changed.notify_all()

    def idle(self, seconds: float) -> bool:
        """Wait until nothing is left to fill; False where that takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._busy or self._waiting or self._undecided), seconds
            )

    @property
    def waiting(self) -> int:
        """How many volumes wait to be filled or are being filled."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    def under_way(self, image_id: int) -> bool:
        """Whether this image waits to be filled or is being filled."""
        with self._changed:
            return image_id in (self._running, *self._waiting)

    def was_tried(self, image_id: int, newest_label: int, propagator: str) -> bool:
        with self._changed:
            return self._tried.get(image_id) == (newest_label, propagator)

    # by the worker

    def take(self) -> NextFill | None:
        """Waits for something to do; None when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._undecided)
            if self._closed:
                return None
            self._busy, self._superseded, self._deciding = True, False, not self._waiting
            if self._deciding:
                return NextFill(self._undecided.pop(), decides=True)
            self._running = self._waiting.pop()
            return NextFill(self._running, decides=False)

    @property
    def superseded(self) -> bool:
        """Whether what runs is to end: its labels are old, or the app closes. Read without the lock."""
        return self._superseded

    def note_tried(self, image_id: int, newest_label: int, propagator: str) -> None:
        """What fails with these labels is not tried again by every page."""
        with self._changed:
            self._tried[image_id] = newest_label, propagator

    def decide_later(self, image_id: int) -> None:
        with self._changed:
            if image_id not in self._undecided:
                self._undecided.append(image_id)

    def ended(self) -> None:
        """The fill is over. Called before it is published: who hears of it asks for the state at once."""
        with self._changed:
            self._running = None

    def published(self) -> None:
        with self._changed:
            self._busy = self._deciding = False
            self._changed.notify_all()
