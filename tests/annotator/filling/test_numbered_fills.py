"""Fills carry the numbers of labelled objects through a volume, and accepting keeps them."""

import csv
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.filling.fill_worker import FillWorker
from annotator.labels.changes import Changes
from annotator.labels.label_cache import LabelCache
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import AcceptMessage, LabelMessage
from learners.propagate.process import Filler
from storage.arrays import UNLABELLED, Box, Patch, SliceRef
from storage.formats.grid import MOMENTS, grid_of
from storage.predictions import PredictionRow
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.support.labelled_projects import exported

SHAPE = (7, 32, 48)


def touching() -> np.ndarray:
    """(Z, Y, X) 1 and 2 for two columns that touch and lean."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    one, two = ((y - 15) ** 2 + (x - column - z) ** 2 <= 36 for column in (14, 27))
    return np.where(one, 1, np.where(two, 2, 0)).astype(np.uint16)


class Bench:
    """A volume of bright objects; numbers are given as people give them."""

    def __init__(self, store: Store, truth: np.ndarray, *, film: bool) -> None:
        noise = np.random.default_rng(0).normal(0, 5, truth.shape)
        pixels = np.clip(50 + 120 * (truth > 0) + noise, 0, 255).astype(np.uint8)
        scan = Scan("cells", pixels, spacing_mm=None, marks=None)
        store.add_class("cell")
        grid = grid_of("tiff", truth.shape[::-1], None, oriented=False)
        self.image = store.add_image(replace(scan, geometry={**grid.json(), MOMENTS: film}))
        self.store, self.folds, self.truth = store, LabelCache(store), truth
        self.fills = FillWorker(store, self.folds, Filler())
        self.changes = Changes(store, self.folds)

    def label(self, index: int, numbers: np.ndarray) -> None:
        """The objects of a slice, and background around them."""
        box = Box(0, 0, *numbers.shape)
        patch = Patch(box, (numbers > 0).astype(np.uint8), numbers.astype(np.uint16))
        new = NewLabel(SliceRef(self.image, 0, index), patch, uuid.uuid4().hex, "ann")
        self.folds.add(self.store.add_label(new), new.patch)
        self.fills.refresh(self.image)

    def filled(self) -> PredictionRow:
        assert self.fills.idle(60)
        row = self.store.predictions.newest(self.image, "random_walker")
        assert row is not None
        return row

    def accept(self, lo: int, hi: int, **more: object) -> None:
        said = {"t": "accept", "id": uuid.uuid4().hex, "image": self.image, "axis": 0, "lo": lo, "hi": hi}
        self.changes.take("ann", AcceptMessage.model_validate({**said, **more}), b"")

    def draw(self, index: int, mask: np.ndarray) -> int:
        """An object that is to get a number; the one that it got."""
        said = {"t": "label", "id": uuid.uuid4().hex, "image": self.image, "axis": 0, "index": index}
        more = {"box": (0, 0, *mask.shape), "source": "drawn", "base_rev": 10_000, "instance": -1}
        runs = encode_runs(np.where(mask, np.uint8(1), np.uint8(UNLABELLED)))
        return self.changes.take("ann", LabelMessage.model_validate({**said, **more}), runs).ack["instance"]

    def proposed(self) -> np.ndarray:
        """The numbers of the fill."""
        found = self.filled().objects()
        assert found is not None
        return np.array(found)

    def numbers(self) -> np.ndarray:
        with self.folds.lock:
            found = self.folds.get(self.image).instances
        assert found is not None
        return np.array(found)


@pytest.fixture
def bench(store: Store) -> Iterator[Bench]:
    bench = Bench(store, touching(), film=False)
    yield bench
    bench.fills.close()


def test_a_fill_carries_numbers_and_accepting_keeps_them_also_where_nobody_asks_for_numbers(bench: Bench):
    named = np.where(bench.truth > 0, bench.truth + 4, 0)  # 5 and 6
    bench.label(3, named[3])
    objects = bench.proposed()
    assert set(np.unique(objects)) == {0, 5, 6}
    assert (objects == named)[named > 0].mean() > 0.95
    bench.accept(0, 2)
    bench.accept(5, 7, number=True)
    there = bench.numbers()
    for k in (0, 1, 5, 6):
        both = (named[k] > 0) & (there[k] > 0)
        assert both.sum() > 0.9 * (named[k] > 0).sum() and (there[k] == named[k])[both].mean() > 0.95
    bench.fills.refresh(bench.image)
    assert set(np.unique(bench.proposed())) == {0, 5, 6}


def test_an_object_drawn_where_a_fill_carried_one_is_that_one_and_another_is_a_new_one(bench: Bench):
    bench.label(3, bench.truth[3])
    bench.filled()
    assert bench.draw(5, bench.truth[5] == 2) == 2
    rows = np.arange(SHAPE[1])[:, None]
    assert bench.draw(1, (bench.truth[1] == 1) & (rows < 12)) == 3, "a small part of an object is not it"
    assert bench.draw(6, np.broadcast_to((rows > 28), SHAPE[1:])) == 4


def test_a_number_that_was_given_to_another_object_meanwhile_is_not_given_twice(bench: Bench):
    first = np.where(bench.truth == 1, np.uint16(1), np.uint16(0))
    bench.label(3, first[3])
    bench.filled()
    bench.fills.close()  # the fill that is shown stays as it is
    away = np.zeros(SHAPE[1:], bool)
    away[26:30, 40:46] = True
    bench.label(6, np.where(away, 1, 0))
    bench.label(3, np.zeros(SHAPE[1:], np.uint16))  # somebody says that object 1 is not there
    bench.accept(1, 2, number=True)
    there = bench.numbers()[1]
    assert set(np.unique(there)) == {0, 2}


def test_a_film_divides_and_the_parent_is_noted_with_what_is_accepted(store: Store, tmp_path: Path):
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    whole = (y - 15) ** 2 + (x - 24) ** 2 <= 81
    halves = [(y - 15) ** 2 + (x - c) ** 2 <= 30 for c in (17, 32)]
    both = halves[0] + 2 * halves[1]
    truth = np.stack([whole] * 4 + [both] * 3).astype(np.uint16)
    bench = Bench(store, truth, film=True)
    bench.label(3, truth[3])
    bench.label(4, np.where(both > 0, both + 6, 0))
    row = bench.filled()
    assert row.parents() == {7: 1, 8: 1}
    bench.accept(5, 7, number=True)
    [label, *_] = [one for one in store.labels(bench.image) if one.source == "accepted"]
    assert label.prompts["accepted"]["parents"] == {"7": 1, "8": 1}
    bench.fills.close()
    with open(exported(store, tmp_path / "out", "measurements") / "measurements/measurements.csv") as file:
        table = list(csv.DictReader(file))
    assert {row["object"]: row["parent"] for row in table} == {"1": "", "7": "1", "8": "1"}
    certain = {row["object"]: row["certainty"] for row in table}
    assert certain["1"] == "" and 0 < float(certain["7"]) <= 1, "of what was drawn nothing was asked"
