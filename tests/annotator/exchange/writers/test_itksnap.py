"""NIfTI with ITK-SNAP's label descriptions: names and colours come back, voxels lie where they lay."""

import shlex
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from storage.store import Store
from tests.support.labelled_projects import exported, imported, known_of, named, project_of_volumes


def test_the_descriptions_name_the_values_and_come_back(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "itksnap", ignore=300) / "itksnap"
    lines = (out / "labels.txt").read_text("utf-8").splitlines()
    rows = [shlex.split(line) for line in lines if not line.startswith("#")]
    assert [(int(row[0]), row[7]) for row in rows] == [
        (0, "Clear Label"), (1, "liver"), (2, "Tumour, left"), (300, "unlabelled"),
    ]  # fmt: skip
    assert rows[1][1:4] == ["17", "34", "51"] and all(len(row) == 8 for row in rows)
    for source, truth in truths.items():
        mask, scan = (sitk.ReadImage(str(folder / source)) for folder in (out, tmp_path / "in"))
        assert mask.GetDirection() == scan.GetDirection() and mask.GetOrigin() == scan.GetOrigin()
        counts = np.bincount(sitk.GetArrayFromImage(mask).ravel(), minlength=301)
        assert counts[[0, 1, 2, 300]].tolist() == [(truth == v).sum() for v in (0, 1, 2, 255)]
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=out)
    assert len(report.labelled) == 3 and not report.refused
    assert {c.name: c.color for c in again.classes()} == {"liver": "#112233", "Tumour, left": "#fedcba"}
    for source, known in known_of(again).items():
        assert np.array_equal(named(again, known), named(store, truths[source]))
    again.close()
