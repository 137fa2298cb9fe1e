"""How far the images of a project are: counted when somebody asks, so that no label waits for it."""

import time
from collections.abc import Callable

from annotator.labels.label_cache import LabelCache
from storage.store import Store

SECONDS = 0.3  # of one answer; a project of an older version is counted over several


class Progress:
    """Thread-safe."""

    def __init__(self, store: Store, folds: LabelCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._folds, self._clock = store, folds, clock

    def catch_up(self) -> None:
        """Count again what changed; where that takes long, the rest is left to the next call."""
        until, counted = self._clock() + SECONDS, {}
        for image_id in self._store.image_states.uncounted():
            with self._folds.lock:  # what is counted belongs to this event
                rev = self._store.newest_label(image_id, tags=False)
                counted[image_id] = rev, self._folds.unsaid(image_id)
            if self._clock() > until:
                break
        if counted:
            self._store.image_states.note_counted(counted)

    def counts(self) -> dict[str, int]:
        """How many images are to do, proposed, in work and done."""
        self.catch_up()
        return self._store.image_states.counts()
