"""The table of objects agrees with SimpleITK's statistics of the same objects, and says who labelled them."""

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.support.labelled_projects import add_labels, exported, imported, project_of_pictures, volume_file


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "measurements/measurements.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str], *columns: str) -> list[float]:
    return [float(row[column]) for column in columns]


def test_pictures_agree_with_simpleitk(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    rows = table(exported(store, tmp_path / "out", "measurements"))
    assert (
        len(rows) == 10
        and {row["who"] for row in rows} == {"ann"}
        and {row["how"] for row in rows} == {"drawn"}
    )
    assert all(row["area_mm2"] == "" for row in rows)  # nothing says how large a pixel is
    _, labels = truths["grey.png"]
    theirs, grey = sitk.LabelShapeStatisticsImageFilter(), sitk.LabelIntensityStatisticsImageFilter()
    image = sitk.GetImageFromArray(labels[0])
    theirs.Execute(image)
    grey.Execute(image, sitk.ReadImage(str(tmp_path / "in/grey.png")))
    for row in (row for row in rows if row["image"] == "grey.png"):
        n = int(row["object"])
        assert float(row["area_px"]) == theirs.GetNumberOfPixels(n)
        assert numbers(row, "centre_x", "centre_y") == pytest.approx(theirs.GetCentroid(n), rel=1e-5)
        x, y, w, h = theirs.GetBoundingBox(n)
        assert numbers(row, "first_x", "first_y", "last_x", "last_y") == [x, y, x + w - 1, y + h - 1]
        diameter = theirs.GetEquivalentSphericalRadius(n) * 2
        assert float(row["diameter_of_same_size_px"]) == pytest.approx(diameter, rel=1e-5)
        assert float(row["intensity mean"]) == pytest.approx(grey.GetMean(n), rel=1e-5)
        assert numbers(row, "intensity min", "intensity max") == [grey.GetMinimum(n), grey.GetMaximum(n)]
        assert row["class"] == ("debris" if n > 3 else "cell")
    colour = next(row for row in rows if row["image"] == "colour.png")
    assert all(colour[f"intensity mean {c}"] for c in "RGB")


def test_volumes_have_sizes_in_mm_and_only_those_who_said_an_object_are_named(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/a.nii.gz", "oblique")
    liver = store.add_class("liver").id
    (image_id,) = imported(store, tmp_path / "in").added
    truth = np.zeros(store.image(image_id).shape, np.uint8)
    truth[1:3, 1:4, 1:3] = truth[-1, -1, -1] = liver
    add_labels(store, image_id, truth)
    patch = Patch(Box(2, 2, 4, 3), np.full((2, 1), liver, np.uint8))
    store.add_label(NewLabel(SliceRef(image_id, 0, 1), patch, "bob", "bob", "refined"))
    large, small = sorted(
        table(exported(store, tmp_path / "out", "measurements")), key=lambda r: -int(r["volume_px"])
    )
    theirs = sitk.LabelShapeStatisticsImageFilter()
    scan = sitk.ReadImage(str(tmp_path / "in/a.nii.gz"))
    mask = sitk.ReadImage(str(exported(store, tmp_path / "masks", "nifti") / "nifti/a.nii.gz"))
    theirs.Execute(sitk.ConnectedComponent(mask))
    sizes = sorted(theirs.GetPhysicalSize(n) for n in theirs.GetLabels())
    assert numbers(small, "volume_mm3") + numbers(large, "volume_mm3") == pytest.approx(sizes, rel=1e-5)
    grey = sitk.LabelIntensityStatisticsImageFilter()
    grey.Execute(sitk.ConnectedComponent(mask), scan)
    means = sorted(grey.GetMean(n) for n in grey.GetLabels())
    assert sorted(numbers(small, "intensity mean") + numbers(large, "intensity mean")) == pytest.approx(
        means, rel=1e-5
    )
    assert (large["who"], large["how"]) == ("ann; bob", "drawn; refined")
    assert (small["who"], small["how"]) == ("ann", "drawn")


def test_parquet_says_what_the_csv_says(store: Store, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is written where pyarrow is installed")
    project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "measurements")
    told = parquet.read_table(out / "measurements/measurements.parquet").to_pylist()
    rows = table(out)
    assert len(told) == len(rows) == 10
    for one, other in zip(told, rows, strict=True):
        assert {name: "" if v is None else str(v) for name, v in one.items()} == other
    assert isinstance(told[0]["area_px"], int) and isinstance(told[0]["intensity mean"], float | None)
    by_class = parquet.read_table(out / "measurements/measurements_by_class.parquet")
    assert "objects" in by_class.column_names
