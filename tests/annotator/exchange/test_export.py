"""Exports: on the image's exact grid, readable by others, all or nothing, with their provenance."""

import csv
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.export_report import _ranges
from annotator.exchange.import_images import import_path
from annotator.exchange.masks.value_names import read_names
from annotator.exchange.writers import WRITERS
from annotator.jobs import Cancelled, Job
from storage.arrays import UNLABELLED, Box, Patch, SliceRef
from storage.fold import fold
from storage.formats import grid_from_json
from storage.formats.shapes import coco
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

AFFINE = np.array([[0.1, -2.0, 0, 30], [1, 0.2, 0, -20], [0, 0, -3, 10], [0, 0, 0, 1]])
SHAPE = (5, 6, 7)


def imported(store: Store, path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.header["xyzt_units"] = 10
    nib.save(image, path)
    (image_id,) = import_path(store, path, Job("import")).added
    return image_id


def run(store: Store, target: Path, **request) -> Path:
    return export(store, target, ExportRequest(**request), Job("export"))


def label(store: Store, image_id: int, axis: int, index: int, *, complete: bool = False, **at) -> None:
    ref = SliceRef(image_id, axis, index)
    store.add_label(drawn(ref, np.full((2, 3), 1, np.uint8), **at))
    if complete:
        store.add_label(NewLabel(ref, None, f"{image_id}-{axis}-{index}", "ann"))


@pytest.fixture
def labelled(store: Store, tmp_path: Path) -> int:
    """A volume of which one slice is complete and one is half drawn."""
    store.add_class("liver")
    image_id = imported(
        store, tmp_path / "in" / "scan.nii.gz", np.arange(210).reshape(SHAPE).astype(np.int16)
    )
    label(store, image_id, 0, 2, complete=True, at=(1, 1))
    label(store, image_id, 2, 3, at=(0, 2))
    return image_id


def test_a_labelled_voxel_keeps_its_place_in_the_world(store: Store, labelled: int, tmp_path: Path):
    out = run(store, tmp_path / "out", ignore=255)
    written = nib.Nifti1Image.from_filename(out / "nifti" / "scan.nii.gz")
    original = nib.Nifti1Image.from_filename(tmp_path / "in" / "scan.nii.gz")
    affine = grid_from_json(store.image(labelled).geometry).display_affine
    assert affine is not None
    expected = {tuple(np.round(affine @ [2, r, c, 1], 3)) for r in (1, 2) for c in (1, 2, 3)}
    expected |= {tuple(np.round(affine @ [r, c, 3, 1], 3)) for r in (0, 1) for c in (2, 3, 4)}
    found = np.argwhere(np.asarray(written.dataobj) == 1)
    assert {tuple(np.round(np.asarray(written.affine) @ [*v, 1], 3)) for v in found} == expected
    assert np.array_equal(written.affine, original.affine)
    for name in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
        assert np.array_equal(written.header[name], original.header[name])
    assert written.get_data_dtype() == np.uint8


def test_unknown_is_told_from_background_when_asked(store: Store, labelled: int, tmp_path: Path):
    for ignore, counts in ((None, {0, 1}), (255, {0, 1, 255}), (1000, {0, 1, 1000})):
        out = run(store, tmp_path / f"out{ignore}", ignore=ignore)
        values = np.asarray(nib.Nifti1Image.from_filename(out / "nifti" / "scan.nii.gz").dataobj)
        assert set(np.unique(values)) == counts
        known = grid_from_json(store.image(labelled).geometry).to_display(values)[2]
        assert set(np.unique(known)) == {0, 1}  # the complete slice


def test_the_report_says_which_slices_are_labelled_in_the_files_own_axes(
    store: Store, labelled: int, tmp_path: Path
):
    out = run(store, tmp_path / "out", ignore=255)
    (image,) = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    assert image["slices_labelled"] == {"z": [2], "x": [3]} and image["slices_complete"] == {"z": [2]}
    values = np.asarray(nib.Nifti1Image.from_filename(out / "nifti" / "scan.nii.gz").dataobj)
    whole = [event for event in image["labels"] if event["kind"] == "complete"][0]
    cut = np.take(values, whole["file_index"], axis="ijk".index(whole["file_axis"]))
    assert set(np.unique(cut)) == {0, 1}
    text = (out / "README.txt").read_text("utf-8")
    assert f"complete: {whole['file_axis']} = {whole['file_index']}" in text and "partly labelled: " in text
    assert "of its voxels are known" in text


def test_provenance_records_every_event_but_no_long_prompts(store: Store, tmp_path: Path):
    store.add_class("liver")
    image_id = store.add_image(ball()[0])
    prompts = {"model": "graphcut", "points": [[1, 2]] * 50, "text": "x" * 5000}
    patch = Patch(Box(1, 2, 3, 5), np.ones((2, 3), np.uint8))
    ref = SliceRef(image_id, 1, 4)
    store.add_label(NewLabel(ref, patch, "one", "ann", "prompted", seconds=2.5, prompts=prompts, instance=3))
    record = json.loads((run(store, tmp_path / "out") / "provenance.json").read_text("utf-8"))
    (event,) = record["images"][0]["labels"]
    assert event["prompts"] == {"model": "graphcut", "points": 50, "text": "x" * 200}
    assert (event["author"], event["source"], event["seconds"], event["box"]) == (
        "ann",
        "prompted",
        2.5,
        [1, 2, 3, 5],
    )
    assert record["classes"] == [{"id": 1, "value": 1, "name": "liver", "color": store.classes()[0].color}]
    assert record["tool"] == "Slicewise" and record["unknown_is_background"]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_source_of_another_format_gets_nifti_at_the_same_place(store: Store, tmp_path: Path, suffix: str):
    image = sitk.GetImageFromArray(np.arange(210).reshape(7, 6, 5).astype(np.int16))
    image.SetSpacing((0.7, 1.5, 2.5))
    image.SetOrigin((-20, 30, 5))
    image.SetDirection((0, 0.6, -0.8, 1, 0, 0, 0, -0.8, -0.6))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    (image_id,) = import_path(store, tmp_path / f"a{suffix}", Job("import")).added
    store.add_class("liver")
    label(store, image_id, 0, 1, at=(2, 1))
    written = sitk.ReadImage(str(run(store, tmp_path / "out") / "nifti" / "a.nii.gz"))
    assert written.GetSize() == image.GetSize()
    for got, expected in (
        (written.GetSpacing(), image.GetSpacing()),
        (written.GetOrigin(), image.GetOrigin()),
        (written.GetDirection(), image.GetDirection()),
    ):
        assert np.allclose(got, expected, atol=1e-5)


def test_object_numbers_of_a_volume_are_a_second_file(store: Store, tmp_path: Path):
    image_id = imported(
        store, tmp_path / "scan.nii", np.zeros(SHAPE, np.int16) + np.arange(7, dtype=np.int16)
    )
    store.add_class("cell")
    patch = Patch(Box(0, 0, 2, 2), np.ones((2, 2), np.uint8), np.full((2, 2), 700, np.uint16))
    store.add_label(NewLabel(SliceRef(image_id, 0, 1), patch, "one", "ann", instance=700))
    out = run(store, tmp_path / "out", formats=("nifti",))
    numbers = nib.Nifti1Image.from_filename(out / "nifti" / "scan_instances.nii.gz")
    assert numbers.get_data_dtype() == np.uint16
    assert np.count_nonzero(np.asarray(numbers.dataobj) == 700) == 4


# pictures


@pytest.fixture
def cells(store: Store, tmp_path: Path) -> np.ndarray:
    """A picture with object numbers, and its truth."""
    numbers = np.zeros((12, 17), np.uint16)
    numbers[1:4, 1:5], numbers[6:9, 2:7], numbers[10, 10:15] = 1, 2, 300
    for name, values in (("images", np.arange(204, dtype=np.uint8).reshape(12, 17)), ("labels", numbers)):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / "in" / name / "a.png")
    import_path(store, tmp_path / "in", Job("import"))
    return numbers


