"""What is proposed for an image: its newest pseudo-labels, slab by slab, and the slice worth labelling next."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.filling.fill_worker import FillWorker
from annotator.labels.labelled_slices import labelled_slices
from annotator.learning.quality.expectations import voxel_shares
from annotator.learning.quality.withheld import why_withheld
from annotator.replaced import read_newest
from learners import LEARNERS
from learners.propagate import PROPAGATORS
from learners.propagate.next_slice import DEFAULT_RULE, SLICE_RULES, Volume, next_slice
from storage.predictions import PredictionRow
from storage.rows import ImageRow
from storage.store import Store

SOON = "The app is filling the volume from your labels; try again when the fill is there."
MAX_SLAB_BYTES = 256 << 20


class VolumeProposals:
    """Reads what fills and learners proposed. Thread-safe: it keeps nothing of its own."""

    def __init__(self, store: Store, fills: FillWorker) -> None:
        self._store, self._fills = store, fills

    def describe(self, image_id: int) -> dict[str, Any]:
        """Which pseudo-labels there are, newest last, and whether one is being made."""
        self._store.image(image_id)
        newest = {tags: self._store.newest_label(image_id, tags=tags) for tags in (False, True)}
        under_way = self._fills.under_way(image_id)  # before the rows: a fill that ends meanwhile is in them
        rows = self._store.predictions.of(image_id)
        active = self._fills.propagator
        propagators = [
            {"name": name, "title": e.title, "good_at": e.good_at, "active": name == active}
            for name, e in PROPAGATORS.items()
            if e.ready
        ]
        return {
            "predictions": [
                _describe(row, newest[_reads_tags(row.producer)], voxel_shares(self._store, row.producer))
                for row in rows
            ],
            "withheld": why_withheld(self._store, image_id),
            "running": under_way,
            "propagators": propagators,
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

    def objects(
        self, image_id: int, z0: int, z1: int, producer: str | None = None
    ) -> tuple[NDArray[np.uint16], int] | None:
        """(z1 - z0, Y, X) numbers of the proposed objects, and the id of the prediction; None where its producer tells
        none apart. Raises LookupError, TornFile."""
        row = self.newest(image_id, producer)
        numbers = row.objects()
        if numbers is None:
            return None
        if not 0 <= z0 < z1 <= len(numbers):
            raise LookupError(f"the image has slices 0 to {len(numbers) - 1}, no slab {z0} to {z1}")
        if 2 * (z1 - z0) * numbers[0].size > MAX_SLAB_BYTES:
            raise ValueError(f"{z1 - z0} slices of this image are too much at once; ask for fewer")
        return np.ascontiguousarray(numbers[z0:z1]), row.id

    def available(self, image_id: int, producer: str | None = None) -> bool:
        """Whether there is a pseudo-label for this image. Raises LookupError for an unknown image."""
        self._store.image(image_id)
        return self._store.predictions.newest(image_id, producer) is not None

    def newest(self, image_id: int, producer: str | None = None) -> PredictionRow:
        """The newest pseudo-label, of one producer or of any. Raises LookupError."""
        self._store.image(image_id)
        row = self._store.predictions.newest(image_id, producer)
        if row is None:
            raise LookupError(
                "there is no pseudo-label for this image yet; label an object on one slice first"
            )
        return row

    def next_slice(
        self, image_id: int, rule: str = DEFAULT_RULE, producer: str | None = None
    ) -> dict[str, Any]:
        """The slice to label next and why; `axis` None where nothing is in doubt. Raises LookupError, ValueError."""
        if rule not in SLICE_RULES:
            raise ValueError(f"there is no rule {rule!r}; there are: {', '.join(SLICE_RULES)}")
        image = self._store.image(image_id)
        if self._store.predictions.newest(image_id, producer) is None:
            return _nowhere(SOON) if self._fills.under_way(image_id) else _first_slice(image)
        _, classes, confidence = self._arrays(image_id, producer)
        slices = labelled_slices(self._store.labels(image_id))
        volume = Volume(classes, confidence, slices, image.spacing_mm or (1.0, 1.0, 1.0))
        proposal = next_slice(volume, rule)
        if proposal is None:
            return _nowhere("Nothing is in doubt; look through the fill and accept it.")
        return asdict(proposal)

    def _arrays(
        self, image_id: int, producer: str | None
    ) -> tuple[PredictionRow, NDArray[np.uint8], NDArray[np.uint8]]:
        """The newest pseudo-label, its classes and confidence."""
        return read_newest(
            lambda: self.newest(image_id, producer), lambda row: (row, row.classes(), row.confidence())
        )


def _reads_tags(producer: str) -> bool:
    """Whether a tag makes its proposals older: of fills it does not, nor of learners that see masks alone."""
    learner = LEARNERS.get(producer)
    return learner is not None and learner.reads_tags


def _describe(row: PredictionRow, newest: int, shares: list[float] | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "producer": row.producer,
        "kind": row.kind,
        "rev": row.seen_label,
        "behind": row.seen_label < newest,
        "expected_dice": row.expected.shown if row.expected else None,
        "shares": shares,
        "objects": row.objects_path is not None,
        "created_at": row.created_at,
    }


def _nowhere(reason: str) -> dict[str, Any]:
    return {"axis": None, "index": None, "gain": 0.0, "seconds": 0.0, "reason": reason}


def _first_slice(image: ImageRow) -> dict[str, Any]:
    """Where to begin: the middle of the plane with the finest pixels."""
    spacing = image.spacing_mm or (1.0, 1.0, 1.0)
    axis = max(range(3), key=lambda a: (spacing[a], -a))
    reason = "Nothing is labelled yet; start with a slice through the middle of your object."
    return {"axis": axis, "index": image.shape[axis] // 2, "gain": 0.0, "seconds": 0.0, "reason": reason}
