"""Pseudo-labels on disk."""

import numpy as np
import pytest

from storage.arrays import TornFile, open_npy, write_npy
from storage.predictions import Expected, NewPrediction
from storage.store import Store
from tests.conftest import ball

EXPECTED = Expected(0.8, 0.7, 0.9)


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


def test_a_corrected_proposal_keeps_what_it_was_until_it_is_restored_or_made_anew(store):
    image = store.add_image(ball()[0])
    shape, predictions = ball()[1].shape, store.predictions
    first, second, third = (np.full(shape, value, np.uint8) for value in (1, 2, 3))
    made = predictions.add(NewPrediction(image, "atlas", "predicted", 4, first, first, 7, EXPECTED))
    assert made.uncorrected == (made.classes_path, made.confidence_path)
    row = made
    for values in (second, third):  # each starts from the proposal as it was made
        files = [predictions.directory / f"x{n}.new.npy" for n in range(2)]
        for path in files:
            write_npy(path, values)
        row = predictions.correct(row, *files)
        assert (row.classes() == values).all() and (open_npy(row.uncorrected[0]) == first).all()
    assert (row.seen_label, row.round_id, row.expected) == (4, 7, EXPECTED) and row.id > made.id
    predictions.sweep()
    assert (open_npy(row.uncorrected[1]) == first).all(), "what a row needs is no leftover"
    assert predictions.correct(made, *_files(predictions, second)) is None, "it is not the newest any more"
    predictions.sweep()  # what it did not take
    back = predictions.restore(row)
    assert (back.classes() == first).all() and back.uncorrected[0] == back.classes_path
    assert len(list(predictions.directory.iterdir())) == 2
    row = predictions.correct(back, *_files(predictions, second))
    predictions.add(NewPrediction(image, "atlas", "predicted", 5, third, third))
    assert len(list(predictions.directory.iterdir())) == 2


def _files(predictions, values):
    files = [predictions.directory / f"y{n}.new.npy" for n in range(2)]
    for path in files:
        write_npy(path, values)
    return files
