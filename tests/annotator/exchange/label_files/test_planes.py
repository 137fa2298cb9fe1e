"""YOLO, GeoJSON and ImageJ files of others: what is no area is told, what is broken costs a sentence."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from storage.store import Store
from tests.support.labelled_projects import imported, known_of, numbers_of, picture_file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    picture_file(tmp_path / "in/images/a.b.png")
    (tmp_path / "in/labels").mkdir()
    return tmp_path / "in"


def square(x: int, y: int, side: int = 4) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def test_geojson_of_older_qupath_has_classes_colours_and_sequential_numbers(store: Store, data: Path):
    def feature(kind: str, ring: list, **said: object) -> dict:
        return {"type": "Feature", "geometry": {"type": kind, "coordinates": ring}, "properties": said}

    closed = [[*square(2, 3), [2, 3]]]
    old = {"name": "Tumor", "colorRGB": -3670016}
    features = [
        feature("Polygon", closed, classification=old),
        feature("Polygon", [[*square(10, 3), [10, 3]]]),
        feature("Point", [3, 4]),
    ]
    (data / "labels/a.b.png.geojson").write_text(json.dumps(features))
    (note,) = imported(store, data).notes
    assert "1 shape of kind Point left out: no area" in note
    assert {c.name: c.color for c in store.classes() if c.name == "Tumor"} == {"Tumor": "#c80000"}
    assert {c.name for c in store.classes()} == {"Tumor", "object"}
    (known,), (numbers,) = known_of(store).values(), numbers_of(store).values()
    assert np.count_nonzero(known[0, 3:7, 2:6]) == 16 and np.count_nonzero(known) == 32
    assert numbers is not None and set(np.unique(numbers)) == {0, 1, 2}


def test_rois_have_classes_by_name_and_rectangles_are_areas_but_lines_are_none(store: Store, data: Path):
    rect = ImagejRoi.frompoints([[1, 1], [5, 4]], name="0001-0002")
    rect.roitype, rect.right, rect.bottom = ROI_TYPE.RECT, 5, 4
    line = ImagejRoi.frompoints([[1, 1], [5, 4]], name="line")
    line.roitype = ROI_TYPE.LINE
    roiwrite(
        data / "labels/a.b_RoiSet.zip", [rect, line, ImagejRoi.frompoints(square(20, 10), name="CD 8-0003")]
    )
    (note,) = imported(store, data).notes
    assert "1 shape of kind line left out: no area" in note
    assert {c.name for c in store.classes()} == {"object", "CD 8"}
    (known,) = known_of(store).values()
    assert np.count_nonzero(known[0, 1:4, 1:5]) == 12 and np.count_nonzero(known) == 28


def test_yolo_names_come_from_classes_txt_and_an_empty_file_says_background(store: Store, data: Path):
    (data / "labels/classes.txt").write_text("cat\ndog\n")
    (data / "labels/a.b.txt").write_text("")
    picture_file(data / "images/c.png", (20, 40))
    (data / "labels/c.txt").write_text("1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    assert len(imported(store, data).labelled) == 2
    known = known_of(store)
    assert not known["images/a.b.png"].any()
    assert (
        np.count_nonzero(known["images/c.png"][0, 5:15, 10:30])
        == 200
        == np.count_nonzero(known["images/c.png"])
    )
    assert [c.name for c in store.classes() if c.id == known["images/c.png"].max()] == ["dog"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.b.txt", "1 0.5 0.5\n", "line 1 is neither a class with a box nor one with an outline"),
        ("a.b.txt", "1.5 0.5 0.5 0.1 0.1\n", "line 1 does not start with the number of a class"),
        ("a.b.geojson", '{"features": 3}', "it is no collection of GeoJSON features"),
        ("a.b.geojson", '{"features": [{}]}', "with parts missing"),
        (
            "a.b.geojson",
            '{"features": [{"geometry": {"type": "Polygon", "coordinates": [[[NaN, 1], [2, 3], [4, 9]]]}}]}',
            "cannot be read as GeoJSON of QuPath: it is damaged",
        ),
        ("a.b.zip", "no zip", "it is no zip, or cut short"),
        ("a.b.roi", "no roi", "it cannot be read as regions of ImageJ: it is damaged"),
        ("x.geojson", '{"features": []}', "no imported image has the name of this mask"),
    ],
)
def test_what_cannot_be_read_costs_a_sentence(store: Store, data: Path, name: str, content: str, told: str):
    (data / "labels" / name).write_text(content)
    (line,) = imported(store, data).refused
    assert told in line and line.startswith(f"labels/{name}: ") and not store.classes()


def test_notes_and_other_zips_among_masks_are_passed_over(store: Store, data: Path):
    (data / "labels/README.txt").write_text("drawn by hand\n")
    with ZipFile(data / "labels/scripts.zip", "w") as packed:
        packed.writestr("a.py", "")
    assert not imported(store, data).refused
