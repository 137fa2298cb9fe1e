"""Where small objects may be on a picture that they hardly fill, for a person to judge one after another."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.labels.label_cache import LabelCache
from annotator.replaced import read_newest
from learners.prediction.places import LikelyPlace, places
from learners.spec import CARD
from learners.training.rare_objects import RareObjects
from storage.arrays import UNLABELLED
from storage.predictions import PredictionRow
from storage.store import Store

MOST = 12  # places shown on a picture


class LikelyPlaces:
    """Reads what learners predicted. Thread-safe: it keeps nothing of its own."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def of(self, image_id: int) -> dict[str, Any]:
        """`{producer, prediction, places}`, the likeliest place first, none where somebody said what is there. Without
        places for volumes, and where no learner found that objects are small and rare. Raises LookupError, TornFile."""
        if self._store.image(image_id).is_volume:
            return _nowhere()
        return read_newest(lambda: self._store.predictions.of(image_id), self._in_newest)

    def _in_newest(self, rows: list[PredictionRow]) -> dict[str, Any]:
        for row in reversed(rows):
            rare = self._rare(row)
            if rare is not None:
                found = self._places(row, rare)
                return {"producer": row.producer, "prediction": row.id, "places": found}
        return _nowhere()

    def _places(self, row: PredictionRow, rare: RareObjects) -> list[dict[str, Any]]:
        classes, sure = np.asarray(row.classes()[0]), np.asarray(row.confidence()[0], np.float32) / 255
        with self._folds.lock:
            open_here = self._folds.get(row.image_id).known()[0] == UNLABELLED
        likely = np.where(open_here, np.where(classes > 0, sure, 1 - sure), 0)
        return [
            {"box": place.box, "likely": place.likely, "class": _class_in(classes, place)}
            for place in places(likely, rare.side, MOST)
        ]

    def _rare(self, row: PredictionRow) -> RareObjects | None:
        """What the model behind a prediction says of small objects."""
        if row.kind != "predicted" or row.round_id is None:
            return None
        model = self._store.rounds.model(row.producer)
        if model is None:
            return None
        try:
            return RareObjects.from_json(json.loads((model / CARD).read_text(encoding="utf-8"))["rare"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # of another kind of learner, from before, or for ordinary objects


def _nowhere() -> dict[str, Any]:
    return {"producer": None, "prediction": None, "places": []}


def _class_in(classes: NDArray[np.uint8], place: LikelyPlace) -> int | None:
    """The class that most of the box is proposed as, if any of it is."""
    r0, c0, r1, c1 = place.box
    here = classes[r0:r1, c0:c1]
    found = np.bincount(here[here > 0].ravel())
    return int(found.argmax()) if found.size else None
