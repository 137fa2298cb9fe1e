"""OME-Zarr: images with labels, read by zarr and ome-zarr where they are installed, else by the rule of the format."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.channels.named import Channel, ChannelLook, picture_of
from storage.scan import Scan
from storage.store import Store
from tests.support.labelled_projects import (
    add_labels,
    exported,
    imported,
    picture_file,
    project_of_pictures,
    project_of_volumes,
)


def level_of(folder: Path) -> NDArray[Any]:
    """A Zarr 2 array by its rule: chunks of the full size, zeros where one is missing."""
    facts = json.loads((folder / ".zarray").read_text("utf-8"))
    assert facts["zarr_format"] == 2 and facts["compressor"]["id"] == "zlib" and facts["order"] == "C"
    side = facts["chunks"]
    counts = [-(-n // s) for n, s in zip(facts["shape"], side, strict=True)]
    whole = np.zeros([n * s for n, s in zip(counts, side, strict=True)], facts["dtype"])
    for path in (p for p in folder.rglob("*") if p.is_file() and p.name != ".zarray"):
        at = [int(part) for part in path.relative_to(folder).parts]
        part = np.frombuffer(zlib.decompress(path.read_bytes()), facts["dtype"]).reshape(side)
        whole[tuple(slice(i * s, (i + 1) * s) for i, s in zip(at, side, strict=True))] = part
    return whole[tuple(slice(0, n) for n in facts["shape"])]


def attributes(folder: Path) -> dict[str, Any]:
    return json.loads((folder / ".zattrs").read_text("utf-8"))


def test_volumes_keep_their_voxels_names_colours_and_sizes(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    store.class_rows.set_code(1, "SCT 10200004 Liver")
    out = exported(store, tmp_path / "out", "omezarr", ignore=9) / "omezarr"
    for row in store.images(limit=-1)[1]:
        root = out / f"{row.source.removesuffix('.nii.gz')}.zarr"
        np.testing.assert_array_equal(level_of(root / "0"), store.pixels(row.id))
        truth = np.where(truths[row.source] == 255, 9, truths[row.source])
        np.testing.assert_array_equal(level_of(root / "labels" / "classes" / "0"), truth)
        (scales,) = attributes(root)["multiscales"]
        (first,) = scales["datasets"][0]["coordinateTransformations"]
        assert tuple(first["scale"]) == pytest.approx(row.spacing_mm)
        assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"]
        label = attributes(root / "labels" / "classes")["image-label"]
        assert label["colors"][0] == {"label-value": 1, "rgba": [0x11, 0x22, 0x33, 255]}
        assert label["properties"][0] == {
            "label-value": 1,
            "class": "liver",
            "scheme": "SCT",
            "code": "10200004",
        }


def test_pictures_in_colour_and_numbers_of_objects_are_there(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "omezarr") / "omezarr"
    for source, (classes, numbers) in truths.items():
        root = out / f"{source.removesuffix('.png')}.zarr"
        assert attributes(root / "labels")["labels"] == ["classes", "objects"]
        np.testing.assert_array_equal(level_of(root / "labels" / "objects" / "0"), numbers)
        np.testing.assert_array_equal(level_of(root / "labels" / "classes" / "0"), classes)
    assert level_of(out / "colour.zarr" / "0").shape == (3, 1, 31, 44)


def test_levels_take_every_second_row_and_column(store: Store, tmp_path: Path):
    picture_file(tmp_path / "in" / "wide.png", (300, 601))
    store.add_class("cell")
    (image_id,) = imported(store, tmp_path / "in").added
    truth = np.zeros((1, 300, 601), np.uint8)
    truth[0, 100:, 333:] = 1
    add_labels(store, image_id, truth)
    root = exported(store, tmp_path / "out", "omezarr") / "omezarr" / "wide.zarr"
    assert [
        len(attributes(f)["multiscales"][0]["datasets"]) for f in (root, root / "labels" / "classes")
    ] == [3, 3]
    np.testing.assert_array_equal(level_of(root / "labels" / "classes" / "2"), truth[:, ::4, ::4])


def test_zarr_and_ome_zarr_open_them(store: Store, tmp_path: Path):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url

    truths = project_of_volumes(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "omezarr", ignore=9) / "omezarr"
    for source, truth in truths.items():
        root = out / f"{source.removesuffix('.nii.gz')}.zarr"
        values = zarr.open_group(str(root), mode="r")["labels/classes/0"][:]
        np.testing.assert_array_equal(values, np.where(truth == 255, 9, truth))
        nodes = list(reader.Reader(parse_url(str(root)))())
        assert len(nodes) >= 2 and nodes[0].data[0].shape == truth.shape
        labels = next(node for node in nodes if "classes" in str(node.zarr))
        np.testing.assert_array_equal(np.asarray(labels.data[0]), np.where(truth == 255, 9, truth))


def test_channels_are_written_as_they_are_kept_with_their_names_and_colours(store: Store, tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 4000, (2, 1, 21, 34)).astype(np.uint16)
    looks = (ChannelLook("#0000ff", (10.0, 900.0)), ChannelLook("#00ff00", (0.0, 99.0), shown=False))
    named = tuple(Channel(n, v, look) for n, v, look in zip(("DNA", "actin"), values, looks, strict=True))
    image_id = store.add_image(Scan("cells", picture_of(named), None, None, named=named))
    store.add_class("cell")
    add_labels(store, image_id, np.ones((1, 21, 34), np.uint8))
    root = exported(store, tmp_path / "out", "omezarr") / "omezarr" / "cells.zarr"
    np.testing.assert_array_equal(level_of(root / "0"), values)
    dna, actin = attributes(root)["omero"]["channels"]
    assert (dna["label"], dna["color"], dna["active"], actin["active"]) == ("DNA", "0000ff", True, False)
    assert dna["window"]["start"] == 10 and dna["window"]["max"] == values[0].max()