def test_png_masks_hold_class_ids_and_object_numbers(store: Store, cells: np.ndarray, tmp_path: Path):
    out = run(store, tmp_path / "out", formats=("png",))
    assert np.array_equal(np.asarray(Image.open(out / "png" / "a.png")), cells > 0)
    assert np.array_equal(np.asarray(Image.open(out / "png" / "a_instances.png")), cells)
    rows = list(csv.DictReader((out / "labels.csv").read_text("utf-8").splitlines()))
    assert [(row["value"], row["name"]) for row in rows] == [("0", "background"), ("1", "object")]


def test_coco_reads_every_object_back(store: Store, cells: np.ndarray, tmp_path: Path):
    out = run(store, tmp_path / "out.d", formats=("coco",))
    read = COCO(out / "coco" / "annotations.json")
    masks = [read.annToMask(a) for a in read.loadAnns(read.getAnnIds())]
    assert len(masks) == 3
    for annotation, mask in zip(read.loadAnns(read.getAnnIds()), masks):
        number = int(cells[mask == 1][0])
        assert np.array_equal(mask == 1, cells == number)
        rows, columns = np.nonzero(cells == number)
        assert annotation["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["area"] == len(rows)
    assert read.loadCats(read.getCatIds())[0]["name"] == "object"
    assert read.loadImgs(read.getImgIds())[0]["file_name"] == "images/a.png"


@settings(max_examples=60, deadline=None)
@given(
    classes=arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 0, 1, 2, UNLABELLED])),
    numbers=arrays(np.uint16, (9, 11), elements=st.sampled_from([0, 1, 2])),
    numbered=st.booleans(),
)
def test_coco_masks_cover_exactly_what_is_labelled(classes, numbers, numbered):
    from pycocotools import mask as rle

    found = coco.annotations(classes, numbers if numbered else None, image_id=1, first_id=5)
    covered = np.zeros(classes.shape, np.uint8)
    for annotation in found:
        mask = rle.decode(annotation["segmentation"])
        assert mask.sum() == annotation["area"] == rle.area(annotation["segmentation"])
        assert not covered[mask == 1].any()
        assert rle.toBbox(annotation["segmentation"]).tolist() == annotation["bbox"]
        covered[mask == 1] = annotation["category_id"]
    assert np.array_equal(covered, np.where(classes == UNLABELLED, 0, classes))
    assert [a["id"] for a in found] == list(range(5, 5 + len(found)))


