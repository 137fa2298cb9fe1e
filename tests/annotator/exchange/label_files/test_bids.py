"""BIDS derivatives come in: found by names or by their JSON, with names, colours and codes; what is open is refused."""

import json
from contextlib import closing
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from storage.store import Store
from tests.support.labelled_projects import (
    VOLUME,
    VOLUMES,
    add_labels,
    affine,
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    project_of_volumes,
    volume_file,
)

MASK = np.zeros(VOLUME, np.int16)
MASK[2:4, 1:4, 3:5], MASK[5, 0, 0] = 10, 49
SEGMENTATION = "derivatives/manual/sub-01/anat/sub-01"
TABLE = "index\tname\tcolor\n0\tBackground\tn/a\n10\tThalamus\t#00760e\n49\tCaudate\tn/a\n"


def mask_file(path: Path, kind: str = "oblique", values: np.ndarray = MASK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine(kind)), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A raw data set of one subject with two images, no channels of one, and the description of a derivative."""
    for contrast in ("T1w", "MTRmap"):
        volume_file(tmp_path / f"in/sub-01/anat/sub-01_{contrast}.nii.gz", "oblique")
        path = tmp_path / f"in/sub-01/anat/sub-01_{contrast}.nii.gz"
        image = nib.nifti1.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + np.int16(len(contrast)), image.affine), path)
    image = nib.nifti1.load(path)
    nib.save(nib.Nifti1Image(-np.asarray(image.dataobj), image.affine), path)
    described = tmp_path / "in/derivatives/manual/dataset_description.json"
    described.parent.mkdir(parents=True)
    described.write_text('{"DatasetType": "derivative"}')
    return tmp_path / "in"


@pytest.mark.parametrize("ignore", [None, 9])
def test_what_went_out_comes_back_equal(store: Store, tmp_path: Path, ignore: int | None):
    truths = project_of_volumes(store, tmp_path / "in", unknown=ignore is not None)
    store.class_rows.set_code(1, "SCT 10200004 Liver structure")
    out = exported(store, tmp_path / "out", "bids", ignore=ignore) / "bids"
    with closing(Store(tmp_path / "again")) as again:
        report = imported(again, tmp_path / "in", labels=out)
        assert len(report.labelled) == len(VOLUMES) and not report.refused
        for source, known in known_of(again).items():
            assert np.array_equal(named(again, known), named(store, truths[source]))
        said = {(c.name, c.color, str(c.code or "")) for c in again.classes()}
        assert said == {(c.name, c.color, str(c.code or "")) for c in store.classes()}
        assert not imported(again, tmp_path / "in", labels=out).labelled


def test_numbers_of_objects_come_back_with_their_classes(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/a.nii.gz", "flipped")
    (image_id,) = imported(store, tmp_path / "in").added
    numbers = np.arange(np.prod(VOLUME), dtype=np.uint16).reshape(store.image(image_id).shape) % 5
    store.add_class("cell")
    add_labels(store, image_id, (numbers > 0).astype(np.uint8), numbers)
    out = exported(store, tmp_path / "out", "bids") / "bids"
    with closing(Store(tmp_path / "again")) as again:
        assert len(imported(again, tmp_path / "in", labels=out).labelled) == 1
        (back,) = numbers_of(again).values()
        assert back is not None and np.array_equal(back, numbers)


@pytest.mark.parametrize("below", ["", "elsewhere"])
def test_the_space_says_which_contrast_was_drawn_on(store: Store, data: Path, tmp_path: Path, below: str):
    mask_file(data / f"{SEGMENTATION}_space-MTRmap_dseg.nii.gz")
    (data / "derivatives/manual/dseg.tsv").write_text(TABLE)
    labels = None
    if below:
        labels = (data / "derivatives").rename(tmp_path / below)
    report = imported(store, data, labels=labels)
    assert len(report.added) == 2 and len(report.labelled) == 1 and not report.refused
    assert store.image(report.labelled[0]).source == "sub-01/anat/sub-01_MTRmap.nii.gz"
    counts = dict(
        zip(*np.unique(named(store, known_of(store)["sub-01/anat/sub-01_MTRmap.nii.gz"]), return_counts=True))
    )
    assert counts["Thalamus"] == 12 and counts["Caudate"] == 1
    assert {c.name: c.color for c in store.classes()}["Thalamus"] == "#00760e"


def test_what_could_be_of_two_images_is_refused_until_its_json_says_which(store: Store, data: Path):
    path = mask_file(data / f"{SEGMENTATION}_dseg.nii.gz")
    (line,) = imported(store, data).refused
    assert "its name fits sub-01/anat/sub-01_MTRmap.nii.gz and sub-01/anat/sub-01_T1w.nii.gz" in line
    assert "RawSources" in line
    about = {"RawSources": ["bids::sub-01/anat/sub-01_T1w.nii.gz"]}
    path.with_name("sub-01_dseg.json").write_text(json.dumps(about))
    report = imported(store, data)
    assert [store.image(i).source for i in report.labelled] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    assert {c.name for c in store.classes()} == {"10", "49"}


def test_a_mask_is_called_by_its_label_and_an_image_of_its_own_folder_comes_first(store: Store, data: Path):
    volume_file(data / f"{SEGMENTATION}_desc-preproc_T1w.nii.gz", "flat")
    mask_file(
        data / f"{SEGMENTATION}_space-T1w_label-lesion_mask.nii.gz", "flat", (MASK > 0).astype(np.uint8)
    )
    report = imported(store, data)
    assert [store.image(i).source for i in report.labelled] == [f"{SEGMENTATION}_desc-preproc_T1w.nii.gz"]
    assert [c.name for c in store.classes()] == ["lesion"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sub-02_space-T1w_dseg", "no imported image is of this subject, session and space"),
        ("sub-01_space-MNI152NLin6Asym_dseg", "no imported image is of this subject, session and space"),
        ("sub-01_ses-b_space-T1w_dseg", "no imported image is of this subject, session and space"),
    ],
)
def test_masks_of_nobody_or_of_another_space_are_refused(store: Store, data: Path, name: str, told: str):
    mask_file(data / f"derivatives/manual/sub-01/anat/{name}.nii.gz")
    report = imported(store, data)
    assert len(report.added) == 2 and not report.labelled
    (line,) = report.refused
    assert told in line


def test_the_only_image_of_an_import_gets_no_mask_of_somebody_else(store: Store, data: Path):
    (data / "sub-01/anat/sub-01_MTRmap.nii.gz").unlink()
    mask_file(data / "derivatives/manual/sub-02/anat/sub-02_space-T1w_dseg.nii.gz")
    report = imported(store, data)
    assert len(report.added) == 1 and not report.labelled
    assert "no imported image is of this subject" in report.refused[0]


def test_another_grid_is_refused(store: Store, data: Path):
    mask_file(data / f"{SEGMENTATION}_space-T1w_dseg.nii.gz", "flipped")
    (line,) = imported(store, data).refused
    assert "it lies elsewhere in space than the image" in line and not store.classes()
