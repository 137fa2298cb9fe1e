"""What other programs' own code makes of our files. Each test is skipped where its package is not installed; none of
them is needed to run the app, and some of their packages are large or under the GPL."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from models.sam.torchvision_cpu import ensure_torchvision
from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import exported, project_of_pictures, project_of_volumes

SHAPE = (31, 44)


def test_cvat_sdk_unpacks_our_masks(store: Store, tmp_path: Path):
    masks = pytest.importorskip("cvat_sdk.masks")
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "cvat")
    for entry in ET.parse(out / "cvat/annotations.xml").iter("image"):
        _, numbers = truths[entry.get("name", "")]
        found = np.zeros(SHAPE, int)
        for one in entry.iter("mask"):
            x, y, w, h = (int(one.get(key, "")) for key in ("left", "top", "width", "height"))
            runs = [int(n) for n in one.get("rle", "").split(",")]
            mask = masks.decode_mask([*runs, x, y, x + w - 1, y + h - 1], image_width=44, image_height=31)
            found[mask] = numbers[0][mask].max()
        assert np.array_equal(found, numbers[0])


def test_labelme_draws_our_shapes(store: Store, tmp_path: Path):
    shape = pytest.importorskip("labelme.utils.shape", exc_type=ImportError)
    image = pytest.importorskip("labelme.utils.image", exc_type=ImportError)
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "labelme")
    for source, (classes, numbers) in truths.items():
        content = json.loads((out / "labelme" / source.replace(".png", ".json")).read_text("utf-8"))
        shapes = [one | {"mask": image.img_b64_to_arr(one["mask"]).astype(bool)} for one in content["shapes"]]
        values = {c.name: c.id for c in store.classes()}
        drawn, objects = shape.shapes_to_label(SHAPE, shapes, {"_background_": 0} | values)
        assert np.array_equal(drawn, classes[0])
        assert len(np.unique(np.c_[drawn.ravel(), objects.ravel(), numbers.ravel()], axis=0)) == 6


def test_monai_loads_our_list(store: Store, tmp_path: Path):
    data = pytest.importorskip("monai.data")
    transforms = pytest.importorskip("monai.transforms")
    truths = project_of_volumes(store, tmp_path / "in")
    store.rounds.hold_out(1)
    (folder,) = (exported(store, tmp_path / "out", "nnunet") / "nnunet").iterdir()
    path = str(folder / "datalist.json")
    parts = {part: data.load_decathlon_datalist(path, True, part) for part in ("training", "validation")}
    assert [len(one) for one in parts.values()] == [2, 1]
    load = transforms.LoadImage(image_only=True)
    for one in parts["training"] + parts["validation"]:
        (scan,) = one["image"]
        label, image = load(one["label"]), load(scan)
        assert label.shape == image.shape and np.allclose(label.affine, image.affine)
        truth = truths[Path(one["label"]).name]
        counts = np.bincount(np.asarray(label).astype(int).ravel(), minlength=4)
        assert counts.tolist() == [(truth == v).sum() for v in (0, 1, 2, UNLABELLED)]


def test_cellpose_finds_images_and_masks_to_train_on(store: Store, tmp_path: Path):
    ensure_torchvision()
    io = pytest.importorskip("cellpose.io")
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "cellpose") / "cellpose"
    images, labels, names, *_ = io.load_train_test_data(str(out), mask_filter="_masks")
    assert len(images) == len(labels) == 2
    for name, found in zip(names, labels):
        _, numbers = truths[f"{Path(name).stem}.png"]
        assert np.array_equal(found, numbers[0])
