"""COCO files of others: boxes are no outlines, crowds no objects, overlaps counted, other sizes refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import imported, known_of, numbers_of, picture_file

SQUARE = [2, 2, 10, 2, 10, 8, 2, 8]


def coco(path: Path, *annotations: dict, **image: object) -> Path:
    entry = {"id": 7, "file_name": "photos/a.png", "width": 44, "height": 31} | image
    content = {
        "images": [entry],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 90} | one for n, one in enumerate(annotations)
        ],
        "categories": [{"id": 90, "name": "cell"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    picture_file(tmp_path / "in/images/a.png")
    return tmp_path / "in"


def test_it_lies_in_labels_beside_images_and_keeps_its_number(store: Store, data: Path):
    coco(data / "labels/instances.json", {"segmentation": [SQUARE]})
    (image_id,) = imported(store, data).labelled
    truth = np.zeros((31, 44), np.uint8)
    truth[2:8, 2:10] = 1
    (known,) = known_of(store).values()
    assert np.array_equal(known[0], truth)
    assert store.class_values.of(store.classes()) == {1: 90}
    assert {label.author for label in store.labels(image_id)} == {"import"}


def test_a_box_leaves_its_inside_unlabelled(store: Store, data: Path):
    coco(data / "labels/instances.json", {"bbox": [4, 5, 6, 7]}, {"segmentation": [SQUARE]})
    (note,) = imported(store, data).notes
    assert "1 box without outlines: what lies inside stays unlabelled" in note
    (known,) = known_of(store).values()
    assert (known[0, 8:12, 4:10] == UNLABELLED).all() and (known[0, 2:8, 2:10] == 1).all()
    assert known[0, 20, 30] == 0


def test_crowds_have_no_number_and_overlaps_are_counted(store: Store, data: Path):
    moved = [v + 4 for v in SQUARE]
    crowd = {"segmentation": [[20, 20, 30, 20, 30, 30, 20, 30]], "iscrowd": 1}
    coco(data / "labels/instances.json", {"segmentation": [SQUARE]}, {"segmentation": [moved]}, crowd)
    (note,) = imported(store, data).notes
    assert "8 pixels lie in two objects; the later object has them" in note
    (numbers,), (known,) = numbers_of(store).values(), known_of(store).values()
    assert numbers is not None
    assert known[0, 25, 25] == 1 and numbers[0, 25, 25] == 0 and len(np.unique(numbers)) == 3


def test_another_size_or_a_broken_file_costs_a_sentence(store: Store, data: Path):
    path = coco(data / "labels/instances.json", {"segmentation": [SQUARE]}, width=100)
    assert "says that its image has 100 x 31 pixels, and it has 44 x 31" in imported(store, data).refused[0]
    coco(path, {"segmentation": [SQUARE]}, file_name="b.png")
    assert "b.png: no imported image has the name" in imported(store, data).refused[0]
    path.write_text('{"images": [')
    assert "it is not JSON (line 1); mend it" in imported(store, data).refused[0]
    path.write_text('{"images": [{}], "annotations": [], "categories": []}')
    assert "with parts missing" in imported(store, data).refused[0]
    path.write_text('{"notes": "no labels"}')
    assert not imported(store, data).refused
