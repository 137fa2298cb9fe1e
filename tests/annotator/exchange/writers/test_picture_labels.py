"""CVAT, labelme and Pascal VOC: each file read by what its makers say of it, and back into a project."""

import base64
import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from annotator.dialects.labelstudio.rle import decode
from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import (
    add_labels,
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    picture_file,
    project_of_pictures,
)

SHAPE = (31, 44)


def cvat_masks(out: Path, source: str) -> list[tuple[str, np.ndarray]]:
    (entry,) = (e for e in ET.parse(out / "cvat/annotations.xml").iter("image") if e.get("name") == source)
    found = []
    for one in entry.iter("mask"):
        left, top, width, height = (int(str(one.get(key))) for key in ("left", "top", "width", "height"))
        runs = [int(n) for n in str(one.get("rle")).split(", ")]
        flat = [n % 2 for n, run in enumerate(runs) for _ in range(run)]  # row by row, from outside
        mask = np.zeros(SHAPE, bool)
        flat += [0] * (width * height - len(flat))
        mask[top : top + height, left : left + width] = np.reshape(flat, (height, width))
        found.append((str(one.get("label")), mask))
    return found


def labelme_masks(out: Path, source: str) -> list[tuple[str, np.ndarray]]:
    content = json.loads((out / "labelme" / source.replace(".png", ".json")).read_text("utf-8"))
    assert content["imagePath"] == source and (content["imageHeight"], content["imageWidth"]) == SHAPE
    found = []
    for one in content["shapes"]:
        (left, top), (right, bottom) = one["points"]
        mask = np.zeros(SHAPE, bool)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["mask"]))))
        mask[top : bottom + 1, left : right + 1] = picture
        found.append((one["label"], mask))
    return found


def label_studio_masks(out: Path, source: str) -> list[tuple[str, np.ndarray]]:
    """By Label Studio's own converter where it is installed, else by ours."""
    tasks = json.loads((out / "labelstudio/tasks.json").read_text("utf-8"))
    (task,) = [one for one in tasks if one["data"]["image"] == source]
    found = []
    for one in task["annotations"][0]["result"]:
        assert (one["original_height"], one["original_width"]) == SHAPE
        value = one["value"]
        try:
            from label_studio_sdk.converter.brush import decode_rle

            mask = np.reshape(decode_rle(value["rle"]), (*SHAPE, 4))[..., 3] > 0
        except ImportError:
            mask = decode(value["rle"], SHAPE)
        found.append((value["brushlabels"][0], mask))
    return found


READERS = {"cvat": cvat_masks, "labelme": labelme_masks, "labelstudio": label_studio_masks}


@pytest.mark.parametrize("kind", READERS)
def test_objects_are_found_as_they_were_and_come_back(store: Store, tmp_path: Path, kind: str):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", kind)
    for source, (classes, numbers) in truths.items():
        found = READERS[kind](out, source)
        assert len(found) == 5
        for number in range(1, 6):
            (name,) = [name for name, mask in found if np.array_equal(mask, numbers[0] == number)]
            assert name == named(store, classes)[0][numbers[0] == number][0]
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=out / kind)
    assert len(report.labelled) == 2 and not report.refused and not report.notes
    for source, known in known_of(again).items():
        classes, numbers = truths[source]
        assert np.array_equal(named(again, known), named(store, classes))
        ours = numbers_of(again)[source]
        assert ours is not None and len(np.unique(np.c_[ours.ravel(), numbers.ravel()], axis=0)) == 6
        assert kind != "labelme" or np.array_equal(ours, numbers)
    if kind != "labelme":  # which knows no colours
        assert {c.name: c.color for c in again.classes()} == {"cell": "#00ff7f", "debris": "#aa0011"}
    again.close()


def test_voc_has_its_colours_and_its_word_for_unknown(store: Store, tmp_path: Path):
    picture_file(tmp_path / "in/a.png")
    ids = [store.add_class(name).id for name in ("cell", "debris")]
    (image_id,) = imported(store, tmp_path / "in").added
    truth = np.random.default_rng(0).choice([0, *ids, UNLABELLED], (1, *SHAPE)).astype(np.uint8)
    add_labels(store, image_id, truth)
    out = exported(store, tmp_path / "out", "voc") / "voc"
    picture = Image.open(out / "SegmentationClass/a.png")
    assert picture.mode == "P"
    values = np.asarray(picture)
    assert np.array_equal(values, np.where(truth[0] == UNLABELLED, 255, truth[0]))
    colours = np.array(picture.getpalette()).reshape(-1, 3)
    assert colours[[0, 1, 2, 3, 15, 255]].tolist() == [  # as VOC's own list has them
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [224, 224, 192],
    ]  # fmt: skip
    assert (out / "labelmap.txt").read_text().splitlines()[2] == "cell:128,0,0::"
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=out / "SegmentationClass")
    assert len(report.labelled) == 1 and not report.refused
    (known,) = known_of(again).values()
    assert np.array_equal(named(again, known), named(store, truth))
    again.close()
