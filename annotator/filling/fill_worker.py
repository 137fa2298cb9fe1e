"""Fills in the background: after each commit what is proposed for the rest of a volume follows the newest labels."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from annotator.filling.failures import failed
from annotator.filling.fill_queue import FillQueue, NextFill
from annotator.filling.fill_request import AskedFill, FillRequests, priors_of, remove_files
from annotator.filling.volume_filler import VolumeFiller
from annotator.filling.wishes import FindObjects, Redraw, Wishes, slowly
from annotator.labels.label_cache import LabelCache
from annotator.protocol import outgoing
from annotator.protocol.outgoing import FillState, Message
from learners.propagate import PROPAGATORS, PropagationCancelled
from learners.propagate.labels_alone import MIN_SLICES
from learners.propagate.process import FillDone, FillSpec, ProcessFiller
from learners.propagate.redrawn import TOO_THICK, redrawable
from storage.predictions import NewPrediction, PredictionRow
from storage.store import Store

log = logging.getLogger(__name__)

DEFAULT = "random_walker"
NOTHING: Message = {"state": "none"}  # nothing is filled


class FillWorker:
    """Thread-safe. One volume is filled at a time; a newer label on it ends the fill and starts another."""

    def __init__(
        self,
        store: Store,
        folds: LabelCache,
        filler: VolumeFiller | None = None,
        *,
        redrawer: VolumeFiller | None = None,
        publish: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """`publish` is called from the threads of the fills with each `fill` message."""
        self._store, self._folds, self._publish = store, folds, publish
        self._filler: VolumeFiller = filler or ProcessFiller()
        self._queue, self._requests = FillQueue(), FillRequests(store, folds)
        redrawer = redrawer or ProcessFiller()
        self._wishes = Wishes(store, self._requests, redrawer, announce=self._announce, added=self.refresh)
        self._starting = threading.Lock()  # protects the one below; a leaf
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Stop what runs and wait for it; nothing starts any more."""
        self._wishes.close()
        self._queue.close()
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.join()
        self._filler.close()

    @property
    def propagator(self) -> str:
        """The name of the one that fills."""
        chosen = self._store.setting("propagator")
        return chosen if chosen in PROPAGATORS and PROPAGATORS[chosen].ready else DEFAULT

    def choose(self, name: str) -> None:
        """Fill by another propagator from now on. Raises LookupError."""
        if name not in PROPAGATORS:
            raise LookupError(f"there is no propagator {name!r}; there are: {', '.join(PROPAGATORS)}")
        if not PROPAGATORS[name].ready:
            raise LookupError(
                f"{PROPAGATORS[name].title} has no weights on this machine; docs/guide/fills.md says which"
            )
        self._store.set_setting("propagator", name)

    def refresh(self, image_id: int) -> None:
        """The labels of this image changed: fill it if it is a volume. Returns at once. Raises LookupError."""
        if self._store.looking:
            return
        if not self._store.image(image_id).is_volume and not priors_of(self._store, image_id):
            return
        if not self._queue.add(image_id):
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fills", daemon=True)
                self._thread.start()

    def redraw(self, image_id: int, producer: str) -> None:
        """Propose this producer's objects with the outlines that the prompt model draws. Returns at once.

        Raises LookupError, ValueError where the planes of some direction show none."""
        image = self._store.image(image_id)
        if self._store.predictions.newest(image_id, producer) is None:
            raise LookupError("There is no proposal to redraw; label an object on one slice first.")
        if not image.is_volume or not redrawable(image.shape, image.spacing_mm or (1.0, 1.0, 1.0)):
            raise ValueError(TOO_THICK)
        if not self._store.looking:
            self._wishes.ask(image_id, Redraw(producer))

    def find_objects(self, image_id: int, class_id: int) -> None:
        """Propose every object of a picture that the prompt model is sure of, as this class. Returns at once.

        Raises LookupError, and ValueError for a volume."""
        if self._store.image(image_id).is_volume:
            raise ValueError(
                "Objects are found in pictures; in a volume label one slice, and the app fills the rest."
            )
        if class_id not in {one.id for one in self._store.classes()}:
            raise LookupError("That class is not in this project; choose another one.")
        if not self._store.looking:
            self._wishes.ask(image_id, FindObjects(class_id))

    def catch_up(self, image_id: int) -> None:
        """Somebody opened this image: fill it if its fill is behind its labels, as after a crash or an import.

        Not again where it was tried with these labels: pages ask whenever a fill is over, failed ones too.
        """
        newest, producer = self._store.newest_label(image_id, tags=False), self.propagator
        row = self._store.predictions.newest(image_id, producer)
        known = self._queue.under_way(image_id) or self._queue.was_tried(image_id, newest, producer)
        behind = row is None or row.seen_label < newest or not _corrected(priors_of(self._store, image_id))
        if newest and not known and behind:
            self.refresh(image_id)

    def knows_labels(self, image_id: int) -> bool:
        """Whether anybody labelled this image."""
        return self._store.newest_label(image_id, tags=False) > 0

    def idle(self, seconds: float) -> bool:
        """Wait until nothing is left to fill; False where that takes longer."""
        return self._wishes.idle(seconds) and self._queue.idle(seconds)

    @property
    def waiting(self) -> int:
        """How many volumes wait to be filled or redrawn, or are at it."""
        return self._queue.waiting + self._wishes.waiting

    def under_way(self, image_id: int) -> bool:
        """Whether this image waits to be filled or redrawn, or is at it."""
        return self._queue.under_way(image_id) or self._wishes.under_way(image_id)

    # in the worker's thread

    def _work(self) -> None:
        while (taken := self._queue.take()) is not None:
            outcome = self._outcome(taken)
            self._queue.ended()
            if outcome is not None:
                self._announce(taken.image_id, **outcome)
            self._queue.published()

    def _outcome(self, taken: NextFill) -> Message | None:
        """Fill this volume; what to announce, None where a newer label ended it or nothing changed."""
        try:
            return self._fill(taken)
        except PropagationCancelled:
            if taken.decides:
                self._queue.decide_later(taken.image_id)
            return None
        except Exception as error:
            return failed(error)

    def _fill(self, taken: NextFill) -> Message | None:
        image_id = taken.image_id
        asked = self._asked(taken)
        if asked is None:  # people said all: nothing is left to propose, whatever learners say of it
            self._remove_others(image_id, None)
            return NOTHING
        spec = asked.spec
        if not spec.fills:
            self._remove_others(image_id, None)  # no object is labelled any more: nothing holds the fill up
        if not (spec.fills or spec.priors):
            for row in asked.rows:
                self._store.predictions.restore(row)
            return NOTHING
        try:
            done = self._run(spec)
            return None if done.unchanged else self._filled(asked, done)
        finally:
            remove_files(spec)

    def _asked(self, taken: NextFill) -> AskedFill | None:
        producer = self.propagator
        with self._folds.lock:
            newest = self._store.newest_label(taken.image_id, tags=False)
            self._queue.note_tried(taken.image_id, newest, producer)  # before anything can fail
            return self._requests.fill(taken.image_id, producer, decides=taken.decides)

    def _run(self, spec: FillSpec) -> FillDone:
        told = slowly(
            lambda share: self._announce(spec.image_id, "running", producer=spec.propagator, progress=share)
        )
        return self._filler.fill(spec, lambda: self._queue.superseded, told)

    def _filled(self, asked: AskedFill, done: FillDone) -> Message:
        """Record what was corrected and filled; what to announce."""
        spec, predictions = asked.spec, self._store.predictions
        if spec.fills and spec.priors and len(spec.slices) >= MIN_SLICES and not spec.decides:
            self._queue.decide_later(spec.image_id)
        for row, files in zip(asked.rows, spec.priors, strict=True):
            if files.confidence_to.exists():
                predictions.correct(row, files.classes_to, files.confidence_to)
        if not spec.fills:
            return NOTHING
        prior = next((row.producer for row, p in zip(asked.rows, spec.priors) if p == done.prior), None)
        paths = spec.classes_to, spec.confidence_to
        new = NewPrediction(spec.image_id, spec.propagator, "propagated", asked.rev, *paths, prior=prior)
        if spec.numbers is not None and spec.numbers.to.exists():
            new = replace(new, objects=spec.numbers.to, parents=spec.numbers.parents_to)
        row = predictions.add(new)
        log.info("image %s filled by %s in %.2f s", spec.image_id, spec.propagator, done.seconds)
        self._remove_others(spec.image_id, spec.propagator)
        return {
            "state": "done",
            "producer": spec.propagator,
            "progress": 1.0,
            "seconds": round(done.seconds, 2),
            "finished": done.finished,
            "rev": asked.rev,
            "prediction": row.id,
        }

    def _remove_others(self, image_id: int, keep: str | None) -> None:
        for row in self._store.predictions.of(image_id):
            if row.kind == "propagated" and row.producer != keep:
                self._store.predictions.remove(image_id, row.producer)

    def _announce(self, image_id: int, state: FillState, **details: Any) -> None:
        self._publish(outgoing.fill(image_id, state, **details))


def _corrected(rows: Iterable[PredictionRow]) -> bool:
    return all(row.uncorrected[0] != row.classes_path for row in rows)
