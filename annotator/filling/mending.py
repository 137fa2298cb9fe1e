"""What becomes of a proposal by one more label: computed before anybody says it, so that a person sees it first."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.filling.fill_request import trust_in
from annotator.labels.commit import Refused
from annotator.labels.label_cache import LabelCache
from annotator.labels.labelled_slices import labelled_slices
from annotator.protocol import outgoing
from annotator.protocol.incoming import MendMessage
from annotator.protocol.outgoing import Message
from annotator.replaced import read_newest
from learners.propagate.contract import LabelledSlice, PropagationCancelled, PropagationInput, RunControl
from learners.propagate.fused import TRUST, Prior, fuse
from storage.arrays import UNLABELLED, Box, SliceRef, open_npy, plane
from storage.fold import Region
from storage.predictions import PredictionRow
from storage.store import Store

MAX_VOXELS = 64 << 20  # of the box that holds all changes
GONE = "The proposal was renewed since you saw it; Shift+click once more."


@dataclass(frozen=True)
class MendedVolume:
    """What changes in a proposal, within a box."""

    box: Region
    classes: NDArray[np.uint8]  # (Z, Y, X) of the box, UNLABELLED where nothing changes
    confidence: NDArray[np.uint8]
    voxels: int
    slices: int  # of the open plane on which something changes


class Mending:
    """Thread-safe. Reads labels and proposals, and changes nothing."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def preview(
        self, message: MendMessage, mask: NDArray[np.bool_], cancelled: Callable[[], bool]
    ) -> tuple[Message, bytes]:
        """The `mended` message for a part (h, w) of `message.box`. Raises Refused, LookupError, TornFile."""
        started = time.perf_counter()
        found = read_newest(
            lambda: self._asked_about(message), lambda row: self._changes(row, message, mask, cancelled)
        )
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        counts = {"voxels": found.voxels, "slices": found.slices}
        told = outgoing.mended(
            message.seq, message.image, message.prediction, found.box, ms=milliseconds, **counts
        )
        return told, found.classes.tobytes() + found.confidence.tobytes()

    def _asked_about(self, message: MendMessage) -> PredictionRow:
        """Raises Refused where it is not the newest any more."""
        row = self._store.predictions.newest(message.image, message.producer)
        if row is None or row.id != message.prediction:
            raise Refused(GONE)
        return row

    def _changes(
        self,
        row: PredictionRow,
        message: MendMessage,
        mask: NDArray[np.bool_],
        cancelled: Callable[[], bool],
    ) -> MendedVolume:
        try:
            after = fuse(self._case(message, mask), self._prior(row), RunControl(cancelled=cancelled))
        except PropagationCancelled as error:
            raise Refused("a newer question came before the answer") from error
        return changes(row.classes(), after.classes, after.confidence, message.axis)

    def _prior(self, row: PredictionRow) -> Prior:
        """What labels are laid over: the learner's proposal as it was made, or the fill as it stands."""
        maker = row if row.prior is None else self._store.predictions.newest(row.image_id, row.prior) or row
        classes, confidence = maker.uncorrected
        trust = trust_in(maker) if maker.kind == "predicted" else TRUST
        return Prior(open_npy(classes), open_npy(confidence), trust)

    def _case(self, message: MendMessage, mask: NDArray[np.bool_]) -> PropagationInput:
        """The image with its labels, and with this part as one of them."""
        image, ref = self._store.image(message.image), SliceRef(message.image, message.axis, message.index)
        with self._folds.lock:
            known = self._folds.get(message.image).known().copy()
            slices = labelled_slices(self._store.labels(message.image))
        box = Box(*message.box)
        cut = plane(known, ref.axis, ref.index)[box.r0 : box.r1, box.c0 : box.c1]
        cut[mask & (cut == UNLABELLED)] = message.value
        if not any((s.axis, s.index) == (ref.axis, ref.index) for s in slices):
            slices = (*slices, LabelledSlice(ref.axis, ref.index, False, ()))
        spacing = image.spacing_mm or (1.0, 1.0, 1.0)
        return PropagationInput(self._store.pixels(image.id), known, slices, spacing, window=image.window)


def changes(
    shown: NDArray[np.uint8], classes: NDArray[np.uint8], confidence: NDArray[np.uint8], axis: int
) -> MendedVolume:
    """What differs between two proposals, (Z, Y, X) each, counted along an axis too. Raises Refused where too much."""
    other = np.asarray(shown) != classes
    if not other.any():
        nothing = np.zeros((0, 0, 0), np.uint8)
        return MendedVolume((0, 0, 0, 0, 0, 0), nothing, nothing, 0, 0)
    spans = [np.flatnonzero(other.any(tuple(b for b in range(3) if b != a))) for a in range(3)]
    (z0, z1), (y0, y1), (x0, x1) = ((int(hit[0]), int(hit[-1]) + 1) for hit in spans)
    if (z1 - z0) * (y1 - y0) * (x1 - x0) > MAX_VOXELS:
        raise Refused("This would change too much to be shown first; label the slice instead.")
    window = np.s_[z0:z1, y0:y1, x0:x1]
    said = np.where(other[window], classes[window], UNLABELLED).astype(np.uint8)
    sure = np.ascontiguousarray(confidence[window])
    return MendedVolume((z0, z1, y0, y1, x0, x1), said, sure, int(other.sum()), len(spans[axis]))
