"""The headline script on a folder in the Medical Segmentation Decathlon's layout: from files to masks and a model."""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchmarks import headline


def decathlon(folder: Path, count: int) -> Path:
    """Volumes of 20 x 24 x 24 voxels with a bright ellipsoid."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "blob"}}))
    for n in range(count):
        rng = np.random.default_rng(n)
        x, y, z = np.ogrid[:20, :24, :24]
        truth = ((x - 9) ** 2 + (y - 11) ** 2 + (z - 12 + n % 3) ** 2 < 50).astype(np.uint8)
        pixels = (80 + 90 * truth + rng.normal(0, 10, truth.shape)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), folder / "imagesTr" / f"case_{n}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(truth, np.eye(4)), folder / "labelsTr" / f"case_{n}.nii.gz")
    return folder


@pytest.mark.slow
@pytest.mark.thorough
def test_two_slices_a_volume_become_masks_and_a_model(tmp_path, monkeypatch, capsys):
    data, out = decathlon(tmp_path / "Task99", 3), tmp_path / "out"
    words = ["--data", data, "--out", out, "--volumes", 2, "--tests", 1, "--seconds", 9]
    monkeypatch.setattr(
        sys, "argv", ["headline", *(str(w) for w in (*words, "--json", tmp_path / "rows.json"))]
    )
    headline.main()
    rows = {row["method"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())[1:]}
    assert rows["fills of the labelled volumes"] > 0.9 and "propagated, unseen volumes" in rows
    assert (out / "model" / "model.safetensors").is_file() and (out / "model" / "predict.py").is_file()
    masks = sorted((out / "masks" / "nifti").rglob("*.nii.gz"))
    assert len(masks) == 2
    for n, path in enumerate(masks):
        found = np.asarray(nibabel.load(path).dataobj)
        truth = np.asarray(nibabel.load(data / "labelsTr" / f"case_{n}.nii.gz").dataobj)
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


@pytest.mark.parametrize("layout", [(), ("imagesTr",)])
def test_a_folder_that_is_something_else_is_refused_in_a_sentence(tmp_path, layout):
    for name in layout:
        (tmp_path / name).mkdir()
    with pytest.raises(SystemExit, match="imagesTr and labelsTr"):
        headline.subjects(tmp_path, 8, 20)
    with pytest.raises(SystemExit, match="has 2 volumes"):
        headline.subjects(decathlon(tmp_path / "few", 2), 8, 20)