def test_what_was_exported_can_be_imported_again(store: Store, cells: np.ndarray, tmp_path: Path):
    out = run(store, tmp_path / "out", formats=("png",))
    (out / "png" / "a_instances.png").unlink()
    second = Store(tmp_path / "second")
    try:
        report = import_path(second, tmp_path / "in" / "images", Job("import"), labels=out / "png")
        assert not report.refused and [c.name for c in second.classes()] == ["object"]
    finally:
        second.close()


# all or nothing


def test_a_zip_holds_the_same_files(store: Store, labelled: int, tmp_path: Path):
    out = run(store, tmp_path / "out")
    run(store, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
        assert set(archive.namelist()) == names
        assert archive.read("nifti/scan.nii.gz") == (out / "nifti" / "scan.nii.gz").read_bytes()


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_cancelled_export_leaves_nothing_behind(store: Store, labelled: int, tmp_path: Path, name: str):
    job = Job("export")
    job.cancel()
    before = set(tmp_path.iterdir())
    with pytest.raises(Cancelled):
        export(store, tmp_path / name, ExportRequest(), job)
    assert set(tmp_path.iterdir()) == before


def test_a_failed_export_keeps_the_old_zip(store: Store, labelled: int, tmp_path: Path, monkeypatch):
    run(store, tmp_path / "out.zip")
    before = (tmp_path / "out.zip").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annotator.exchange.writers.nifti.write_labels", full)
    with pytest.raises(OSError, match="the disk is full"):
        run(store, tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == before
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.unfinished"))


def test_a_folder_with_files_in_it_is_not_overwritten(store: Store, labelled: int, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="choose a new folder"):
        run(store, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_wishes_that_cannot_be_met_are_refused_in_a_sentence(store: Store, tmp_path: Path):
    image_id = store.add_image(ball()[0])
    with pytest.raises(ValueError, match="label a slice first"):
        run(store, tmp_path / "out")
    store.add_class("liver")
    label(store, image_id, 0, 1)
    with pytest.raises(ValueError, match="value of class 'liver'"):
        run(store, tmp_path / "out", ignore=1)
    with pytest.raises(ValueError, match="volumes need nifti"):
        run(store, tmp_path / "out", formats=("coco",))
    with pytest.raises(LookupError, match="no image 99"):
        run(store, tmp_path / "out", images=(99,))
    with pytest.raises(ValueError, match="export formats are"):
        ExportRequest(formats=("dicom",))
    with pytest.raises(ValueError, match="between 0 and 65535"):
        ExportRequest(ignore=-1)
    assert not (tmp_path / "out").exists()


def test_a_torn_label_is_reported_and_the_rest_exported(store: Store, labelled: int, tmp_path: Path):
    torn = store.labels(labelled)[0].path
    assert torn is not None
    torn.write_bytes(torn.read_bytes()[:40])
    job = Job("export")
    out = export(store, tmp_path / "out", ExportRequest(), job)
    assert "cannot be read" in " ".join(job.refused)
    assert "attention:" in (out / "README.txt").read_text("utf-8")
    assert np.asarray(nib.Nifti1Image.from_filename(out / "nifti" / "scan.nii.gz").dataobj).sum() == 6


def test_images_of_one_name_do_not_overwrite_each_other(store: Store, tmp_path: Path):
    store.add_class("liver")
    for number, name in enumerate(("a/Scan.nii", "b/scan.nii.gz", "c/scan.nrrd.nii")):
        image_id = imported(store, tmp_path / name, np.full(SHAPE, number, np.int16))
        label(store, image_id, 0, 0)
    out = run(store, tmp_path / "out")
    names = [p.name.casefold() for p in (out / "nifti").iterdir()]
    assert len(names) == len(set(names)) == 3


def test_an_export_reads_a_project_that_is_open_elsewhere(store: Store, labelled: int, tmp_path: Path):
    other = Store.read_only(store.root)
    try:
        assert (run(other, tmp_path / "out") / "nifti" / "scan.nii.gz").is_file()
    finally:
        other.close()


@settings(max_examples=100, deadline=None)
@given(numbers=st.sets(st.integers(0, 40), min_size=1))
def test_ranges_name_every_number_once(numbers):
    said = [part.split("-") for part in _ranges(sorted(numbers)).split(", ")]
    assert [n for ends in said for n in range(int(ends[0]), int(ends[-1]) + 1)] == sorted(numbers)


def test_a_class_that_somebody_called_void_comes_back_from_our_own_export(
    store: Store, cells: np.ndarray, tmp_path: Path
):
    store.class_rows.rename(1, "void")
    out = run(store, tmp_path / "out")
    names = read_names([out / "labels.csv", out / "provenance.json"])
    assert names.classes[store.class_values.of(store.classes())[1]] == "void" and not names.void


def test_a_whole_export_comes_back_by_the_masks_that_lost_nothing(store: Store, tmp_path: Path):
    folder = tmp_path / "in/images"
    folder.mkdir(parents=True)
    Image.fromarray(np.arange(204, dtype=np.uint8).reshape(12, 17)).save(folder / "a.png")
    nib.save(
        nib.Nifti1Image(np.arange(210).reshape(5, 6, 7).astype(np.int16), np.eye(4)), folder / "v.nii.gz"
    )
    picture, scan = import_path(store, folder, Job("import")).added
    store.add_class("one")
    for ref in (SliceRef(picture, 0, 0), SliceRef(scan, 0, 2)):
        store.add_label(drawn(ref, np.ones((3, 4), np.uint8)))
    export(store, tmp_path / "out", ExportRequest(tuple(WRITERS), 255), Job("export"))
    second = Store(tmp_path / "second")
    try:
        report = import_path(second, folder, Job("import"), labels=tmp_path / "out")
        assert not report.refused and len(report.labelled) == 2
        for image_id in (picture, scan):
            before, after = (
                fold(s.image(image_id).shape, s.labels(image_id)).known() for s in (store, second)
            )
            assert np.array_equal(before, after)
    finally:
        second.close()
