"""BIDS derivatives: nibabel finds every voxel, and the table says what each value is."""

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np

from storage.store import Store
from tests.support.labelled_projects import add_labels, exported, imported, project_of_volumes, volume_file

FILE = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_dseg\.(nii\.gz|json)")


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "bids" / "desc-manual_dseg.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_volumes_and_codes_are_written_as_derivatives(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in")
    liver = store.classes()[0]
    store.class_rows.set_code(liver.id, "SCT 10200004 Liver structure")
    out = exported(store, tmp_path / "out", "bids", ignore=9)
    for source, truth in truths.items():
        name = source.removesuffix(".nii.gz")
        path = out / "bids" / f"sub-{name}" / "anat" / f"sub-{name}_desc-manual_dseg.nii.gz"
        written, original = nib.nifti1.load(path), nib.nifti1.load(tmp_path / "in" / source)
        np.testing.assert_array_equal(written.affine, original.affine)
        values = np.asarray(written.dataobj)
        counts = np.bincount(values.ravel(), minlength=10)
        assert counts[[0, 1, 2, 9]].tolist() == [(truth == v).sum() for v in (0, 1, 2, 255)]
        about = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text("utf-8"))
        assert about["RawSources"] == [source]
        assert about["Classes"]["1"]["Code"] == {
            "Scheme": "SCT",
            "Value": "10200004",
            "Meaning": "Liver structure",
        }
    rows = table(out)
    assert [(r["index"], r["name"], r["code"]) for r in rows] == [
        ("0", "background", "n/a"),
        ("1", "liver", "10200004"),
        ("2", "Tumour, left", "n/a"),
        ("9", "unlabelled", "n/a"),
    ]
    facts = json.loads((out / "bids" / "dataset_description.json").read_text("utf-8"))
    assert facts["DatasetType"] == "derivative" and facts["GeneratedBy"][0]["Name"] == "Slicewise"


def test_names_of_bids_keep_their_entities_and_others_stay_apart(store: Store, tmp_path: Path):
    for name in ("sub-01_ses-a_T1w", "sub-01_ses-a_MTRmap", "a b", "a-b", "A.b"):
        volume_file(tmp_path / "in" / f"{name}.nii.gz", "oblique")
        path = tmp_path / "in" / f"{name}.nii.gz"
        image = nib.nifti1.load(path)
        shifted = np.asarray(image.dataobj) + np.int16(len(list((tmp_path / "in").iterdir())))
        nib.save(nib.Nifti1Image(shifted, image.affine), path)
    store.add_class("liver")
    for image_id in imported(store, tmp_path / "in").added:
        add_labels(store, image_id, np.ones(store.image(image_id).shape, np.uint8))
    out = exported(store, tmp_path / "out", "bids")
    files = {p.relative_to(out / "bids").as_posix() for p in (out / "bids").rglob("sub-*_dseg.*")}
    assert len(files) == 10 and all(FILE.fullmatch(file.rpartition("/")[2]) for file in files)
    start = "sub-01/ses-a/anat/sub-01_ses-a_space-"
    assert {f"{start}{kind}_desc-manual_dseg.nii.gz" for kind in ("T1w", "MTRmap")} <= files
