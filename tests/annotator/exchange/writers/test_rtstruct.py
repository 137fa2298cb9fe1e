"""RTSTRUCT on its series and back; what its contours enclose is judged by shapely, in the patient's coordinates."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import shapely

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.label_files.rtstruct import open_structure_set
from annotator.jobs import Job
from storage.formats import FileRefused, grid_from_json
from storage.store import Store
from tests.support.dicom_series import DIRECTIONS, save_series
from tests.support.labelled_projects import add_labels, imported, known_of, named

HOLE = (slice(1, 4), slice(1, 4))


@pytest.fixture
def truths(store: Store, tmp_path: Path) -> dict[str, np.ndarray]:
    """By source: voxels strewn about, and rings around holes."""
    for kind in DIRECTIONS:
        save_series(tmp_path / "in" / kind, kind)
    classes = [store.add_class("liver", "#d02030").id, store.add_class("Lésion", "#20a0f0").id]
    found = {}
    for image_id in imported(store, tmp_path / "in").added:
        row, rng = store.image(image_id), np.random.default_rng(image_id)
        truth = rng.choice([0, *classes], row.shape, p=[0.6, 0.25, 0.15]).astype(np.uint8)
        truth[1], truth[2], truth[3] = 0, classes[0], 0
        truth[(2, *HOLE)] = 0
        truth[2, 2, 2] = classes[1]
        add_labels(store, image_id, truth)
        found[row.source] = truth
    assert len(found) == len(DIRECTIONS)
    return found


def written(store: Store, tmp_path: Path) -> dict[str, Path]:
    request = ExportRequest(("rtstruct",), originals=tmp_path / "in")
    out = export(store, tmp_path / "out", request, Job("export"))
    images = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    return {image["source"]: out / image["files"][0] for image in images}


def test_regions_come_back_voxel_by_voxel(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    files = written(store, tmp_path)
    (tmp_path / "sets").mkdir()
    for number, file in enumerate(files.values()):
        shutil.copy(file, tmp_path / "sets" / f"{number}")  # whatever it is called
    again = Store(tmp_path / "again")
    report = imported(again, tmp_path / "in", labels=tmp_path / "sets")
    assert len(report.labelled) == 3 and not report.refused
    for source, known in known_of(again).items():
        assert np.array_equal(named(again, known), named(store, truths[source]))
    assert [(c.name, c.color) for c in again.classes()] == [(c.name, c.color) for c in store.classes()]
    again.close()


def test_the_middles_of_voxels_lie_within_the_contours_as_shapely_sees_them(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path
):
    rows = {row.source: row for row in store.images(limit=-1)[1]}
    for source, file in written(store, tmp_path).items():
        data = pydicom.dcmread(file)
        affine = grid_from_json(rows[source].geometry).display_affine
        assert affine is not None
        at = np.argwhere(np.ones(rows[source].shape, bool))
        places = (at @ affine[:3, :3].T + affine[:3, 3]) * (-1, -1, 1)
        headers = {h.SOPInstanceUID: h for h in map(pydicom.dcmread, (tmp_path / "in" / source).iterdir())}
        for roi, contour in zip(data.StructureSetROISequence, data.ROIContourSequence, strict=True):
            value = next(c.id for c in store.classes() if c.name == roi.ROIName)
            inside = np.zeros(len(at), bool)
            for item in contour.ContourSequence:
                image = headers[item.ContourImageSequence[0].ReferencedSOPInstanceUID]
                inside |= within(item, image, places)
            assert np.array_equal(inside.reshape(rows[source].shape), truths[source] == value)


def within(item: pydicom.Dataset, image: pydicom.Dataset, places: np.ndarray) -> np.ndarray:
    """Which places lie on the plane of a contour's image and within the contour."""
    along = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    start, normal = np.array(image.ImagePositionPatient, float), np.cross(*along)
    points = np.array(item.ContourData, float).reshape(-1, 3) - start
    assert np.abs(points @ normal).max() < 1e-4
    area = shapely.Polygon(points @ along.T).buffer(0)
    near = np.abs((places - start) @ normal) < 0.5
    return near & shapely.contains_xy(area, *((places - start) @ along.T).T)


