"""Imports undone as a whole: those that replaced labels of one another from the newest on."""

from pathlib import Path

import numpy as np
import pytest

from annotator.exchange.import_act import as_one_act
from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage.arrays import SliceRef
from storage.store import Store
from tests.annotator.exchange.test_import_again import GHOST, KEPT, name_values, values
from tests.annotator.exchange.test_import_images import folded, mask, picture, run
from tests.conftest import drawn


def test_imports_that_replaced_one_another_in_part_are_undone_from_the_newest_on(
    store: Store, tmp_path: Path
):
    picture(tmp_path / "images/a.png")
    both = values(GHOST)
    both[KEPT] = 2
    said = {
        "first": both,
        "second": values((slice(8, 10), slice(8, 12))),
        "third": values((slice(1, 3), slice(1, 3))),
    }
    tables = {"first": {1: "organ", 2: "tumour"}, "second": {1: "tumour"}, "third": {1: "organ"}}
    known = []
    for name, mask_values in said.items():
        name_values(tmp_path / name, tables[name])
        mask(tmp_path / name / "a.png", mask_values)
        with as_one_act(store, name):
            run(store, tmp_path / "images", labels=tmp_path / name)
        known.append(folded(store, 1).known())
    repair = Repair(store, LabelCache(store))
    third, second, _ = store.acts.newest(3)
    with pytest.raises(ValueError, match="“Imported third: .* belongs to the same labels; undo that first"):
        repair.undo("ann", second.id)
    assert np.array_equal(folded(store, 1).known(), known[2])
    for act, before in ((third, known[1]), (second, known[0])):
        repair.undo("ann", act.id)
        assert np.array_equal(folded(store, 1).known(), before)
    with pytest.raises(ValueError, match="“Imported second: .* do that first"):
        repair.redo("ann", third.id)
    for act, after in ((second, known[1]), (third, known[2])):
        repair.redo("ann", act.id)
        assert np.array_equal(folded(store, 1).known(), after)


def test_an_undone_import_says_that_images_stay_on_which_people_worked(store: Store, tmp_path: Path):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png", seed=ord(name))
    with as_one_act(store, "pictures"):
        image_id, _ = run(store, tmp_path).added
    store.add_class("one")
    store.add_label(drawn(SliceRef(image_id, 0, 0), np.ones((2, 3), np.uint8)))
    undone = Repair(store, LabelCache(store)).undo("ann", store.acts.newest(1)[0].id)
    assert undone.message.endswith("; 1 image labelled since stays")
    assert [row.id for row in store.images()[1]] == [image_id]


def test_an_import_whose_mask_was_replaced_is_undone_after_what_replaced_it(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    known = []
    for name, mask_values in (("first", values(GHOST, KEPT)), ("mended", values(KEPT))):
        mask(tmp_path / "labels/a.png", mask_values)
        with as_one_act(store, name):
            run(store, tmp_path)
        known.append(folded(store, 1).known())
    repair, (mended, first) = Repair(store, LabelCache(store)), store.acts.newest(2)
    assert (mended.title, first.title) == (
        "Imported mended: labels on 1 image",
        "Imported first: 1 image, labels on 1 image",
    )
    for _ in range(2):  # also after an undo and a redo
        with pytest.raises(
            ValueError, match="“Imported mended: .* belongs to the same labels; undo that first"
        ):
            repair.undo("ann", first.id)
        assert np.array_equal(folded(store, 1).known(), known[1])
        repair.undo("ann", mended.id)
        assert np.array_equal(folded(store, 1).known(), known[0])
        repair.redo("ann", mended.id)
    repair.undo("ann", mended.id)
    repair.undo("ann", first.id)
    assert not store.labels(1) and store.images()[0] == 0
    with pytest.raises(ValueError, match="“Imported first: .* do that first"):
        repair.redo("ann", mended.id)
    repair.redo("ann", first.id)
    repair.redo("ann", mended.id)
    assert np.array_equal(folded(store, 1).known(), known[1])


def test_masks_that_number_objects_make_their_class_one_of_objects_until_undone(store: Store, tmp_path: Path):
    store.add_class("object")
    picture(tmp_path / "images/a.png")
    numbers = np.zeros((12, 17), np.uint16)
    numbers[1:4, 1:5], numbers[6:9, 2:7] = 1, 2
    mask(tmp_path / "labels/a.png", numbers)
    facts = facts_of(store, images=True)
    (family,) = look_at(plan_import(facts, ImportRequest(tmp_path), Job("look")), facts).masks
    assert "object becomes a class of objects: its new labels get numbers" in family.notes
    with as_one_act(store, "cells"):
        run(store, tmp_path)
    assert [row.objects for row in store.classes()] == [True]
    repair, act = Repair(store, LabelCache(store)), store.acts.newest(1)[0].id
    repair.undo("ann", act)
    assert [row.objects for row in store.classes()] == [False]
    repair.redo("ann", act)
    assert [row.objects for row in store.classes()] == [True]
    facts = facts_of(store, images=True)
    (family,) = look_at(plan_import(facts, ImportRequest(tmp_path), Job("look")), facts).masks
    assert not any("becomes a class" in note for note in family.notes)


def test_a_class_that_masks_without_numbers_name_stays_an_area(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values(GHOST))
    run(store, tmp_path)
    assert [row.objects for row in store.classes()] == [False]
