"""Places on a picture where small objects may be, from what a learner predicted and people have not said."""

import json

import numpy as np

from annotator.filling.likely_places import LikelyPlaces
from annotator.labels.label_cache import LabelCache
from storage.arrays import SliceRef
from storage.scan import Scan
from storage.store import Store
from tests.conftest import drawn
from tests.support.rare_prediction import SIDE, SPOTS, rare_picture


def holds(place: dict, spot: tuple[int, int]) -> bool:
    r0, c0, r1, c1 = place["box"]
    return r0 <= spot[0] and c0 <= spot[1] and r1 >= spot[0] + SIDE and c1 >= spot[1] + SIDE


def test_the_surest_place_comes_first_and_one_that_is_just_background_last(store: Store):
    store.add_class("pit", "#ff0000")
    found = LikelyPlaces(store, LabelCache(store)).of(rare_picture(store))
    assert found["producer"] == "supervised"
    assert json.loads(json.dumps(found))["places"][0]["likely"] == found["places"][0]["likely"]
    assert [holds(p, spot) for p, spot in zip(found["places"], SPOTS)] == [True] * 3
    assert [p["class"] for p in found["places"]] == [1, 1, None]


def test_what_people_spoke_about_is_no_place_any_more(store: Store):
    store.add_class("pit", "#ff0000")
    image, folds = rare_picture(store), LabelCache(store)
    row, column = SPOTS[0]
    label = drawn(SliceRef(image, 0, 0), np.ones((SIDE + 8, SIDE + 8), np.uint8), at=(row - 4, column - 4))
    store.add_label(label)
    found = LikelyPlaces(store, folds).of(image)["places"]
    assert [holds(p, spot) for p, spot in zip(found, SPOTS[1:])] == [True] * 2 and len(found) == 2


def test_there_are_no_places_for_ordinary_objects_and_for_volumes(store: Store):
    store.add_class("pit", "#ff0000")
    places = LikelyPlaces(store, LabelCache(store))
    assert places.of(rare_picture(store, rare=False))["places"] == []
    volume = store.add_image(Scan("scan", np.zeros((5, 9, 12), np.uint8), None, None))
    assert places.of(volume) == {"producer": None, "prediction": None, "places": []}
