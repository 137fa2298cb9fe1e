"""`.seg.nrrd` for 3D Slicer: pynrrd and SimpleITK find names, colours and voxels; so do we."""

from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from storage.store import Store
from tests.support.labelled_projects import exported, imported, known_of, named, project_of_volumes


@pytest.fixture
def truths(store: Store, tmp_path: Path) -> dict[str, np.ndarray]:
    return project_of_volumes(store, tmp_path / "in")


def test_segments_lie_where_their_scans_lie_under_their_names(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path
):
    out = exported(store, tmp_path / "out", "slicer", ignore=9)
    for source, truth in truths.items():
        path = out / "slicer" / source.replace(".nii.gz", ".seg.nrrd")
        values, header = nrrd.read(str(path))
        names = {header[f"Segment{n}_LabelValue"]: header[f"Segment{n}_Name"] for n in range(3)}
        assert names == {"1": "liver", "2": "Tumour, left", "9": "unlabelled"}
        assert np.allclose([float(v) * 255 for v in header["Segment0_Color"].split()], (0x11, 0x22, 0x33))
        original = sitk.ReadImage(str(tmp_path / "in" / source))
        written = sitk.ReadImage(str(path))
        assert np.allclose(written.GetDirection(), original.GetDirection(), atol=1e-6)
        assert np.allclose(written.GetOrigin(), original.GetOrigin(), atol=1e-5)
        assert np.allclose(written.GetSpacing(), original.GetSpacing(), atol=1e-6)
        counts = np.bincount(values.ravel(), minlength=10)
        assert counts[[0, 1, 2, 9]].tolist() == [(truth == v).sum() for v in (0, 1, 2, 255)]


def test_they_come_back_as_they_were(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    out = exported(store, tmp_path / "out", "slicer", ignore=9)
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=out / "slicer")
    assert len(report.labelled) == 3 and not report.refused
    colours = {row.name: row.color for row in again.classes()}
    assert colours == {"liver": "#112233", "Tumour, left": "#fedcba"}
    for source, known in known_of(again).items():
        assert np.array_equal(named(again, known), named(store, truths[source]))
    again.close()


def test_what_it_cannot_hold_is_told(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    out = exported(store, tmp_path / "out", "slicer")
    assert "has no word for unlabelled, so" in (out / "README.txt").read_text("utf-8")
