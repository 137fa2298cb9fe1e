"""DICOM-SEG on its series and back: read by highdicom by the places of frames, and by dcmqi and pydicom-seg
where they are installed."""

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from annotator.exchange.export_labels import ExportRequest, export
from annotator.jobs import Job
from storage.formats import grid_from_json
from storage.store import Store
from tests.support.dicom_series import DIRECTIONS, save_series
from tests.support.labelled_projects import add_labels, imported, known_of, named, volume_file

KINDS = ["dicomseg", "dicomseg-labelmap"]


@pytest.fixture
def truths(store: Store, tmp_path: Path) -> dict[str, np.ndarray]:
    """By source: a slice between is empty, and one says nothing."""
    for kind in DIRECTIONS:
        save_series(tmp_path / "in" / kind, kind)
    classes = [store.add_class("liver", "#d02030").id, store.add_class("tumour", "#20a0f0").id]
    found = {}
    for image_id in imported(store, tmp_path / "in").added:
        row = store.image(image_id)
        truth = (
            np.random.default_rng(image_id)
            .choice([0, *classes], row.shape, p=[0.7, 0.2, 0.1])
            .astype(np.uint8)
        )
        truth[1] = 0
        add_labels(store, image_id, truth)
        found[row.source] = truth
    assert len(found) == len(DIRECTIONS)
    return found


def written(store: Store, tmp_path: Path, kind: str) -> dict[str, Path]:
    out = export(store, tmp_path / kind, ExportRequest((kind,), originals=tmp_path / "in"), Job("export"))
    images = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    assert all("Tissue (SNOMED CT 85756007)" in image["problems"][0] for image in images)
    return {image["source"]: out / image["files"][0] for image in images}


