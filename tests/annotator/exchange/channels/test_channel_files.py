"""Files that are channels of one image come in as one, and only where that is said."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image

from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage.arrays import open_npy
from storage.store import Store
from tests.support.labelled_projects import add_labels, exported, imported, known_of

SHAPE = (7, 5, 3)  # of files: x, y, z
DESCRIPTION = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "lesion": 1}}


def sequence(path: Path, seed: int, step: float = 2.0) -> np.ndarray:
    """A volume (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, step, 1])), path)
    return values


def nnunet_set(root: Path) -> Path:
    root.mkdir()
    (root / "dataset.json").write_text(json.dumps(DESCRIPTION))
    for number in (0, 1):
        sequence(root / f"imagesTr/case_{number:04}.nii.gz", number)
    (root / "labelsTr").mkdir()
    truth = np.zeros(SHAPE, np.uint8)
    truth[2:4, 1:3, 1] = 1
    nib.save(nib.Nifti1Image(truth, np.diag([1, 1, 2, 1])), root / "labelsTr/case.nii.gz")
    return root


def test_the_channels_of_a_case_of_nnunet_are_one_image_with_its_mask(store: Store, tmp_path: Path):
    root = nnunet_set(tmp_path / "Dataset001_x")
    report = imported(store, root)
    (image_id,) = report.added
    row = store.image(image_id)
    assert (row.name, row.source) == ("case.nii.gz", "imagesTr/case.nii.gz")
    assert [c.name for c in row.named] == ["T1", "FLAIR"] and report.labelled == (image_id,)
    alone = imported(store, root / "imagesTr/case_0001.nii.gz")  # a file on its own is an image
    assert np.array_equal(open_npy(row.named[1].path), store.pixels(alone.added[0]))
    again = imported(store, root)
    assert not again.added and again.known == 1


def test_the_look_says_which_files_belong_together(store: Store, tmp_path: Path):
    root = nnunet_set(tmp_path / "Dataset001_x")
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(root), Job("look")), facts)
    (seen,) = look.images
    assert seen.name == "imagesTr/case.nii.gz" and seen.mask == "labelsTr/case.nii.gz"
    assert "its 2 channels are one image: T1, FLAIR" in seen.warnings


def test_numbered_files_elsewhere_are_images_of_their_own(store: Store, tmp_path: Path):
    for number in range(3):
        sequence(tmp_path / f"film/frame_{number:04}.nii.gz", number)
    assert len(imported(store, tmp_path / "film").added) == 3


def table(folder: Path, *rows: tuple[str, str, str]) -> None:
    with open(folder / "channels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "channel", "file"), *rows])


def test_a_table_says_which_files_are_channels(store: Store, tmp_path: Path):
    values = [np.full((5, 7), 40 * n, np.uint16) + np.arange(7, dtype=np.uint16) for n in (1, 2)]
    for name, one in zip(("d.tif", "g.tif"), values, strict=True):
        tifffile.imwrite(tmp_path / name, one)
    Image.fromarray(values[0].astype(np.uint8)).save(tmp_path / "other.png")
    table(tmp_path, ("well 1", "DNA", "d.tif"), ("well 1", "GFP", "g.tif"))
    report = imported(store, tmp_path)
    assert not report.refused and len(report.added) == 2
    well = next(row for row in store.images()[1] if row.named)
    assert well.name == "well 1.tif" and [c.name for c in well.named] == ["DNA", "GFP"]
    for channel, one in zip(well.named, values, strict=True):
        assert np.array_equal(open_npy(channel.path)[0], one)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "DNA", "d.tif"), ("a", "GFP", "gone.tif")], "gone.tif is no image file beside it"),
        ([("a", "DNA", "d.tif")], "has one channel; name two or more"),
    ],
)
def test_a_table_that_cannot_be_followed_costs_a_line(store: Store, tmp_path: Path, rows, reason: str):
    tifffile.imwrite(tmp_path / "d.tif", np.eye(7, dtype=np.uint16))
    table(tmp_path, *rows)
    report = imported(store, tmp_path)
    assert reason in report.refused[0] and len(report.added) == 1  # the file is an image of its own


def test_channels_on_different_grids_are_refused_and_named(store: Store, tmp_path: Path):
    root = nnunet_set(tmp_path / "set")
    sequence(root / "imagesTr/case_0001.nii.gz", 1, step=3.0)
    report = imported(store, root)
    assert not report.added
    assert any("its channel FLAIR lies on another grid than T1" in line for line in report.refused)


