"""Fills in the background: after each commit what is proposed for the rest of a volume follows the newest labels."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from annotator.labels.label_cache import LabelCache
from annotator.labels.labelled_slices import labelled_slices, mends
from annotator.prompting.selection import prompt_choice
from annotator.protocol import outgoing
from annotator.protocol.outgoing import FillState, Message
from annotator.text import error_sentence
from learners.propagate import PROPAGATORS, PropagationCancelled
from learners.propagate.contract import LabelledSlice
from learners.propagate.fused import TRUST
from learners.propagate.labels_alone import MIN_SLICES
from learners.propagate.process import FillBefore, FillDone, FillFailed, FillSpec, PriorFiles, ProcessFiller
from learners.propagate.redrawn import TOO_THICK, redrawable
from storage.arrays import BACKGROUND, UNLABELLED, TornFile, plane
from storage.database import StorageFull
from storage.fold import Folded
from storage.predictions import NewPrediction, PredictionRow
from storage.rows import ImageRow, LabelRow
from storage.store import Store

log = logging.getLogger(__name__)

DEFAULT = "random_walker"
REDRAWN = "redrawn"  # the producer whose proposals are another's with new outlines
MIN_TRUST = 0.2  # in a proposal that is expected to be worthless
SECONDS = 60.0  # a fill that takes longer stops with the best so far
REDRAW_SECONDS = 600.0  # and what was not redrawn by then stays as it was
PROGRESS_SECONDS = 0.5  # fills that are over sooner show no progress
SLAB = 16  # slices
NOTHING: Message = {"state": "none"}  # nothing is filled


class VolumeFiller(Protocol):
    """`learners.propagate.process.ProcessFiller`, or `Filler` in tests."""

    def fill(
        self, spec: FillSpec, cancelled: Callable[[], bool], progress: Callable[[float], None]
    ) -> FillDone: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Asked:
    """A fill as it is asked for: proposals to correct, and the clock of the labels."""

    spec: FillSpec
    rows: list[PredictionRow]  # what learners propose, as `spec.priors`
    rev: int


class FillWorker:
    """Thread-safe. One volume is filled at a time; a newer label on it ends the fill and starts another."""

    def __init__(
        self,
        store: Store,
        folds: LabelCache,
        filler: VolumeFiller | None = None,
        *,
        publish: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """`publish` is called from the worker's thread with each `fill` message."""
        self._store, self._folds, self._publish = store, folds, publish
        self._filler: VolumeFiller = filler or ProcessFiller()
        # Protects the ten below. Taken inside the lock of the label cache; a leaf: no other lock is taken inside it.
        self._changed = threading.Condition()
        self._waiting: list[int] = []  # the one asked for last is filled first
        self._undecided: list[
            int
        ] = []  # filled, and to be asked once nothing waits whether labels alone do better
        self._redraws: dict[int, str] = {}  # image -> the producer whose proposal is to get new outlines
        self._running: int | None = None
        self._deciding = False
        self._busy = False  # from the taking of an image until its outcome is published
        self._superseded = False
        self._tried: dict[int, tuple[int, str]] = {}  # image -> newest label and propagator of its last fill
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Stop what runs and wait for it; nothing starts any more."""
        with self._changed:
            self._closed, self._superseded, thread = True, True, self._thread
            self._changed.notify_all()
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
        with self._changed:
            if self._closed:
                return
            if image_id in self._waiting:
                self._waiting.remove(image_id)
            self._waiting.append(image_id)
            self._superseded = self._superseded or self._deciding or self._running == image_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fills", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def redraw(self, image_id: int, producer: str) -> None:
        """Propose this producer's objects with the outlines that the prompt model draws. Returns at once.

        Raises LookupError, ValueError where the planes of some direction show none."""
        image = self._store.image(image_id)
        if self._store.predictions.newest(image_id, producer) is None:
            raise LookupError("There is no proposal to redraw; label an object on one slice first.")
        if not image.is_volume or not redrawable(image.shape, image.spacing_mm or (1.0, 1.0, 1.0)):
            raise ValueError(TOO_THICK)
        with self._changed:
            self._redraws[image_id] = producer
        self.refresh(image_id)

    def catch_up(self, image_id: int) -> None:
        """Somebody opened this image: fill it if its fill is behind its labels, as after a crash or an import.

        Not again where it was tried with these labels: pages ask whenever a fill is over, failed ones too.
        """
        newest, producer = self._store.newest_label(image_id, tags=False), self.propagator
        row = self._store.predictions.newest(image_id, producer)
        with self._changed:
            under_way = self._is_under_way(image_id)
            tried = self._tried.get(image_id) == (newest, producer)
        behind = row is None or row.seen_label < newest or not _corrected(priors_of(self._store, image_id))
        if newest and not under_way and not tried and behind:
            self.refresh(image_id)

    def knows_labels(self, image_id: int) -> bool:
        """Whether anybody labelled this image."""
        return self._store.newest_label(image_id, tags=False) > 0

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
            return self._is_under_way(image_id)

    def _is_under_way(self, image_id: int) -> bool:
        """Called with the lock held."""
        return image_id in (self._running, *self._waiting)

    # fill

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            image_id, decides = taken
            outcome = self._outcome(image_id, decides=decides)
            with self._changed:
                self._running = None  # before it is published: who hears of it asks for the state at once
            if outcome is not None:
                self._announce(image_id, **outcome)
            with self._changed:
                self._busy = self._deciding = False
                self._changed.notify_all()

    def _outcome(self, image_id: int, *, decides: bool) -> Message | None:
        """Fill this volume; what to announce, None where a newer label ended it or nothing changed."""
        try:
            self._redraw(image_id)
            return self._fill(image_id, decides=decides)
        except PropagationCancelled:
            if decides:
                self._decide_later(image_id)
            return None
        except (FillFailed, StorageFull, TornFile, OSError, ValueError, LookupError) as error:
            return {"state": "failed", "message": error_sentence(error)}
        except Exception:
            log.exception("a fill failed")
            return {"state": "failed", "message": "The fill failed; see the server's log."}

    def _redraw(self, image_id: int) -> None:
        """Add the proposal with new outlines, where somebody asked for it. One that was cut short is tried again."""
        with self._changed:
            producer = self._redraws.pop(image_id, None)
        row = self._store.predictions.newest(image_id, producer) if producer else None
        if producer is None or row is None:
            return
        newest = self._store.newest_label(image_id, tags=False)
        spec = self._spec(self._store.image(image_id), REDRAWN, ())
        to = spec.classes_to, spec.confidence_to
        files = PriorFiles(row.classes_path, row.confidence_path, trust_in(row), *to)
        try:
            self._announce(image_id, "running", producer=REDRAWN, progress=0.0)
            told = self._progress(image_id, REDRAWN)
            self._filler.fill(
                replace(spec, redraws=files, seconds=REDRAW_SECONDS), lambda: self._superseded, told
            )
            new = NewPrediction(image_id, REDRAWN, "predicted", newest, *to)
            self._store.predictions.add(new)
        except PropagationCancelled:
            with self._changed:
                self._redraws.setdefault(image_id, producer)
            raise
        finally:
            for path in to:
                path.unlink(missing_ok=True)

    def _take(self) -> tuple[int, bool] | None:
        """The image to fill next, or (True) to decide about; None when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._undecided)
            if self._closed:
                return None
            self._busy, self._superseded, self._deciding = True, False, not self._waiting
            if self._deciding:
                return self._undecided.pop(), True
            self._running = self._waiting.pop()
            return self._running, False

    def _decide_later(self, image_id: int) -> None:
        with self._changed:
            if image_id not in self._undecided:
                self._undecided.append(image_id)

    def _fill(self, image_id: int, *, decides: bool) -> Message | None:
        asked = self._asked(image_id, decides=decides)
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
            done = self._filler.fill(
                spec, lambda: self._superseded, self._progress(image_id, spec.propagator)
            )
            return None if done.unchanged else self._filled(asked, done)
        finally:
            written = [path for files in spec.priors for path in (files.classes_to, files.confidence_to)]
            for path in (spec.known, spec.classes_to, spec.confidence_to, *written):
                path.unlink(missing_ok=True)

    def _asked(self, image_id: int, *, decides: bool) -> _Asked | None:
        """What to fill by today's labels, what is known on disk where a process needs it; None where all is said."""
        image, producer = self._store.image(image_id), self.propagator
        with self._folds.lock:
            folded = self._folds.get(image_id)
            labels = self._store.labels(image_id)
            newest = self._store.newest_label(image_id, tags=False)
            with self._changed:  # before anything can fail: what failed is not tried again by every page
                self._tried[image_id] = newest, producer
            if folded.unsaid == 0:
                return None
            spec = self._spec(image, producer, labelled_slices(labels))
            rows = priors_of(self._store, image_id)
            priors = tuple(self._prior(row, labels) for row in rows) if spec.slices else ()
            drawn = image.is_volume and _shows_object(folded, spec.slices)
            spec = self._going_on(replace(spec, priors=priors, fills=drawn, decides=decides), labels)
            if drawn or priors:
                _write_known(spec.known, folded)
            return _Asked(spec, rows, folded.rev)

    def _going_on(self, spec: FillSpec, labels: list[LabelRow]) -> FillSpec:
        """With the fill on screen, where labels alone are laid over it."""
        last = self._store.predictions.newest(spec.image_id, spec.propagator)
        spec = replace(spec, alone=last is not None and last.prior is None)
        if last is None or (spec.priors and not spec.alone):
            return spec
        return replace(spec, before=self._before(last, labels, spec.slices))

    def _filled(self, asked: _Asked, done: FillDone) -> Message:
        """Record what was corrected and filled; what to announce."""
        spec, predictions = asked.spec, self._store.predictions
        if spec.fills and spec.priors and len(spec.slices) >= MIN_SLICES and not spec.decides:
            self._decide_later(spec.image_id)
        for row, files in zip(asked.rows, spec.priors, strict=True):
            if files.confidence_to.exists():
                predictions.correct(row, files.classes_to, files.confidence_to)
        if not spec.fills:
            return NOTHING
        prior = next((row.producer for row, p in zip(asked.rows, spec.priors) if p == done.prior), None)
        paths = spec.classes_to, spec.confidence_to
        new = NewPrediction(spec.image_id, spec.propagator, "propagated", asked.rev, *paths, prior=prior)
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

    def _spec(self, image: ImageRow, producer: str, slices: tuple[LabelledSlice, ...]) -> FillSpec:
        folder, uid = self._store.predictions.directory, uuid.uuid4().hex
        return FillSpec(
            image_id=image.id,
            propagator=producer,
            pixels=image.path,
            known=folder / f"{uid}.known.new.npy",
            slices=slices,
            spacing_mm=image.spacing_mm or (1.0, 1.0, 1.0),
            window=image.window,
            seconds=SECONDS,
            classes_to=folder / f"{uid}.classes.new.npy",
            confidence_to=folder / f"{uid}.confidence.new.npy",
            prompts=prompt_choice(self._store),
        )

    def _prior(self, row: PredictionRow, labels: list[LabelRow]) -> PriorFiles:
        unseen = _labelled_after(labels, row.seen_label)
        folder, uid = self._store.predictions.directory, uuid.uuid4().hex
        classes, confidence = row.uncorrected
        classes_to, confidence_to = folder / f"{uid}.classes.new.npy", folder / f"{uid}.confidence.new.npy"
        return PriorFiles(classes, confidence, trust_in(row), classes_to, confidence_to, unseen)

    def _before(
        self, last: PredictionRow, labels: list[LabelRow], slices: tuple[LabelledSlice, ...]
    ) -> FillBefore | None:
        """The fill on screen; None where a label that made it was taken back."""
        if self._store.taken_back_since(last.image_id, last.seen_label):
            return None
        newer = {(row.axis, row.index) for row in labels if row.id > last.seen_label and not mends(row)}
        found = tuple(s for s in slices if (s.axis, s.index) in newer)
        return FillBefore(last.classes_path, last.confidence_path, found)

    def _progress(self, image_id: int, producer: str) -> Callable[[float], None]:
        told_at = time.monotonic()

        def progress(share: float) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > PROGRESS_SECONDS:
                told_at = time.monotonic()
                self._announce(image_id, "running", producer=producer, progress=round(share, 3))

        return progress

    def _remove_others(self, image_id: int, keep: str | None) -> None:
        for row in self._store.predictions.of(image_id):
            if row.kind == "propagated" and row.producer != keep:
                self._store.predictions.remove(image_id, row.producer)

    def _announce(self, image_id: int, state: FillState, **details: Any) -> None:
        self._publish(outgoing.fill(image_id, state, **details))