def places(mask: np.ndarray, affine: np.ndarray | None) -> set[tuple[float, ...]]:
    """Where the voxels of a mask lie, in mm."""
    assert affine is not None
    points = np.c_[np.argwhere(mask), np.ones(np.count_nonzero(mask))] @ affine.T
    return {tuple(p) for p in (np.round(points[:, :3], 2) + 0.0).tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_segments_lie_on_their_series_and_come_back(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path, kind: str
):
    files = written(store, tmp_path, kind)
    for row in store.images(limit=-1)[1]:
        seg = hd.seg.segread(files[row.source])
        assert [seg.get_segment_description(n).segment_label for n in (1, 2)] == ["liver", "tumour"]
        ours = grid_from_json(row.geometry).display_affine
        for number in (1, 2):
            volume = seg.get_volume(segment_numbers=[number])
            theirs = places(volume.array[..., 0] > 0, np.diag([-1, -1, 1, 1]) @ volume.affine)
            assert theirs == places(truths[row.source] == number, ours)
    again = Store(tmp_path / "again")
    (tmp_path / "masks").mkdir()
    for number, file in enumerate(files.values()):
        shutil.copy(file, tmp_path / "masks" / f"{number}")  # whatever it is called
    report = imported(again, tmp_path / "in", labels=tmp_path / "masks")
    assert len(report.labelled) == 3 and not report.refused
    for source, known in known_of(again).items():
        assert np.array_equal(named(again, known), named(store, truths[source]))
    for brought in again.classes():
        before = next(c.color for c in store.classes() if c.name == brought.name)
        rgb = np.array([[int(color[n : n + 2], 16) for n in (1, 3, 5)] for color in (brought.color, before)])
        assert np.abs(rgb[0] - rgb[1]).max() <= 2  # DICOM keeps colours as CIELab
    again.close()


def test_it_comes_in_beside_its_series_and_without_it_is_refused(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path
):
    source, file = next(iter(written(store, tmp_path, "dicomseg").items()))
    shutil.copy(file, tmp_path / "in" / "x.dcm")
    again = Store(tmp_path / "again")
    assert len(imported(again, tmp_path / "in").labelled) == 1
    assert np.array_equal(named(again, known_of(again)[source]), named(store, truths[source]))
    again.close()
    shutil.rmtree(tmp_path / "in" / source)
    lonely = Store(tmp_path / "lonely")
    assert "its series is not part of this import" in " ".join(imported(lonely, tmp_path / "in").refused)
    lonely.close()


def test_without_its_series_nothing_is_written_and_a_sentence_says_why(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path
):
    with pytest.raises(ValueError, match="needs the headers of its series; .* --originals FOLDER"):
        export(store, tmp_path / "a", ExportRequest(("dicomseg",)), Job("export"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="does not hold its series"):
        export(
            store, tmp_path / "b", ExportRequest(("dicomseg",), originals=tmp_path / "empty"), Job("export")
        )
    other = Store(tmp_path / "other")
    volume_file(tmp_path / "nifti/a.nii.gz", "oblique")
    (image_id,) = imported(other, tmp_path / "nifti").added
    other.add_class("liver")
    add_labels(other, image_id, np.ones(other.image(image_id).shape, np.uint8))
    with pytest.raises(ValueError, match="came from no DICOM series"):
        export(other, tmp_path / "c", ExportRequest(("dicomseg",), originals=tmp_path / "in"), Job("export"))
    other.close()


@pytest.mark.parametrize("kind", KINDS)
def test_dcmqi_finds_as_many_voxels_at_the_same_places(
    store: Store, truths: dict[str, np.ndarray], tmp_path: Path, kind: str
):
    dcmqi = shutil.which("segimage2itkimage")
    if dcmqi is None:
        pytest.skip("dcmqi is not installed (pip install dcmqi)")
    import SimpleITK as sitk

    for source, file in written(store, tmp_path, kind).items():
        into = tmp_path / "dcmqi" / source
        into.mkdir(parents=True)
        command = [
            dcmqi,
            "--inputDICOM",
            str(file),
            "--outputDirectory",
            str(into),
            "--mergeSegments",
            "-t",
            "nrrd",
        ]
        subprocess.run(command, check=True, capture_output=True)
        (found,) = into.glob("*.nrrd")
        image = sitk.ReadImage(str(found))
        values = sitk.GetArrayFromImage(image)
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        ras = np.diag([-1.0, -1, 1, 1]) @ affine[:, [2, 1, 0, 3]]
        row = next(r for r in store.images(limit=-1)[1] if r.source == source)
        ours = grid_from_json(row.geometry).display_affine
        for number in (1, 2):
            assert places(values == number, ras) == places(truths[source] == number, ours)


def test_who_drew_segments_or_contours_is_kept(store: Store, tmp_path: Path):
    save_series(tmp_path / "in", "oblique")
    (image_id,) = imported(store, tmp_path / "in").added
    liver = store.add_class("liver").id
    add_labels(store, image_id, np.full(store.image(image_id).shape, liver, np.uint8))
    request = ExportRequest(("dicomseg", "rtstruct"), originals=tmp_path / "in")
    out = export(store, tmp_path / "out", request, Job("export"))
    (segments,), (regions,) = (out / "dicomseg").iterdir(), (out / "rtstruct").iterdir()
    for path, keyword in ((segments, "ContentCreatorName"), (regions, "OperatorsName")):
        data = pydicom.dcmread(path)
        setattr(data, keyword, "Doe^Anna")
        data.save_as(path)
        with closing(Store(tmp_path / keyword)) as other:
            (other_id,) = imported(other, tmp_path / "in", labels=path).labelled
            assert {label.prompts["by"] for label in other.labels(other_id)} == {"Doe^Anna"}


def test_pydicom_seg_finds_the_same_places(store: Store, truths: dict[str, np.ndarray], tmp_path: Path):
    """PYDICOM_SEG_PYTHON is an interpreter that has pydicom-seg 0.4.1 with pydicom 2 and SimpleITK. It knows no label
    maps, which are newer."""
    python = os.environ.get("PYDICOM_SEG_PYTHON")
    if python is None:
        pytest.skip("PYDICOM_SEG_PYTHON names no interpreter with pydicom-seg")
    script = Path(__file__).parents[3] / "support" / "pydicom_seg_places.py"
    for source, file in written(store, tmp_path, "dicomseg").items():
        told = subprocess.run([python, script, file], check=True, capture_output=True, text=True).stdout
        row = next(r for r in store.images(limit=-1)[1] if r.source == source)
        ours = grid_from_json(row.geometry).display_affine
        assert ours is not None
        patient = np.diag([-1.0, -1, 1, 1]) @ ours
        found = json.loads(told)
        for number, name in ((1, "liver"), (2, "tumour")):
            theirs = {tuple(p) for p in (np.round(np.array(found[name]), 2) + 0.0).tolist()}
            assert theirs == places(truths[source] == number, patient)