def test_channels_go_out_as_nnunet_has_them_and_into_the_table_of_objects(store: Store, tmp_path: Path):
    root = nnunet_set(tmp_path / "set")
    (image_id,) = imported(store, root).added
    (known,) = known_of(store).values()
    add_labels(store, image_id, known)
    folder = next((exported(store, tmp_path / "out", "nnunet", "measurements") / "nnunet").iterdir())
    assert json.loads((folder / "dataset.json").read_text())["channel_names"] == {"0": "T1", "1": "FLAIR"}
    for number in (0, 1):
        ours = sitk.ReadImage(str(folder / f"imagesTr/case_{number:04}.nii.gz"))
        theirs = sitk.ReadImage(str(root / f"imagesTr/case_{number:04}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    with open(tmp_path / "out/measurements/measurements.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    with open(tmp_path / "out/measurements/measurements_by_class.csv", newline="") as file:
        (whole,) = csv.DictReader(file)
    inside = known == 1
    assert (whole["class"], whole["objects"], int(whole["volume_px"])) == ("lesion", "1", inside.sum())
    assert float(whole["volume_mm3"]) == 2 * inside.sum()
    for channel in store.image(image_id).named:
        values = open_npy(channel.path)[inside]
        assert float(row[f"intensity mean {channel.name}"]) == pytest.approx(values.mean(), rel=1e-6)
        assert whole[f"intensity mean {channel.name}"] == row[f"intensity mean {channel.name}"]
        assert float(row[f"intensity standard deviation {channel.name}"]) == pytest.approx(
            values.std(), rel=1e-6
        )


def visit(root: Path, steps: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> Path:
    """A subject of BIDS with three sequences and a mask in derivatives."""
    names = ("sub-01_ses-a_FLAIR", "sub-01_ses-a_ce-gadolinium_T1w", "sub-01_ses-a_T1w")
    for number, (name, step) in enumerate(zip(names, steps, strict=True)):
        sequence(root / f"sub-01/ses-a/anat/{name}.nii.gz", number, step)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    return root


def test_sequences_of_one_visit_are_one_image_with_its_mask_and_go_out_again(store: Store, tmp_path: Path):
    root = visit(tmp_path / "bids")
    sequence(root / "sub-02/anat/sub-02_T1w.nii.gz", 7)  # alone: an image as ever
    truth = np.zeros(SHAPE, np.uint8)
    truth[2:4, 1:3, 1] = 1
    folder = root / "derivatives/manual/sub-01/ses-a/anat"
    folder.mkdir(parents=True)
    mask = nib.Nifti1Image(truth, np.diag([1, 1, 2, 1]))
    nib.save(mask, folder / "sub-01_ses-a_space-T1w_dseg.nii.gz")
    report = imported(store, root)
    rows = {row.name: row for row in store.images()[1]}
    name = "sub-01_ses-a_T1w+cegadoliniumT1w+FLAIR.nii.gz"
    assert set(rows) == {name, "sub-02_T1w.nii.gz"} and not report.refused
    assert [c.name for c in rows[name].named] == ["T1w", "T1w ce-gadolinium", "FLAIR"]
    assert report.labelled == (rows[name].id,)
    out = exported(store, tmp_path / "out", "bids") / "bids"
    (again,) = out.rglob("sub-01_*_desc-manual_dseg.nii.gz")
    assert again.name == "sub-01_ses-a_space-T1w_desc-manual_dseg.nii.gz"
    assert np.array_equal(np.asanyarray(nib.load(again).dataobj) == 1, truth == 1)  # type: ignore[attr-defined]


def test_a_mask_that_names_one_of_the_sequences_is_of_their_image(store: Store, tmp_path: Path):
    root = visit(tmp_path / "bids")
    folder = root / "derivatives/sub-01/ses-a/anat"
    folder.mkdir(parents=True)
    nib.save(
        nib.Nifti1Image(np.ones(SHAPE, np.uint8), np.diag([1, 1, 2, 1])),
        folder / "sub-01_label-x_mask.nii.gz",
    )
    said = {"RawSources": ["sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz"]}
    (folder / "sub-01_label-x_mask.json").write_text(json.dumps(said))
    report = imported(store, root)
    assert len(report.added) == 1 and report.labelled == report.added


def test_sequences_on_different_grids_stay_apart_and_it_is_said(store: Store, tmp_path: Path):
    report = imported(store, visit(tmp_path / "bids", (3.0, 2.0, 2.0)))
    assert len(report.added) == 3
    (line,) = report.refused
    assert "its channel FLAIR lies on another grid than T1w" in line and "each is an image of its own" in line


def test_sequences_that_came_in_one_by_one_before_stay_so(store: Store, tmp_path: Path):
    for number, name in enumerate(("T1w", "FLAIR")):
        sequence(tmp_path / f"{name}/sub-01_{name}.nii.gz", number)
    root = tmp_path / "set"
    root.mkdir()
    (tmp_path / "T1w/sub-01_T1w.nii.gz").rename(root / "sub-01_T1w.nii.gz")
    assert len(imported(store, root).added) == 1
    (tmp_path / "FLAIR/sub-01_FLAIR.nii.gz").rename(root / "sub-01_FLAIR.nii.gz")
    report = imported(store, root)
    assert "sub-01_T1w.nii.gz is an image here already, so each sequence" in report.refused[0]
    assert len(report.added) == 1 and not any(row.named for row in store.images()[1])
    assert not imported(store, root).added
