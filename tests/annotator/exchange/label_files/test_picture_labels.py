"""CVAT and labelme files of others: what is no area is told, what is broken costs a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import imported, known_of, numbers_of, picture_file

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta/>
<image id="0" name="photos/a.png" width="44" height="31">{}</image></annotations>"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    picture_file(tmp_path / "in/images/a.png")
    (tmp_path / "in/labels").mkdir()
    return tmp_path / "in"


def test_cvat_polygons_lie_in_the_order_of_z_and_boxes_are_no_outlines(store: Store, data: Path):
    shapes = """<polygon label="b" points="4.0,4.0;12.0,4.0;12.0,8.0;4.0,8.0" z_order="1"/>
      <polygon label="a" points="2,2;10,2;10,8;2,8" z_order="0"/>
      <box label="a" xtl="20" ytl="20" xbr="25" ybr="26"/><points label="a" points="1,1"/>"""
    (data / "labels/annotations.xml").write_text(CVAT.format(shapes))
    notes = imported(store, data).notes
    assert any("1 box without outlines" in note for note in notes)
    assert any("1 shape of kind points left out: no area" in note for note in notes)
    assert any("24 pixels lie in two objects" in note for note in notes)
    ids, (known,) = {c.name: c.id for c in store.classes()}, known_of(store).values()
    assert (known[0, 4:8, 4:12] == ids["b"]).all() and (known[0, 2:4, 2:10] == ids["a"]).all()
    assert (known[0, 20:26, 20:25] == UNLABELLED).all()


def test_labelme_groups_are_one_object_and_circles_are_round(store: Store, data: Path):
    def shape(kind: str, points: list, group: int | None = None) -> dict:
        return {"label": "cell", "points": points, "shape_type": kind, "group_id": group}

    shapes = [
        shape("polygon", [[2, 2], [6, 2], [6, 6], [2, 6]], 4),
        shape("rectangle", [[10, 2], [14, 6]], 4),
        shape("circle", [[30, 15], [36, 15]]),
        shape("line", [[1, 1], [5, 5]]),
    ]
    content = {"shapes": shapes, "imagePath": "..\\photos\\a.png", "imageHeight": 31, "imageWidth": 44}
    (data / "labels/some.json").write_text(json.dumps(content))
    (note,) = imported(store, data).notes
    assert "1 shape of kind line left out: no area" in note
    (numbers,) = numbers_of(store).values()
    assert numbers is not None
    assert (numbers[0, 2:6, 2:6] == 4).all() and (numbers[0, 2:6, 10:14] == 4).all()
    assert numbers[0, 15, 30] not in (0, 4) and len(np.unique(numbers)) == 3
    assert np.count_nonzero(numbers == numbers[0, 15, 30]) == pytest.approx(np.pi * 36, rel=0.05)


def test_label_studio_finds_the_picture_of_a_task_and_takes_the_last_annotation(store: Store, data: Path):
    def region(kind: str, **value: object) -> dict:
        return {"type": kind, "original_width": 44, "original_height": 31, "value": value}

    ring = [[0, 0], [50, 0], [50, 100], [0, 100]]
    last = [
        region("polygonlabels", points=ring, polygonlabels=["left half"]),
        region("rectanglelabels", x=75, y=0, width=25, height=100, rotation=0, rectanglelabels=["box"]),
        region("choices", choices=["good"]),
        region("ellipselabels", x=1, y=1, radiusX=2, radiusY=2, ellipselabels=["round"]),
    ]
    annotations = [{"result": []}, {"result": last}, {"result": [], "was_cancelled": True}]
    tasks = [
        {"data": {"image": "/data/upload/3/0a1b2c3d-a.png"}, "annotations": annotations},
        {"data": {"image": "/data/local-files/?d=set/b.png"}, "annotations": []},
    ]
    (data / "labels/tasks.json").write_text(json.dumps(tasks))
    report = imported(store, data)
    assert not report.refused and len(report.labelled) == 1
    told = " ".join(report.notes)
    assert "2 annotations of one task; the last one counts" in told and "1 box without outlines" in told
    assert "1 shape of kind ellipselabels left out" in told
    (known,), names = known_of(store).values(), {c.id: c.name for c in store.classes()}
    assert {names[v] for v in np.unique(known[0, :, :22])} == {"left half"}
    assert not known[0, :, 22:33].any() and (known[0, :, 33:] == UNLABELLED).all()


@pytest.mark.parametrize(
    ("by", "author"), [({"id": 3, "email": "anna@lab.org"}, "anna@lab.org"), (7, "user 7"), (None, None)]
)
def test_who_finished_a_task_is_kept(store: Store, data: Path, by: object, author: str | None):
    region = {
        "type": "polygonlabels",
        "value": {"points": [[0, 0], [50, 0], [9, 90]], "polygonlabels": ["a"]},
    }
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [region], "completed_by": by}]}
    (data / "labels/tasks.json").write_text(json.dumps([task]))
    (image_id,) = imported(store, data).labelled
    assert {label.prompts.get("by") for label in store.labels(image_id)} == {author}
    assert {label.author for label in store.labels(image_id)} == {"import"}


def test_whom_cvat_gave_the_job_is_kept(store: Store, data: Path):
    people = "<meta><task><owner><username>boss</username></owner><assignee><username>ben</username>"
    shape = '<polygon label="a" points="2,2;10,2;10,8;2,8" z_order="0"/>'
    content = CVAT.replace("<meta/>", f"{people}</assignee></task></meta>").format(shape)
    (data / "labels/annotations.xml").write_text(content)
    (image_id,) = imported(store, data).labelled
    assert {label.prompts["by"] for label in store.labels(image_id)} == {"ben"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "x.xml",
            CVAT.format('<mask label="a" rle="1" left="0" top="0" width="99999999" height="99"/>'),
            "the limit",
        ),
        ("x.xml", CVAT.format('<mask label="a" rle="1"/>'), "it has no pixels"),
        ("x.xml", CVAT.format('<polygon label="a" points=""/>'), "cannot be read as CVAT XML: it is damaged"),
        ("x.json", '[{"data": {}, "annotations": [{}]}]', "JSON with parts missing"),
        ("x.xml", "<annotations><image>", "it is no XML, or cut short"),
        ("x.xml", "<!DOCTYPE a []><annotations></annotations>", "declares a document type"),
        ("x.xml", "<annotations><track/></annotations>", "it holds tracks of a film"),
        ("x.xml", CVAT.replace("44", "45").format(""), "it says 45 x 31 pixels, and its image has 44 x 31"),
        (
            "a.json",
            '{"shapes": [{}], "imagePath": "", "imageHeight": 1, "imageWidth": 1}',
            "with parts missing",
        ),
    ],
)
def test_what_cannot_be_read_costs_a_sentence(store: Store, data: Path, name: str, content: str, told: str):
    (data / "labels" / name).write_text(content)
    (line,) = imported(store, data).refused
    assert told in line and line.startswith(f"labels/{name}: ") and not store.labels(1)
