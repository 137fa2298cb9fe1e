"""Labels of OME-Zarr come in: our own on any scan, those of others where nothing has to be known of the body."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from annotator.web.uploads import safe_parts
from storage.store import Store
from tests.support.labelled_projects import (
    VOLUMES,
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    picture_file,
    project_of_pictures,
    project_of_volumes,
    volume_file,
)

SHAPE = (31, 44)


def label_image(root: Path, name: str, values: np.ndarray, version: str = "0.5", **about: Any) -> None:
    """By zarr itself, as NGFF 0.4 (Zarr 2) or 0.5 (Zarr 3) has it, compressed as it pleases."""
    kind: Any = 2 if version == "0.4" else 3
    group = zarr.open_group(root, mode="a", zarr_format=kind)
    labels = group.require_group("labels")
    said: dict[str, Any] = dict(labels.attrs)
    listed = [*(said.get("ome") or said).get("labels", []), name]
    scale = {"type": "scale", "scale": [1.0] * values.ndim}
    axes = [{"name": axis, "type": "space"} for axis in ("t", "c", "z", "y", "x")[-values.ndim :]]
    sets = [{"path": "0", "coordinateTransformations": [scale]}]
    facts: Any = {"multiscales": [{"version": version, "axes": axes, "datasets": sets}], "image-label": about}
    one = labels.create_group(name)
    one.create_array("0", data=values, chunks=tuple(max(1, n // 2) for n in values.shape))
    labels.attrs.update({"labels": listed} if version == "0.4" else {"ome": {"labels": listed}})
    one.attrs.update(facts if version == "0.4" else {"ome": facts})


def numbers(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint32)


def test_volumes_that_went_out_come_back_equal(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    store.class_rows.set_code(1, "SCT 10200004 liver")
    out = exported(store, tmp_path / "out", "omezarr", ignore=9) / "omezarr"
    with closing(Store(tmp_path / "again")) as again:
        report = imported(again, tmp_path / "in", labels=out)
        assert len(report.labelled) == len(VOLUMES) and not report.refused
        for source, known in known_of(again).items():
            assert np.array_equal(named(again, known), named(store, truths[source]))
        said = {(c.name, c.color, str(c.code or "")) for c in again.classes()}
        assert said == {(c.name, c.color, str(c.code or "")) for c in store.classes()}
        assert not imported(again, tmp_path / "in", labels=out).labelled


def test_objects_of_pictures_come_back_beside_their_images(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "omezarr") / "omezarr"
    for path in out.iterdir():
        path.rename(tmp_path / "in" / path.name)
    with closing(Store(tmp_path / "again")) as again:
        report = imported(again, tmp_path / "in")
        assert len(report.added) == len(report.labelled) == 2 and not report.refused
        for source, (classes, objects) in truths.items():
            assert np.array_equal(named(again, known_of(again)[source]), named(store, classes))
            back = numbers_of(again)[source]
            assert back is not None and np.array_equal(back, objects)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_label_images_of_others_number_objects_of_a_class_each(store: Store, tmp_path: Path, version: str):
    picture_file(tmp_path / "in/a.png")
    cells, nuclei = numbers(1), numbers(2)
    label_image(tmp_path / "in/a.ome.zarr", "cells", cells, version)
    label_image(tmp_path / "in/a.ome.zarr", "nuclei", nuclei[None, None] + 70_000 * (nuclei > 0), version)
    report = imported(store, tmp_path / "in")
    assert len(report.labelled) == 1 and not report.refused
    assert any("labels/nuclei are taken as numbers of objects" in note for note in report.notes)
    assert any("lie in two labels; the later label has them" in note for note in report.notes)
    (known,), (back,) = known_of(store).values(), numbers_of(store).values()
    said = np.where(nuclei > 0, "nuclei", np.where(cells > 0, "cells", "0"))
    assert np.array_equal(named(store, known)[0].astype(str), said)
    assert back is not None
    pairs = {
        (int(n), int(c), int(m)) for n, c, m in zip(nuclei.ravel(), cells.ravel(), back.ravel(), strict=True)
    }
    assert len({m for n, _, m in pairs if n}) == 3 and len({m for n, c, m in pairs if not n and c}) == 3


def test_properties_name_classes_and_colours(store: Store, tmp_path: Path):
    picture_file(tmp_path / "in/a.png")
    values = numbers(3)
    about: dict[str, Any] = {
        "colors": [{"label-value": 2, "rgba": [255, 128, 0, 255]}],
        "properties": [
            {"label-value": v, "class": name} for v, name in ((1, "a"), (2, "b"), (3, "unlabelled"))
        ],
    }
    label_image(tmp_path / "in/a.zarr", "tissue", values, **about)
    assert len(imported(store, tmp_path / "in").labelled) == 1
    (known,) = known_of(store).values()
    said = np.array(["0", "a", "b", "255"], object)[values]
    assert np.array_equal(named(store, known)[0], said)
    assert {c.name: c.color for c in store.classes()}["b"] == "#ff8000"


def test_what_cannot_be_placed_or_read_costs_a_sentence(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/a.nii.gz", "oblique")
    label_image(tmp_path / "in/a.zarr", "cells", numbers(1, (6, 5, 7)))
    picture_file(tmp_path / "in/b.png")
    label_image(tmp_path / "in/b.zarr", "cells", numbers(1, (30, 44)))
    picture_file(tmp_path / "in/c.png", (9, 9))
    zarr.open_group(tmp_path / "in/c.zarr", mode="w")
    picture_file(tmp_path / "in/d.png", (8, 9))
    label_image(tmp_path / "in/d.zarr", "cells", numbers(1, (2, 1, 8, 9)))
    lines = sorted(line for line in imported(store, tmp_path / "in").refused)
    told = [
        "a.zarr: it does not say how it lies in the body and its image does",
        "b.zarr: its labels are 1 x 30 x 44 and its image 1 x 31 x 44",
        "c.zarr: it holds no labels; to open its image, import its folder by itself",
        "d.zarr: labels/cells has several channels or moments",
    ]
    assert len(lines) == 4 and all(line.startswith(start) for line, start in zip(lines, told, strict=True))
    assert not store.classes()


def test_alone_it_is_no_image_and_its_own_names_survive_an_upload(store: Store, tmp_path: Path):
    label_image(tmp_path / "a.zarr", "cells", numbers(1), "0.4")
    report = imported(store, tmp_path / "a.zarr")
    assert not report.added and "images of OME-Zarr do not come in" in report.refused[0]
    assert safe_parts("a.zarr/labels/.zattrs") == ["a.zarr", "labels", ".zattrs"]
    assert safe_parts("../.zarray/.ssh") == [".zarray", "ssh"]
