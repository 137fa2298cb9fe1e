"""How far each voxel of a slice is trusted when the app learns; what the page shows as a layer."""

import numpy as np
from numpy.typing import NDArray

from annotator.labels.label_cache import LabelCache
from annotator.learning.round_fills import RoundFills
from annotator.learning.targets import places_of
from annotator.replaced import read_newest
from learners import LEARNERS
from learners.training.targets import propagated_trust, trust_at
from storage.arrays import UNLABELLED, plane
from storage.predictions import PredictionRow
from storage.store import Store

NOBODY, PERSON, FILL, MODEL = range(4)


class TrustView:
    """Reads what rounds are given: labels, the newest fill, else the newest pseudo-label of a model."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        rounds = store.rounds
        self._store, self._folds = store, folds
        self._fills = RoundFills(store, rounds, rounds.directory / "targets")

    def slice(self, image_id: int, axis: int, index: int) -> NDArray[np.uint8]:
        """(2, rows, columns): who says what is known here, and how far it is trusted, 255 wholly.

        Raises LookupError, TornFile.
        """
        image = self._store.image(image_id)
        if not 0 <= index < image.shape[axis]:
            raise LookupError(
                f"the image has slices 0 to {image.shape[axis] - 1} along axis {axis}, no {index}"
            )
        with self._folds.lock:
            said = plane(self._folds.get(image_id).known(), axis, index) != UNLABELLED
        who, trust = np.where(said, PERSON, NOBODY).astype(np.uint8), np.where(said, 255, 0).astype(np.uint8)
        found = read_newest(
            lambda: self._store.predictions.of(image_id),
            lambda rows: self._propagated(image_id, axis, index) or self._predicted(rows, axis, index),
        )
        if found is not None:
            who[~said], trust[~said] = found[0], found[1][~said]
        return np.stack([who, trust])

    def _propagated(self, image_id: int, axis: int, index: int) -> tuple[int, NDArray[np.uint8]] | None:
        """As the learner sees it that trained on this fill most often, of those whose trust in fills falls."""
        row = self._fills.newest(image_id)
        if row is None:
            return None
        shape = self._store.image(image_id).shape
        region = [slice(0, n) for n in shape]
        region[axis] = slice(index, index + 1)
        z, y, x = region
        labels = [label for label in self._store.labels(image_id) if label.id <= row.seen_label]
        held = [(a, i) for image, a, i in self._store.rounds.held_out() if image == image_id and a >= 0]
        ageing = [name for name, entry in LEARNERS.items() if not entry.fills_last]
        age = max(self._fills.rounds_since(name, row.seen_label) for name in ageing)
        trust = propagated_trust((z, y, x), places_of(labels), held, trust_at(age)).squeeze(axis)
        sure = plane(row.confidence(), axis, index)
        return FILL, np.rint(trust * sure).astype(np.uint8)

    def _predicted(
        self, rows: list[PredictionRow], axis: int, index: int
    ) -> tuple[int, NDArray[np.uint8]] | None:
        """The model's own confidence: what its method's rule starts from."""
        made = [row for row in rows if row.kind != "propagated"]
        return (MODEL, np.array(plane(made[-1].confidence(), axis, index))) if made else None
