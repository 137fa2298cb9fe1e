"""Accepting a proposal: what is read for it, and that nothing is read twice."""

from collections import Counter

import numpy as np
import pytest

from annotator.labels.changes import Changes
from annotator.labels.label_cache import LabelCache
from annotator.protocol.incoming import AcceptMessage, UndoMessage
from storage.arrays import SliceRef, plane
from storage.predictions import NewPrediction
from storage.rows import ImageRow
from storage.store import Store
from tests.conftest import ball, drawn


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often the store was asked for the row of each image."""
    counts: Counter[int] = Counter()
    read = store.image

    def image(image_id: int) -> ImageRow:
        counts[image_id] += 1
        return read(image_id)

    monkeypatch.setattr(store, "image", image)
    return counts


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_acceptance_reads_its_image_row_once(store: Store, asked: Counter[int], axis: int):
    scan, truth = ball()
    store.add_class("one")
    image, folds = store.add_image(scan), LabelCache(store)
    new = drawn(SliceRef(image, 0, 4), plane(truth, 0, 4).copy())
    folds.add(store.add_label(new), new.patch)
    sure = np.full(truth.shape, 255, np.uint8)
    store.predictions.add(NewPrediction(image, "x", "predicted", 1, truth.astype(np.uint8), sure))
    changes = Changes(store, folds)
    asked.clear()
    message = AcceptMessage(t="accept", id="all", image=image, axis=axis, lo=2, hi=7, number=True)
    outcome = changes.take("ann", message, b"")
    assert outcome.ack["slices"] == (4 if axis == 0 else 5) and outcome.ack["objects"] >= 1
    assert asked == {image: 1}
    store.predictions.add(NewPrediction(image, "x", "predicted", 1, truth.astype(np.uint8), sure))
    again = changes.take("ann", message.model_copy(update={"prediction": 1}), b"")
    assert again.ack == outcome.ack, "what was accepted is no longer proposed, and stands"
    asked.clear()
    changes.take("ann", UndoMessage(t="undo", id="u", target="all"), b"")
    assert asked == {image: 1}
