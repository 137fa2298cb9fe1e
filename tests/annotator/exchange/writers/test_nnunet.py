"""nnU-Net's raw data set: SimpleITK, which nnU-Net reads with, finds cases, channels and `ignore` where they lie."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from storage.arrays import UNLABELLED
from storage.store import Store
from tests.support.labelled_projects import (
    add_labels,
    exported,
    imported,
    known_of,
    named,
    picture_file,
    project_of_volumes,
    volume_file,
)


def data_set(out: Path) -> Path:
    (folder,) = (out / "nnunet").iterdir()
    assert folder.name == "Dataset100_project"
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text("utf-8"))


def test_cases_lie_where_their_scans_lie_and_come_back_as_they_were(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    folder = data_set(exported(store, tmp_path / "out", "nnunet"))
    assert facts(folder)["labels"] == {"background": 0, "liver": 1, "Tumour, left": 2, "ignore": 3}
    assert facts(folder)["numTraining"] == 3 and facts(folder)["file_ending"] == ".nii.gz"
    for source, truth in truths.items():
        case = source.removesuffix(".nii.gz")
        original = sitk.ReadImage(str(tmp_path / "in" / source))
        scan = sitk.ReadImage(str(folder / "imagesTr" / f"{case}_0000.nii.gz"))
        label = sitk.ReadImage(str(folder / "labelsTr" / f"{case}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(original))
        for one in (scan, label):
            assert one.GetDirection() == original.GetDirection()
            assert (one.GetOrigin(), one.GetSpacing()) == (original.GetOrigin(), original.GetSpacing())
        counts = np.bincount(sitk.GetArrayFromImage(label).ravel(), minlength=4)
        assert counts.tolist() == [(truth == v).sum() for v in (0, 1, 2, UNLABELLED)]
    again = Store(tmp_path / "again")
    assert len(imported(again, folder).labelled) == 3
    for source, known in known_of(again).items():
        assert np.array_equal(
            named(again, known), named(store, truths[Path(source).name.replace("_0000", "")])
        )
    again.close()


def test_images_that_are_held_out_are_the_validation_of_the_split(store: Store, tmp_path: Path):
    project_of_volumes(store, tmp_path / "in")
    store.rounds.hold_out(2)
    held = Path(store.image(2).source).name.removesuffix(".nii.gz")
    folder = data_set(exported(store, tmp_path / "out", "nnunet"))
    (split,) = json.loads((folder / "splits_final.json").read_text("utf-8"))
    listed = json.loads((folder / "datalist.json").read_text("utf-8"))
    (validation,) = listed["validation"]
    assert validation == {"image": [f"imagesTr/{held}_0000.nii.gz"], "label": f"labelsTr/{held}.nii.gz"}
    assert (
        all((folder / one["label"]).is_file() for one in listed["training"]) and len(listed["training"]) == 2
    )
    assert split["val"] == [held] and len(split["train"]) == 2 and held not in split["train"]


def test_colours_are_channels_and_another_number_of_channels_is_left_out_with_a_sentence(
    store: Store, tmp_path: Path
):
    picture_file(tmp_path / "in/grey.png")
    picture_file(tmp_path / "in/colour.png", (31, 44, 3))
    cell = store.add_class("background").id
    for image_id in imported(store, tmp_path / "in").added:
        add_labels(store, image_id, np.full((1, 31, 44), cell, np.uint8))
    out = exported(store, tmp_path / "out", "nnunet")
    folder = data_set(out)
    assert facts(folder)["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert facts(folder)["labels"] == {"background": 0, "background (class)": 1}
    pixels = np.asarray(Image.open(tmp_path / "in/colour.png"))
    for channel in range(3):
        read = sitk.ReadImage(str(folder / "imagesTr" / f"colour_{channel:04}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(read)[0], pixels[..., channel])
    assert not list(folder.rglob("grey*"))
    told = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    (grey,) = [one for one in told if one["name"] == "grey.png"]
    assert not grey["files"] and "has not the 3 channels" in grey["problems"][0]


def test_channels_of_a_case_are_one_case_again(store: Store, tmp_path: Path):
    for channel in (0, 1):
        volume_file(tmp_path / f"in/case_{channel:04}.nii.gz", "oblique")
    store.add_class("liver")
    truth = np.random.default_rng(1).integers(0, 2, (6, 5, 7)).astype(np.uint8)
    for image_id in imported(store, tmp_path / "in").added:
        shape = store.image(image_id).shape
        add_labels(store, image_id, truth.reshape(shape))
    folder = data_set(exported(store, tmp_path / "out", "nnunet"))
    assert sorted(p.name for p in folder.rglob("*.nii.gz")) == [
        "case.nii.gz", "case_0000.nii.gz", "case_0001.nii.gz",
    ]  # fmt: skip
    assert list(facts(folder)["channel_names"]) == ["0", "1"] and facts(folder)["numTraining"] == 1


def test_nnunet_checks_plans_and_preprocesses_it(store: Store, tmp_path: Path):
    command = shutil.which("nnUNetv2_plan_and_preprocess")
    if command is None:
        pytest.skip("nnunetv2 is not installed")
    project_of_volumes(store, tmp_path / "in")
    store.rounds.hold_out(1)
    folder = data_set(exported(store, tmp_path / "out", "nnunet"))
    places = {f"nnUNet_{name}": str(tmp_path / name) for name in ("preprocessed", "results")}
    done = subprocess.run(
        [command, "-d", "100", "--verify_dataset_integrity", "-np", "1", "-npfp", "1", "-c", "3d_fullres"],
        env={**os.environ, **places, "nnUNet_raw": str(folder.parent)},
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    assert "verify_dataset_integrity Done" in done.stdout
    assert len(list((tmp_path / "preprocessed" / folder.name).rglob("*_seg.b2nd"))) == 3
