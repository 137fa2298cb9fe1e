"""What the layer of trust shows: who says what is known of a slice, and how far the app trusts it."""

import numpy as np
import pytest

from annotator.filling.trust_layer import FILL, MODEL, NOBODY, PERSON, TrustView
from annotator.labels.label_cache import LabelCache
from learners.training.targets import PER_SLICE
from storage.arrays import SliceRef
from storage.predictions import NewPrediction
from storage.store import Store
from tests.conftest import ball, drawn


def proposed(store: Store, image_id: int, kind: str, sure: int) -> None:
    shape = store.image(image_id).shape
    classes, confidence = np.ones(shape, np.uint8), np.full(shape, sure, np.uint8)
    seen = store.newest_label(image_id)
    store.predictions.add(NewPrediction(image_id, kind, kind, seen, classes, confidence))


def test_people_are_trusted_wholly_fills_by_distance_and_models_by_their_own_word(store):
    store.add_class("one")
    image = store.add_image(ball()[0])
    assert not TrustView(store, LabelCache(store)).slice(image, 0, 4).any()
    store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 5), np.uint8)))
    view = TrustView(store, LabelCache(store))
    proposed(store, image, "predicted", 120)
    who, trust = view.slice(image, 0, 6)
    assert (who == MODEL).all() and (trust == 120).all()
    proposed(store, image, "propagated", 200)
    who, trust = view.slice(image, 0, 4)
    assert set(np.unique(who)) == {PERSON, FILL} and (trust[who == PERSON] == 255).all()
    who, trust = view.slice(image, 0, 6)
    assert (who == FILL).all() and (trust == round(200 * PER_SLICE**2)).all()
    who, trust = view.slice(image, 1, 3)
    assert who.shape == trust.shape and (trust[0] < trust[3]).any() and NOBODY not in who
    with pytest.raises(LookupError, match="slices 0 to"):
        view.slice(image, 0, 99)
