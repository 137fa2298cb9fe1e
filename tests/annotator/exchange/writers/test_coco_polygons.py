"""COCO polygons: pycocotools draws each object as it was, on pictures and on slices; so do we when they come back."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import (
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    project_of_pictures,
    project_of_volumes,
)


def test_objects_of_pictures_are_drawn_as_they_were_and_come_back(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    path = exported(store, tmp_path / "out", "coco-polygons") / "coco-polygons/annotations.json"
    read = COCO(path)
    assert (
        sum(isinstance(one["segmentation"], list) for one in read.anns.values()) == 8
    )  # rings are run lengths
    for entry in read.loadImgs(read.getImgIds()):
        classes, numbers = truths[entry["slicewise"]["image"]]
        masks = [(one, read.annToMask(one) > 0) for one in read.loadAnns(read.getAnnIds(entry["id"]))]
        assert len(masks) == 5
        for number in range(1, 6):
            (one,) = [o for o, mask in masks if np.array_equal(mask, numbers[0] == number)]
            assert one["category_id"] == classes[0][numbers[0] == number][0]
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=path)
    assert len(report.labelled) == 2 and not report.refused and not report.notes
    for source, known in known_of(again).items():
        classes, numbers = truths[source]
        assert np.array_equal(named(again, known), named(store, classes))
        ours = numbers_of(again)[source]
        assert ours is not None and len(np.unique(np.c_[ours.ravel(), numbers.ravel()], axis=0)) == 6
    again.close()


def test_slices_of_volumes_have_pictures_and_come_back_to_their_volume(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in", unknown=False)
    out = exported(store, tmp_path / "out", "coco-polygons") / "coco-polygons"
    read = COCO(out / "annotations.json")
    for entry in read.imgs.values():
        assert Image.open(out / "images" / entry["file_name"]).size == (entry["width"], entry["height"])
        truth = truths[entry["slicewise"]["image"]][entry["slicewise"]["slice"]]
        drawn = np.zeros(truth.shape, np.uint8)
        for one in read.loadAnns(read.getAnnIds(entry["id"])):
            drawn[read.annToMask(one) > 0] = one["category_id"]
        assert np.array_equal(drawn, truth)
    again = Store(tmp_path / "again")
    assert len(imported(again, tmp_path / "in", labels=out / "annotations.json").labelled) == 3
    assert {(c.name, c.color) for c in again.classes()} == {(c.name, c.color) for c in store.classes()}
    for source, known in known_of(again).items():
        assert np.array_equal(named(again, known), named(store, truths[source]))
    again.close()


def test_unlabelled_parts_are_told_and_unlabelled_slices_left_out(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "coco-polygons")
    told = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    assert all("COCO has no word for unlabelled" in image["problems"][0] for image in told)
    known = sum((truth != UNLABELLED).any(axis=(1, 2)).sum() for truth in truths.values())
    assert len(list((out / "coco-polygons/images").iterdir())) == known
