"""YOLO, QuPath and ImageJ: each file read by another library, filled by another rule, and back into a project."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
import yaml
from PIL import Image
from roifile import roiread
from skimage.draw import polygon2mask

from storage.store import Store
from tests.support.labelled_projects import (
    add_labels,
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    project_of_pictures,
    project_of_volumes,
)

SHAPE = (31, 44)
Found = list[tuple[str, np.ndarray]]  # class and mask of each object


def filled(points: np.ndarray) -> np.ndarray:
    """By scikit-image, which asks for (row, column) of middles."""
    return polygon2mask(SHAPE, points[:, ::-1] - 0.5)


def yolo_objects(out: Path, name: str) -> Found:
    names = yaml.safe_load((out / "yolo/data.yaml").read_text("utf-8"))["names"]
    rows = [line.split() for line in (out / f"yolo/labels/train/{name}.txt").read_text().splitlines()]
    points = [np.array(row[1:], float).reshape(-1, 2) * SHAPE[::-1] for row in rows]
    return [(names[int(row[0])], filled(ring)) for row, ring in zip(rows, points)]


def qupath_objects(out: Path, name: str) -> Found:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    found = []
    for feature in json.loads((out / f"qupath/{name}.geojson").read_text("utf-8"))["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        found.append((feature["properties"]["classification"]["name"], shapely.contains_xy(shape, x, y)))
    return found


def imagej_objects(out: Path, name: str) -> Found:
    regions = roiread(out / f"imagej/{name}_rois.zip")
    assert isinstance(regions, list)
    return [(one.name.rsplit(" ", 1)[0], filled(np.asarray(one.coordinates()))) for one in regions]


READERS: dict[str, Callable[[Path, str], Found]] = {"qupath": qupath_objects, "imagej": imagej_objects}


@pytest.mark.parametrize("kind", READERS)
def test_objects_are_found_as_they_were_and_come_back(store: Store, tmp_path: Path, kind: str):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", kind)
    for source, (classes, numbers) in truths.items():
        found = READERS[kind](out, Path(source).stem)
        assert len(found) == 5
        for number in range(1, 6):
            (name,) = [name for name, mask in found if np.array_equal(mask, numbers[0] == number)]
            assert name == named(store, classes)[0][numbers[0] == number][0]
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=out / kind)
    assert len(report.labelled) == 2 and not report.refused and not report.notes
    assert {c.name: c.color for c in again.classes()} == {"cell": "#00ff7f", "debris": "#aa0011"}
    for source, known in known_of(again).items():
        classes, numbers = truths[source]
        assert np.array_equal(named(again, known), named(store, classes))
        ours = numbers_of(again)[source]
        assert ours is not None and len(np.unique(np.c_[ours.ravel(), numbers.ravel()], axis=0)) == 6
    again.close()


def test_yolo_fills_holes_and_parts_objects_and_says_so(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "yolo")
    problems = json.loads((out / "provenance.json").read_text("utf-8"))["images"][0]["problems"]
    assert problems == [
        "YOLO has no holes, so those of 1 object are filled",
        "YOLO's objects have one part, so 1 object in parts became several",
    ]
    for source, (classes, _) in truths.items():
        found = yolo_objects(out, Path(source).stem)
        drawn = np.full(SHAPE, "0", object)
        for name, mask in found:
            drawn[mask] = name
        truth = named(store, classes)[0]
        truth[18:23, 10:15] = np.where(truth[18:23, 10:15] == "0", "cell", truth[18:23, 10:15])  # the hole
        assert len(found) == 6 and np.array_equal(drawn, truth)
        picture = np.asarray(Image.open(out / f"yolo/images/train/{Path(source).stem}.png"))
        assert picture.shape[:2] == SHAPE
    again = Store(tmp_path / "again")
    report = imported(again, out / "yolo")  # a data set of its own: labels lie beside images
    assert len(report.labelled) == 2 and {c.name for c in again.classes()} == {"cell", "debris"}
    again.close()


def test_yolo_boxes_hold_their_objects_and_come_back_as_unlabelled(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "yolo-boxes")
    for source, (_, numbers) in truths.items():
        text = (out / f"yolo-boxes/labels/train/{Path(source).stem}.txt").read_text()
        boxes = np.array([line.split()[1:] for line in text.splitlines()], float) * (
            *SHAPE[::-1],
            *SHAPE[::-1],
        )
        assert len(boxes) == 5
        inside = np.zeros(SHAPE, bool)
        for x, y, w, h in np.rint(boxes * 2) / 2:
            inside[int(y - h / 2) : int(y + h / 2), int(x - w / 2) : int(x + w / 2)] = True
        assert inside[numbers[0] > 0].all()
    again = Store(tmp_path / "again")
    report = imported(again, out / "yolo-boxes")
    assert "5 boxes without outlines" in report.notes[0]
    assert all(((known == 255) | (known == 0)).all() for known in known_of(again).values())
    again.close()


def test_held_out_pictures_validate(store: Store, tmp_path: Path):
    project_of_pictures(store, tmp_path / "in")
    store.rounds.hold_out(1)
    out = exported(store, tmp_path / "out", "yolo") / "yolo"
    said = yaml.safe_load((out / "data.yaml").read_text("utf-8"))
    assert (said["train"], said["val"]) == ("images/train", "images/val")
    assert [len(list((out / f"images/{part}").iterdir())) for part in ("train", "val")] == [1, 1]


@pytest.mark.parametrize("kind", READERS)
def test_slices_of_a_stack_come_back_to_their_places_and_turned_volumes_are_told(
    store: Store, tmp_path: Path, kind: str
):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/stack.tif", np.zeros((4, *SHAPE), np.uint16), photometric="minisblack")
    store.add_class("cell 3")
    (image_id,) = imported(store, tmp_path / "in").added
    truth = np.random.default_rng(0).integers(0, 2, (4, *SHAPE)).astype(np.uint8)
    add_labels(store, image_id, truth)
    out = exported(store, tmp_path / "out", kind)
    if kind == "imagej":
        regions = roiread(out / "imagej/stack_rois.zip")
        assert isinstance(regions, list) and {one.position for one in regions} == {
            1,
            2,
            3,
            4,
        }  # from 1, as ImageJ has it
    again = Store(tmp_path / "again")
    assert not imported(again, tmp_path / "in", labels=out / kind).refused
    (known,) = known_of(again).values()
    assert np.array_equal(named(again, known), named(store, truth))
    again.close()
    other = Store(tmp_path / "other")
    project_of_volumes(other, tmp_path / "turned")
    with pytest.raises(ValueError, match="shown in another order than they lie in the file"):
        exported(other, tmp_path / "none", kind)
    other.close()