def _labelled_after(labels: list[LabelRow], seen_label: int) -> tuple[LabelledSlice, ...]:
    """The slices of which nothing was said before."""
    before = {(row.axis, row.index) for row in labels if row.id <= seen_label}
    return tuple(s for s in labelled_slices(labels) if (s.axis, s.index) not in before)


def priors_of(store: Store, image_id: int) -> list[PredictionRow]:
    """What learners propose for an image, oldest first: what labels correct, and what a fill starts from."""
    return [row for row in store.predictions.of(image_id) if row.kind == "predicted"]


def trust_in(row: PredictionRow) -> float:
    """How strongly a proposal pulls against labels."""
    return TRUST if row.expected is None else max(MIN_TRUST, row.expected.dice)


def _corrected(rows: Iterable[PredictionRow]) -> bool:
    return all(row.uncorrected[0] != row.classes_path for row in rows)


def _write_known(path: Path, folded: Folded) -> None:
    """What is known, slab by slab, so that a large volume is never in memory twice."""
    shape = folded.classes.shape
    try:
        with open(path, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for z in range(0, shape[0], SLAB):
                file.write(folded.known(z, min(z + SLAB, shape[0])).data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _shows_object(folded: Folded, slices: Iterable[LabelledSlice]) -> bool:
    cuts = (plane(folded.classes, each.axis, each.index) for each in slices)
    return any(((cut != BACKGROUND) & (cut != UNLABELLED)).any() for cut in cuts)
