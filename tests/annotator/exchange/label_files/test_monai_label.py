"""A studies folder of MONAI Label: what people saved becomes labels, what models answered does not."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage.store import Store
from tests.annotator.exchange.label_files.test_slicer import segment, write
from tests.support.labelled_projects import VOLUME, VOLUMES, affine, imported, known_of, named, volume_file

MASK = np.zeros(VOLUME, np.uint8)
MASK[2:4, 1:4, 3:5], MASK[5, 0, 0] = 1, 2
SAVED = {"label_info": [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 2}], "client_id": "slicer-3"}
TURNED = {"label_info": [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}], "user": "anna"}


def saved(folder: Path, tag: str, name: str, values: np.ndarray = MASK) -> None:
    path = folder / "labels" / tag / f"{name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine(name)), path)


def note(folder: Path, labels: dict[str, dict[str, Any]], ext: str = ".nii.gz") -> None:
    """As MONAI Label 0.8 keeps its store: {image: {tag: what was said when it was saved}}."""
    objects = {
        name: {
            "image": {"ext": ".nii.gz", "info": {"ts": 1}},
            "labels": {tag: {"ext": ext, "info": info} for tag, info in tags.items()},
        }
        for name, tags in labels.items()
    }
    store = {"name": "new_dataset", "description": "", "objects": objects}
    (folder / "datastore_v2.json").write_text(json.dumps(store))


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for kind in VOLUMES:
        volume_file(tmp_path / f"studies/{kind}.nii.gz", kind)
    return tmp_path / "studies"


def test_what_people_saved_lies_voxel_by_voxel_and_values_follow_the_names_of_each(
    store: Store, studies: Path
):
    for name in VOLUMES:
        saved(studies, "final", name)
        saved(studies, "original", name, 1 - MASK // 2)
    labels = {name: {"original": {}, "final": SAVED} for name in VOLUMES}
    labels["flat"]["final"] = TURNED
    note(studies, labels)
    report = imported(store, studies)
    assert len(report.added) == len(report.labelled) == 3 and not report.refused
    for source, known in known_of(store).items():
        first, second = ("liver", "spleen") if source == "flat.nii.gz" else ("spleen", "liver")
        said = named(store, known)
        assert np.count_nonzero(said == first) == 12 and np.count_nonzero(said == second) == 1
    events = {row.source: store.labels(row.id)[0].prompts.get("by") for row in store.images(limit=-1)[1]}
    assert events == {"flat.nii.gz": "anna", "flipped.nii.gz": "slicer-3", "oblique.nii.gz": "slicer-3"}


def test_reviewed_versions_count_and_answers_of_models_are_told(store: Store, studies: Path):
    for tag in ("version_2", "version_10"):
        saved(studies, tag, "oblique", MASK if tag == "version_10" else 1 - MASK // 2)
    saved(studies, "original", "flat")
    reviewed = {**SAVED, "segmentationMeta": {"approvedBy": "prof"}}
    note(studies, {"oblique": {"version_2": SAVED, "version_10": reviewed}, "flat": {"original": SAVED}})
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(studies), Job("import")), facts)
    assert [image.why for image in look.images if image.mask] == ["a studies folder of MONAI Label"]
    report = imported(store, studies)
    assert len(report.added) == 3 and len(report.labelled) == 1
    assert "1 label of tag original left out: a model's answer that nobody saved" in "".join(report.notes)
    assert np.count_nonzero(known_of(store)["oblique.nii.gz"]) == 13
    assert store.labels(report.labelled[0])[0].prompts["by"] == "prof"


def test_segments_of_3d_slicer_keep_their_names(store: Store, studies: Path):
    fields = segment(0, "spleen", 1, 0) | segment(1, "liver", 2, 0)
    write(studies / "labels/final/oblique.seg.nrrd", MASK, affine("oblique"), **fields)
    note(studies, {"oblique": {"final": {}}}, ext=".seg.nrrd")
    assert len(imported(store, studies).labelled) == 1
    said = named(store, known_of(store)["oblique.nii.gz"])
    assert np.count_nonzero(said == "spleen") == 12 and np.count_nonzero(said == "liver") == 1


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"flat": {"final": {}}}, "its label final/flat.nii.gz is not there; copy the whole folder"),
        ({"../flat": {"final": {}}}, "it names a label outside its own folder"),
        ({"gone": {"final": {}}}, "no imported image has the name of this mask"),
    ],
)
def test_what_is_not_there_costs_a_sentence(
    store: Store, studies: Path, labels: dict[str, dict[str, Any]], told: str
):
    note(studies, labels)
    (line,) = imported(store, studies).refused
    assert told in line and not store.classes()


def test_a_damaged_label_costs_its_own_image_alone(store: Store, studies: Path):
    for name in VOLUMES:
        saved(studies, "final", name)
    (studies / "labels/final/flat.nii.gz").write_bytes(b"no volume")
    note(studies, {name: {"final": SAVED} for name in VOLUMES})
    report = imported(store, studies)
    assert len(report.added) == 3 and len(report.labelled) == 2
    (line,) = report.refused
    assert "flat" in line
