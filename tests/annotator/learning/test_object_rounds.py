"""Objects in a project: numbered labels reach a round, and an acceptance takes over what a learner told apart."""

from pathlib import Path

import numpy as np
import pytest

from annotator.labels.accept import Accepting
from annotator.labels.label_cache import LabelCache
from annotator.learning.quality.model_quality import model_quality
from annotator.learning.quality.object_words import object_sentences, object_table
from annotator.learning.round_inputs import RoundInputs
from annotator.protocol.incoming import AcceptMessage
from learners.objects.scores import ObjectCounts
from storage.arrays import Box, Patch, SliceRef, open_npy
from storage.predictions import NewPrediction
from storage.rounds import Finished
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.conftest import drawn


def picture(store: Store, name: str = "a") -> int:
    pixels = np.random.default_rng(1).integers(0, 255, (1, 20, 30), np.uint8)
    return store.add_image(Scan(name, pixels, None, None))


def label_two(store: Store, image: int) -> None:
    """Two numbered squares that touch, and one without a number."""
    for number, column in ((7, 2), (9, 7), (0, 20)):
        new = drawn(SliceRef(image, 0, 0), np.ones((5, 5), np.uint8))
        assert new.patch is not None
        instances = np.full((5, 5), number, np.uint16) if number else None
        patch = Patch(Box(4, column, 9, column + 5), new.patch.classes, instances)
        store.add_label(NewLabel(new.ref, patch, f"{image}-{column}", "ann", "drawn", 1.0, instance=number))


def test_numbers_of_labels_reach_the_round(store: Store):
    image = picture(store)
    store.add_class("cell")
    label_two(store, image)
    (example,) = RoundInputs(store, store.rounds).build("objects", 0).examples
    assert example.known is not None and example.numbers is not None
    numbers, known = open_npy(example.numbers), open_npy(example.known)
    assert set(np.unique(numbers)) == {0, 7, 9} and numbers[0, 5, 3] == 7 and numbers[0, 5, 8] == 9
    assert (known == 1).sum() == 75 and numbers.dtype == np.uint16
    assert store.rounds.label_kinds()["numbered"] == 2 and store.rounds.label_kinds()["patch"] == 3


def test_a_target_of_before_is_made_again_with_numbers_and_old_files_go(store: Store):
    image = picture(store)
    store.add_class("cell")
    label_two(store, image)
    inputs = RoundInputs(store, store.rounds)
    (example,) = inputs.build("objects", 0).examples
    assert example.numbers is not None
    example.numbers.unlink()  # as a version without objects left it
    (again,) = inputs.build("objects", 0).examples
    assert again.numbers is not None and again.numbers.exists()
    label_two(store, picture(store, "b"))
    inputs.build("objects", 0)
    store.add_label(drawn(SliceRef(image, 0, 0), np.ones((2, 2), np.uint8)))
    (newer, _) = inputs.build("objects", 0).examples
    inputs.forget_old()
    assert not again.numbers.exists() and newer.numbers is not None and newer.numbers.exists()


def test_an_image_without_numbers_has_no_file_of_them(store: Store):
    image = picture(store)
    store.add_class("cell")
    store.add_label(drawn(SliceRef(image, 0, 0), np.ones((4, 4), np.uint8)))
    (example,) = RoundInputs(store, store.rounds).build("objects", 0).examples
    assert example.known is not None and example.numbers is None
    assert not list(Path(store.rounds.directory).rglob("*.numbers.npy"))


@pytest.fixture
def proposed(store: Store) -> int:
    """A square that the producer says is two objects, and one that it does not number."""
    image = picture(store)
    store.add_class("cell")
    classes, objects = np.zeros((1, 20, 30), np.uint8), np.zeros((1, 20, 30), np.uint16)
    classes[0, 4:12, 4:12] = classes[0, 4:8, 20:24] = 1
    objects[0, 4:12, 4:8], objects[0, 4:12, 8:12] = 300, 2
    new = NewPrediction(
        image, "objects", "predicted", 0, classes, np.full_like(classes, 255), objects=objects
    )
    store.predictions.add(new)
    return image


def test_an_acceptance_takes_the_producers_objects_over(store: Store, proposed: int):
    folds = LabelCache(store)
    message = AcceptMessage(
        t="accept", id="all", image=proposed, axis=0, lo=0, hi=1, producer="objects", number=True
    )
    Accepting(store, folds).accept("ann", message, b"")
    folded = folds.get(proposed)
    assert folded.instances is not None
    left, right, other = (int(folded.instances[0, 5, column]) for column in (5, 9, 21))
    assert len({left, right, other, 0}) == 4
    assert (folded.instances[0, 4:12, 4:8] == left).all() and (folded.instances[0, 4:12, 8:12] == right).all()


def test_objects_outlive_corrections_and_go_with_their_proposal(store: Store, proposed: int):
    predictions = store.predictions
    row = predictions.newest(proposed, "objects")
    assert row is not None and row.objects_path is not None
    files = [predictions.directory / f"new-{name}.npy" for name in ("classes", "confidence")]
    for path in files:
        np.save(path, np.array(row.classes()))
    corrected = predictions.correct(row, *files)
    assert corrected is not None and corrected.objects_path not in (None, row.objects_path)
    restored = predictions.restore(corrected)
    assert restored is not None
    objects = restored.objects()
    assert objects is not None and objects[0, 5, 5] == 300
    predictions.sweep()
    assert restored.objects_path is not None and restored.objects_path.exists()
    predictions.remove(proposed, "objects")
    assert not list(predictions.directory.iterdir())


def test_scores_of_objects_are_kept_and_told_in_words(store: Store):
    store.add_class("cell")
    row = store.rounds.start("objects", 0)
    counts = ObjectCounts(10, 9, (8, *[4] * 9), 6.4, 1, 2, 1, 1)
    metrics = {"per_class": {"1": 0.9}, "objects": {"1": counts.as_json()}}
    store.rounds.finish(row.id, Finished(row.id, 0.9, 0.9, None, metrics))
    quality = model_quality(store, "objects")
    assert quality is not None and quality.objects == {1: counts}
    (words,) = object_sentences(store, quality.objects)
    assert words.startswith("cell: AP 0.73 at IoU 0.5") and "Of 10 held-out objects 1 split" in words
    table = object_table(quality.objects, (1,))["1"]
    assert table["average_precision"]["0.50"] == 0.7273 and table["count_error"] == 0.1
