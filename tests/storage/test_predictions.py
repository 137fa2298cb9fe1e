"""Pseudo-labels on disk."""

import numpy as np
import pytest

from storage.arrays import TornFile
from storage.predictions import NewPrediction
from storage.store import Store
from tests.conftest import ball


def proposal(value: int, producer: str = "walker", image_id: int = 1) -> NewPrediction:
    classes = np.full((9, 17, 23), value, np.uint8)
    return NewPrediction(image_id, producer, "propagated", 5, classes, classes // 2)


def test_the_newest_proposal_of_each_producer_stands_alone(tmp_path):
    store = Store(tmp_path)
    store.add_image(ball()[0])
    for value, producer in ((1, "walker"), (2, "unet"), (3, "walker")):
        store.predictions.add(proposal(value, producer))
    assert [(r.producer, int(r.classes()[0, 0, 0])) for r in store.predictions.of(1)] == [
        ("unet", 2),
        ("walker", 3),
    ]
    assert len(list((tmp_path / "predictions").iterdir())) == 4
    store.close()
    again = Store(tmp_path)
    newest = again.predictions.newest(1)
    assert newest.producer == "walker" and (newest.confidence() == 1).all()
    again.close()


def test_files_a_worker_wrote_are_taken_over(store):
    store.add_image(ball()[0])
    paths = [store.predictions.directory / name for name in ("a.npy", "b.npy")]
    for path in paths:
        np.save(path, np.ones((9, 17, 23), np.uint8))
    row = store.predictions.add(NewPrediction(1, "unet", "predicted", 5, *paths))
    assert row.classes().all() and not any(path.exists() for path in paths)


def test_leftovers_go_and_a_torn_one_is_named(tmp_path):
    store = Store(tmp_path)
    store.add_image(ball()[0])
    row = store.predictions.add(proposal(1))
    (tmp_path / "predictions" / "leftover.classes.npy").write_bytes(b"x")
    store.close()
    store = Store(tmp_path)
    assert len(list((tmp_path / "predictions").iterdir())) == 2
    row.classes_path.write_bytes(b"torn")
    with pytest.raises(TornFile):
        store.predictions.newest(1).classes()
    store.predictions.remove(1, "walker")
    assert store.predictions.newest(1) is None and not list((tmp_path / "predictions").iterdir())
    store.close()
