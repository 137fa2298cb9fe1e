"""A picture with a learner's prediction of small objects, as a round leaves it."""

import json

import numpy as np
from numpy.typing import NDArray

from learners.spec import CARD
from learners.training.rare_objects import RareObjects
from storage.predictions import NewPrediction
from storage.rounds import Finished
from storage.scan import Scan
from storage.store import Store

SIDE = 12
SPOTS = ((14, 24), (50, 100), (90, 50))  # corners: two proposed, the surer first; one just believed in
SHAPE = (120, 160)


def rare_picture(store: Store, *, rare: bool = True) -> int:
    """The image's id; squares on the spots, of which the prediction is less and less sure."""
    image = store.add_image(Scan("metal", _pixels()[None], None, None))
    classes, sure = np.zeros((1, *SHAPE), np.uint8), np.full((1, *SHAPE), 250, np.uint8)
    for (row, column), value, certain in zip(SPOTS, (1, 1, 0), (240, 200, 150)):
        part = (0, slice(row, row + SIDE), slice(column, column + SIDE))
        classes[part], sure[part] = value, certain
    started = store.rounds.start("supervised", store.newest_label())
    model = store.rounds.folder(started.id)
    model.mkdir(parents=True, exist_ok=True)
    known = RareObjects(side=SIDE, shrink=1.0, smallest=10, most=2, share=0.02)
    (model / CARD).write_text(json.dumps({"rare": known.as_json() if rare else None}))
    store.predictions.add(
        NewPrediction(image, "supervised", "predicted", 0, classes, sure, round_id=started.id)
    )
    store.rounds.finish(started.id, Finished(started.id, None, None, None, {}))
    return image


def _pixels() -> NDArray[np.uint8]:
    out = np.full(SHAPE, 70, np.uint8)
    for row, column in SPOTS:
        out[row : row + SIDE, column : column + SIDE] = 210
    return out + np.random.default_rng(0).integers(0, 9, SHAPE, np.uint8)