def test_it_says_what_other_programs_look_for(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    for source, file in written(store, tmp_path).items():
        data = pydicom.dcmread(file)
        first = pydicom.dcmread(next((tmp_path / "in" / source).iterdir()))
        frame = data.ReferencedFrameOfReferenceSequence[0]
        series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
        assert (data.Modality, series.SeriesInstanceUID) == ("RTSTRUCT", first.SeriesInstanceUID)
        assert frame.FrameOfReferenceUID == first.FrameOfReferenceUID
        assert (data.PatientID, data.StudyInstanceUID) == (first.PatientID, first.StudyInstanceUID)
        assert len(series.ContourImageSequence) == 6
        assert data.ROIContourSequence[0].ROIDisplayColor == [208, 32, 48]
        ids = {one.ReferencedROINumber for one in data.RTROIObservationsSequence}
        assert ids == {one.ROINumber for one in data.StructureSetROISequence}


def test_a_contour_between_two_slices_is_refused_and_points_are_left_out(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path
):
    source, file = next(iter(written(store, tmp_path).items()))
    row = next(r for r in store.images(limit=-1)[1] if r.source == source)
    data = pydicom.dcmread(file)
    first = data.ROIContourSequence[0].ContourSequence[0]
    first.ContourGeometricType = "POINT"
    data.save_as(tmp_path / "points")
    said = open_structure_set(tmp_path / "points").read("", grid_from_json(row.geometry))  # type: ignore[union-attr]
    assert said.notes[0] == "1 shape of kind point left out: no area"
    first.ContourGeometricType = "CLOSED_PLANAR"
    normal = np.cross(*DIRECTIONS[source])
    first.ContourData = [
        f"{v:.6f}" for v in (np.array(first.ContourData, float).reshape(-1, 3) + normal).ravel()
    ]
    data.save_as(tmp_path / "between")
    with pytest.raises(FileRefused, match="do not lie on the slices"):
        open_structure_set(tmp_path / "between").read("", grid_from_json(row.geometry))  # type: ignore[union-attr]


def test_dcmrtstruct2nii_finds_the_same_voxels(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    pytest.importorskip("dcmrtstruct2nii", reason="dcmrtstruct2nii is not installed")
    import SimpleITK as sitk
    from dcmrtstruct2nii.adapters.convert.rtstructcontour2mask import DcmPatientCoords2Mask

    for source, file in written(store, tmp_path).items():
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "in" / source))
        image = sitk.ReadImage(names)
        affine = grid_from_json(next(r for r in store.images(limit=-1)[1] if r.source == source).geometry)
        assert affine.display_affine is not None
        for value, contour in enumerate(pydicom.dcmread(file).ROIContourSequence, start=1):
            items = [
                {
                    "type": one.ContourGeometricType,
                    "points": dict(zip("xyz", np.array(one.ContourData, float).reshape(-1, 3).T)),
                }
                for one in contour.ContourSequence
            ]
            found = sitk.GetArrayFromImage(DcmPatientCoords2Mask().convert(items, image, 0, 1))
            theirs = {
                image.TransformIndexToPhysicalPoint([int(v) for v in at[::-1]]) for at in np.argwhere(found)
            }
            at = np.argwhere(truths[source] == value)
            ours = (at @ affine.display_affine[:3, :3].T + affine.display_affine[:3, 3]) * (-1, -1, 1)
            assert rounded(theirs) == rounded(ours) and len(theirs) == len(at)


def rounded(places: Iterable[Any]) -> set[tuple[float, ...]]:
    return set(map(tuple, (np.round(np.array(list(places)), 2) + 0.0).tolist()))
