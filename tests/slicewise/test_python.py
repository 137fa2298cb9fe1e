"""A project from Python: arrays in, arrays out, and the same steps as on the command line."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

import slicewise
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from slicewise import UNLABELLED, Project
from storage.fold import fold
from storage.store import Store
from tests.conftest import ROOT, ball

SHAPE = (7, 11, 9)
NOTEBOOK = ROOT / "docs" / "python.ipynb"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return slicewise.open(tmp_path / "p")


def labels_of_two_slices() -> np.ndarray:
    """Slice 2 wholly, slice 5 in one corner, of the others nothing."""
    said = np.full(SHAPE, UNLABELLED, np.int64)
    said[2] = 0
    said[2, 3:8, 2:6] = 7
    said[5, :2, :2] = 9
    return said


def test_an_array_becomes_an_image_once(project):
    pixels = np.random.default_rng(0).normal(0, 50, SHAPE)
    image = project.add_image("scan", pixels, (3, 1, 0.5))
    again = project.add_image("scan", pixels, (3, 1, 0.5))
    assert (image.id, len(project)) == (again.id, 1)
    assert image.spacing_mm == (3, 1, 0.5) and image.shape == SHAPE
    np.testing.assert_array_equal(image.pixels, pixels.astype(np.float32))
    colour = project.add_image("photo", np.zeros((4, 5, 3), np.uint8))
    assert colour.shape == (1, 4, 5) and colour.pixels.shape == (1, 4, 5, 3)
    assert [one.name for one in project] == ["scan", "photo"]


def test_arrays_become_the_channels_of_one_image(project):
    rng = np.random.default_rng(0)
    given = {"DNA": rng.integers(0, 60000, SHAPE).astype(np.uint16), "ratio": rng.normal(size=SHAPE)}
    image = project.add_image("cells", given, (3, 1, 0.5))
    assert project.add_image("cells", given, (3, 1, 0.5)).id == image.id and image.spacing_mm == (3, 1, 0.5)
    assert list(image.channels) == ["DNA", "ratio"] and image.pixels.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(image.channels["DNA"], given["DNA"])
    np.testing.assert_array_equal(image.channels["ratio"], given["ratio"].astype(np.float32))
    for wrong in ({"DNA": given["DNA"]}, {"DNA": given["DNA"], "small": np.zeros((2, 2))}):
        with pytest.raises(ValueError, match="two or more grey arrays of one shape"):
            project.add_image("wrong", wrong)


def test_labels_come_back_as_they_were_said(project):
    image = project.add_image("scan", np.zeros(SHAPE, np.int16))
    said = labels_of_two_slices()
    assert image.add_labels(said, names={7: "organ", 9: "vessel"}) == 2
    organ, vessel = project.classes["organ"], project.classes["vessel"]
    wanted = np.select([said == 7, said == 9], [organ, vessel], said)
    np.testing.assert_array_equal(image.labels(), wanted)
    assert image.add_labels(wanted) == 0, "what is said already is not said again"
    with_store = Store.existing(project.root)
    assert {row.author for row in with_store.labels(image.id)} != {"import"}
    assert (0, 2, "complete") in with_store.slice_states(image.id)
    with_store.close()


def test_objects_keep_their_numbers(project):
    image = project.add_image("cells", np.zeros((6, 8), np.uint8))
    cell = project.add_class("cell")
    classes = np.zeros((6, 8), np.uint8)
    objects = np.zeros((6, 8), np.uint16)
    classes[1:3, 1:7] = cell
    objects[1:3, 1:4], objects[1:3, 4:7] = 1, 300
    assert image.add_labels(classes, objects) == 1
    np.testing.assert_array_equal(image.objects()[0], objects)
    objects[1:3, 4:7] = 2
    assert image.add_labels(classes, objects) == 1
    np.testing.assert_array_equal(image.objects()[0], objects)


def test_labels_of_an_array_are_one_step_that_repair_takes_back(project):
    image = project.add_image("scan", np.zeros(SHAPE, np.int16))
    image.add_labels(labels_of_two_slices(), names={7: "organ", 9: "vessel"})
    store = Store.existing(project.root)
    repair = Repair(store, LabelCache(store))
    (act,) = repair.acts()
    assert act["title"] == "Imported scan: labels from Python on 1 image"
    repair.undo("ann", act["id"])
    store.close()
    assert (image.labels() == UNLABELLED).all() and project.classes == {}


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((3, 3, 3), np.uint8), "has (7, 11, 9) voxels"),
        (np.zeros(SHAPE), "whole numbers"),
        (np.full(SHAPE, 4), "hold 4, which is no class; say what it is"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_a_remedy(project, labels, sentence):
    image = project.add_image("scan", np.zeros(SHAPE, np.int16))
    with pytest.raises(ValueError) as refused:
        image.add_labels(labels)
    assert sentence in str(refused.value)
    assert (image.labels() == UNLABELLED).all()


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.zeros((2, 2, 2, 2, 2)), "an image is"),
        (np.full((4, 4), np.nan), "scan: all of its voxels"),
        (np.zeros((0, 4)), "no pixels"),
    ],
)
def test_an_array_that_is_no_image_is_refused(project, pixels, sentence):
    with pytest.raises(ValueError) as refused:
        project.add_image("scan", pixels)
    assert sentence in str(refused.value)


def test_files_come_in_and_masks_leave_on_their_grid(project, tmp_path):
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])
    mask = np.zeros((6, 5, 4), np.uint8)
    mask[1:4, 2:4, 1:3] = 1
    for folder, values in (("images", np.arange(120).reshape(6, 5, 4).astype(np.int16)), ("labels", mask)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "data" / folder / "case.nii.gz")
    report = project.add_images(tmp_path / "data")
    assert len(report.added) == 1 and len(report.labelled) == 1
    (image,) = project
    assert image.labels().sum() == mask.sum() and image.affine is not None
    folder = project.export(tmp_path / "out", "nifti")
    (file,) = folder.rglob("*.nii.gz")
    np.testing.assert_array_equal(np.asarray(nibabel.load(file).dataobj), mask)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        project.add_images(tmp_path / "nowhere")
    with pytest.raises(LookupError, match="there is no image 'other'"):
        project["other"]


def test_it_reads_while_the_project_is_open_and_says_who_has_it(project):
    image = project.add_image("scan", np.zeros(SHAPE, np.int16))
    store = Store.existing(project.root)
    try:
        assert len(project) == 1 and image.labels().shape == SHAPE
        with pytest.raises(RuntimeError, match="is open"):
            image.add_labels(np.zeros(SHAPE, np.uint8))
    finally:
        store.close()


def test_a_model_is_trained_proposes_and_leaves(project, tmp_path, one_thread):
    truths = {}
    for seed in range(2):
        scan, truth = ball((9, 33, 39), seed=seed)
        truths[project.add_image(f"scan {seed}", scan.pixels, (2, 1, 1)).name] = truth
    with pytest.raises(RuntimeError, match="supervised: "):
        project.train("supervised", seconds=2)
    project.add_class("ball")
    project["scan 0"].add_labels(truths["scan 0"])
    (learned,) = project.train("supervised", seconds=2)
    assert learned.learner == "supervised"
    assert project["scan 1"].proposal().shape == (9, 33, 39)
    assert {item.image for item in project.rank(count=3)} <= {"scan 0", "scan 1"}
    scan, _ = ball((9, 33, 39), seed=5)
    project.add_image("later", scan.pixels, (2, 1, 1))
    assert "later" in {one.image for one in project.predict()}
    assert (project.export_model(tmp_path / "model", "supervised") / "model.safetensors").exists()
    bundle = project.export_model(tmp_path / "bundle", "supervised", bundle=True)
    assert (bundle / "configs" / "inference.json").exists()


def test_xarray_names_the_axes_in_millimetres(project):
    pytest.importorskip("xarray")
    image = project.add_image("scan", np.zeros(SHAPE, np.int16), (3, 1, 0.5))
    held = image.to_xarray()
    assert held["pixels"].dims == ("z", "y", "x") and held["labels"].shape == SHAPE
    assert float(held["x"][2]) == 1.0 and held.attrs["unit"] == "mm"


def test_the_notebook_runs(tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    shared: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), shared)
    project = shared["project"]
    assert isinstance(project, Project)
    store = Store.read_only(project.root)
    rows = store.images(limit=-1)[1]
    assert len(rows) == 3 and fold(rows[0].shape, store.labels(rows[0].id)).known_share > 0
    store.close()
