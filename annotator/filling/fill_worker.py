"""Fills in the background: after each commit a volume's unlabelled rest is filled anew, by the newest labels alone."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotator.filling.trust_layer import TrustView
from annotator.labels.label_cache import LabelCache
from annotator.prompting.selection import prompt_choice
from learners import LEARNERS
from learners.propagate import PROPAGATORS, PropagationCancelled
from learners.propagate.contract import LabelledSlice
from learners.propagate.next_slice import DEFAULT_RULE, SLICE_RULES, Volume, next_slice
from learners.propagate.process import FillDone, FillFailed, FillSpec, ProcessFiller
from storage.arrays import BACKGROUND, UNLABELLED, TornFile, plane
from storage.database import StorageFull
from storage.fold import Folded
from storage.predictions import NewPrediction, PredictionRow
from storage.rows import ImageRow, LabelRow
from storage.store import Store

log = logging.getLogger(__name__)

Message = dict[str, Any]
DEFAULT = "random_walker"
SECONDS = 60.0  # a fill that takes longer stops with the best so far
TELL_SECONDS = 0.5  # fills that are over sooner show no progress
SOON = "The rest of the volume is being proposed from your labels; then the next slice is known."
MAX_SLAB_BYTES = 256 << 20
SLAB = 16  # slices


class VolumeFiller(Protocol):
    """`learners.propagate.worker.ProcessFiller`, or `Filler` in tests."""

    def fill(
        self, spec: FillSpec, cancelled: Callable[[], bool], progress: Callable[[float], None]
    ) -> FillDone: ...

    def close(self) -> None: ...


class Fills:
    """Thread-safe. One volume is filled at a time; a newer label on it ends the fill and starts another."""

    def __init__(self, store: Store, folds: LabelCache, filler: VolumeFiller | None = None) -> None:
        self._store, self._folds = store, folds
        self.trust = TrustView(store, folds)
        self._filler: VolumeFiller = filler or ProcessFiller()
        self.publish: Callable[[Message], None] = lambda message: None  # the server's, once there is one
        # Protects the seven below. A leaf: the locks of folds and store are never taken while it is held.
        self._changed = threading.Condition()
        self._waiting: list[int] = []  # the one asked for last is filled first
        self._running: int | None = None
        self._busy = False  # from the taking of an image until its outcome is told
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
        if not self._store.image(image_id).is_volume:
            return
        with self._changed:
            if self._closed:
                return
            if image_id in self._waiting:
                self._waiting.remove(image_id)
            self._waiting.append(image_id)
            self._superseded = self._superseded or self._running == image_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fills", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def look(self, image_id: int) -> None:
        """Somebody opened this image: fill it if its fill is behind its labels, as after a crash or an import.

        Not again where it was tried with these labels: pages look whenever a fill is over, failed ones too.
        """
        newest, producer = self._store.newest_label(image_id, tags=False), self.propagator
        row = self._store.predictions.newest(image_id, producer)
        with self._changed:
            under_way = self._under_way(image_id)
            tried = self._tried.get(image_id) == (newest, producer)
        if newest and not under_way and not tried and (row is None or row.seen_label < newest):
            self.refresh(image_id)

    def idle(self, seconds: float) -> bool:
        """Wait until nothing is left to fill; False where that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy and not self._waiting, seconds)

    # see

    def facts(self, image_id: int) -> Message:
        """Which pseudo-labels there are, newest last, and whether one is being made."""
        self._store.image(image_id)
        newest = {tags: self._store.newest_label(image_id, tags=tags) for tags in (False, True)}
        with self._changed:
            under_way = self._under_way(image_id)
        rows = self._store.predictions.of(image_id)
        entries = [
            {"name": name, "title": e.title, "good_at": e.good_at, "active": name == self.propagator}
            for name, e in PROPAGATORS.items()
            if e.ready
        ]
        return {
            "predictions": [_facts(row, newest[_reads_tags(row.producer)]) for row in rows],
            "running": under_way,
            "propagators": entries,
            "rules": list(SLICE_RULES),
        }

    def slab(
        self, image_id: int, z0: int, z1: int, producer: str | None = None
    ) -> tuple[NDArray[np.uint8], int]:
        """(2, z1 - z0, Y, X) classes and confidence, and the id of the prediction. Raises LookupError, TornFile."""
        row, classes, confidence = self._arrays(image_id, producer)
        if not 0 <= z0 < z1 <= len(classes):
            raise LookupError(f"the image has slices 0 to {len(classes) - 1}, no slab {z0} to {z1}")
        if 2 * (z1 - z0) * classes[0].size > MAX_SLAB_BYTES:
            raise ValueError(f"{z1 - z0} slices of this image are too much at once; ask for fewer")
        return np.stack([classes[z0:z1], confidence[z0:z1]]), row.id

    def proposes(self, image_id: int, producer: str | None = None) -> bool:
        """Whether there is a pseudo-label for this image. Raises LookupError for an unknown image."""
        self._store.image(image_id)
        return self._store.predictions.newest(image_id, producer) is not None

    def prediction(self, image_id: int, producer: str | None = None) -> PredictionRow:
        """The newest pseudo-label, of one producer or of any. Raises LookupError."""
        self._store.image(image_id)
        row = self._store.predictions.newest(image_id, producer)
        if row is None:
            raise LookupError(
                "there is no pseudo-label for this image yet; label an object on one slice first"
            )
        return row

    def _arrays(
        self, image_id: int, producer: str | None
    ) -> tuple[PredictionRow, NDArray[np.uint8], NDArray[np.uint8]]:
        """The newest pseudo-label, its classes and confidence. A newer one may take its place at any moment."""
        row = self.prediction(image_id, producer)
        try:
            return row, row.classes(), row.confidence()
        except TornFile:
            newer = self.prediction(image_id, producer)
            if newer.id == row.id:
                raise
            return newer, newer.classes(), newer.confidence()

    def next_slice(self, image_id: int, rule: str = DEFAULT_RULE, producer: str | None = None) -> Message:
        """The slice to label next and why; `axis` None where nothing is in doubt. Raises LookupError, ValueError."""
        if rule not in SLICE_RULES:
            raise ValueError(f"there is no rule {rule!r}; there are: {', '.join(SLICE_RULES)}")
        image = self._store.image(image_id)
        if self._store.predictions.newest(image_id, producer) is None:
            with self._changed:
                under_way = self._under_way(image_id)
            return _nowhere(SOON) if under_way else _first_slice(image)
        _, classes, confidence = self._arrays(image_id, producer)
        slices = labelled_slices(self._store.labels(image_id))
        volume = Volume(classes, confidence, slices, image.spacing_mm or (1.0, 1.0, 1.0))
        proposal = next_slice(volume, rule)
        if proposal is None:
            return _nowhere("Nothing here is in doubt: look through the fill and accept it.")
        return asdict(proposal)

    def _under_way(self, image_id: int) -> bool:
        """Called with the lock held."""
        return image_id in (self._running, *self._waiting)

    # fill

    def _work(self) -> None:
        while (image_id := self._take()) is not None:
            outcome = self._outcome(image_id)
            with self._changed:
                self._running = None  # before it is told: who hears of it asks for the facts at once
            if outcome is not None:
                self._tell(image_id, **outcome)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _outcome(self, image_id: int) -> Message | None:
        """Fill this volume; what to tell of it, None where a newer label ended it."""
        try:
            return self._fill(image_id)
        except PropagationCancelled:
            return None
        except (FillFailed, StorageFull, TornFile, OSError, ValueError, LookupError) as error:
            return {"state": "failed", "message": _sentence(error)}
        except Exception:
            log.exception("a fill failed")
            return {"state": "failed", "message": "The fill failed; the server's log says more."}

    def _take(self) -> int | None:
        """The image to fill next; None when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            self._running, self._busy, self._superseded = self._waiting.pop(), True, False
            return self._running

    def _fill(self, image_id: int) -> Message:
        image, producer = self._store.image(image_id), self.propagator
        with self._folds.lock:
            folded = self._folds.get(image_id)
            rev = folded.rev
            labels = self._store.labels(image_id)
            newest = self._store.newest_label(image_id, tags=False)
            with self._changed:  # before anything can fail: what failed is not tried again by every look
                self._tried[image_id] = newest, producer
            spec = self._spec(image, producer, labelled_slices(labels))
            drawn = _shows_object(folded, spec.slices)
            if drawn:
                _write_known(spec.known, folded)
        if not drawn:
            self._remove_others(image_id, None)  # no object is labelled any more: nothing holds the fill up
            return {"state": "none"}
        try:
            done = self._filler.fill(spec, lambda: self._superseded, self._progress(image_id, producer))
            new = NewPrediction(image_id, producer, "propagated", rev, spec.classes_to, spec.confidence_to)
            row = self._store.predictions.add(new)
        finally:
            spec.known.unlink(missing_ok=True)
            spec.classes_to.unlink(missing_ok=True)
            spec.confidence_to.unlink(missing_ok=True)
        log.info("image %s filled by %s in %.2f s", image_id, producer, done.seconds)
        self._remove_others(image_id, producer)
        return {
            "state": "done",
            "producer": producer,
            "progress": 1.0,
            "seconds": round(done.seconds, 2),
            "finished": done.finished,
            "rev": rev,
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

    def _progress(self, image_id: int, producer: str) -> Callable[[float], None]:
        told_at = time.monotonic()

        def progress(share: float) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > TELL_SECONDS:
                told_at = time.monotonic()
                self._tell(image_id, "running", producer=producer, progress=round(share, 3))

        return progress

    def _remove_others(self, image_id: int, keep: str | None) -> None:
        for row in self._store.predictions.of(image_id):
            if row.kind == "propagated" and row.producer != keep:
                self._store.predictions.remove(image_id, row.producer)

    def _tell(self, image_id: int, state: str, **facts: Any) -> None:
        self.publish({"t": "fill", "image": image_id, "state": state, **facts})


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


def labelled_slices(labels: list[LabelRow]) -> tuple[LabelledSlice, ...]:
    """Which slices people worked on, whether they said all about them, and the classes they drew there."""
    classes: dict[tuple[int, int], set[int]] = {}
    complete = {(row.axis, row.index) for row in labels if row.kind == "complete"}
    for row in labels:
        classes.setdefault((row.axis, row.index), set()).update(c for c in row.classes if c > 0)
    return tuple(
        LabelledSlice(axis, index, (axis, index) in complete, tuple(sorted(drawn)))
        for (axis, index), drawn in sorted(classes.items())
    )


def _reads_tags(producer: str) -> bool:
    """Whether a tag makes its proposals older: of fills it does not, nor of learners that see masks alone."""
    learner = LEARNERS.get(producer)
    return learner is not None and learner.reads_tags


def _facts(row: PredictionRow, newest: int) -> Message:
    return {
        "id": row.id,
        "producer": row.producer,
        "kind": row.kind,
        "rev": row.seen_label,
        "behind": row.seen_label < newest,
        "expected_dice": row.expected_dice,
        "created_at": row.created_at,
    }


def _nowhere(reason: str) -> Message:
    return {"axis": None, "index": None, "gain": 0.0, "seconds": 0.0, "reason": reason}


def _first_slice(image: ImageRow) -> Message:
    """Where to begin: the middle of the plane with the finest pixels."""
    spacing = image.spacing_mm or (1.0, 1.0, 1.0)
    axis = max(range(3), key=lambda a: (spacing[a], -a))
    reason = "Nothing is labelled yet: begin with a slice through the middle of your object."
    return {"axis": axis, "index": image.shape[axis] // 2, "gain": 0.0, "seconds": 0.0, "reason": reason}


def _sentence(error: Exception) -> str:
    line = str(error.args[0]) if error.args else str(error)
    return line[:1].upper() + line[1:] + ("" if line.endswith(".") else ".")
