"""Folders come in whole: bad files cost a line each, masks become labels, running it again changes nothing."""

import json
import os
import shutil
import sys
import uuid
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from annotator.exchange.import_files import find_files
from annotator.exchange.import_images import ImportReport, import_path
from annotator.jobs import Job
from storage import formats
from storage.arrays import SliceRef
from storage.fold import Folded, fold
from storage.store import Store
from tests.conftest import drawn

AFFINE = np.array([[0, -2.0, 0, 30], [1, 0, 0, -20], [0, 0, 3, 10], [0, 0, 0, 1]])


def picture(path: Path, shape: tuple[int, ...] = (12, 17), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)).save(path)


def mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def volume(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


def run(store: Store, path: Path, **options) -> ImportReport:
    return import_path(store, path, Job("import"), **options)


def folded(store: Store, image_id: int) -> Folded:
    return fold(store.image(image_id).shape, store.labels(image_id))


def class_names(store: Store) -> dict[int, str]:
    return {row.id: row.name for row in store.classes()}


def test_good_files_come_in_and_each_bad_one_costs_a_line(store: Store, tmp_path: Path):
    folder = tmp_path / "in"
    for name in ("slice10.png", "slice2.png", "deep/er/a.png", ".hidden/b.png", "__MACOSX/c.png"):
        picture(folder / name)
    whole = (folder / "slice2.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.nii.gz").touch()
    (folder / "program.exe").write_bytes(b"MZ" * 100)
    (folder / "README.md").write_text("notes")
    volume(folder / "four.nii", np.zeros((3, 4, 5, 2), np.int16))
    volume(folder / "nan.nii", np.full((3, 4, 5), np.nan, np.float32))
    report = run(store, folder)
    names = [store.image(i).source for i in report.added]
    assert names == ["deep/er/a.png", "slice2.png", "slice10.png"]
    assert {line.split(":")[0] for line in report.refused} == {
        "cut.png", "text.jpg", "empty.nii.gz", "program.exe", "four.nii", "nan.nii",
    }  # fmt: skip
    assert all(len(line.splitlines()) == 1 and str(tmp_path) not in line for line in report.refused)
    assert report.passed == ("README.md",) and report.message.endswith(", 1 no image: README.md")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep names that are no text")
def test_a_name_that_is_no_text_is_refused_and_the_rest_comes_in(store: Store, tmp_path: Path):
    picture(tmp_path / "in" / "good.png")
    bad = os.fsencode(tmp_path / "in") + b"/b\xff\xfed.png"
    shutil.copy(os.fsencode(tmp_path / "in" / "good.png"), bad)
    report = run(store, tmp_path / "in")
    assert len(report.added) == 1
    assert len(report.refused) == 1 and "rename it" in report.refused[0]
    assert "rename it" in run(store, Path(os.fsdecode(bad))).refused[0]


def test_links_to_folders_and_things_that_are_no_files_are_left_alone(store: Store, tmp_path: Path):
    picture(tmp_path / "outside" / "a.png")
    picture(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "in" / "pipe.png")
    report = run(store, tmp_path / "in")
    assert [store.image(i).source for i in report.added] == ["b.png"]


def test_running_it_again_adds_only_what_is_new(store: Store, tmp_path: Path):
    picture(tmp_path / "in" / "a.png")
    first = run(store, tmp_path / "in")
    picture(tmp_path / "in" / "b.png", seed=1)
    second = run(store, tmp_path / "in")
    assert (len(first.added), len(second.added), second.known) == (1, 1, 1)
    assert "1 there already" in second.message


def test_the_same_name_with_other_pixels_is_another_image(store: Store, tmp_path: Path):
    picture(tmp_path / "in" / "a.png")
    run(store, tmp_path / "in")
    picture(tmp_path / "in" / "a.png", seed=9)
    run(store, tmp_path / "in")
    assert [row.name for row in store.images()[1]] == ["a.png", "a.png (2)"]


def test_originals_are_not_touched(store: Store, tmp_path: Path):
    picture(tmp_path / "in" / "a.png")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "in").rglob("*")}
    run(store, tmp_path / "in")
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "in").rglob("*")}


def test_cancelling_keeps_what_was_finished(store: Store, tmp_path: Path):
    for number in range(5):
        picture(tmp_path / "in" / f"{number}.png", seed=number)

    def stop_at_the_third(job: Job) -> None:
        if job.progress.phase == "importing" and job.progress.done == 2:
            job.cancel()

    job = Job("import", stop_at_the_third)
    job._told_at = float("-inf")
    report = _unhurried(store, tmp_path / "in", job)
    assert 0 < len(report.added) < 5
    assert store.images()[0] == len(report.added)


def _unhurried(store: Store, path: Path, job: Job) -> ImportReport:
    """With every report told, so that the listener sees each file."""
    tell = job.report

    def report(phase: str, done: int, total: int, message: str = "") -> None:
        job._told_at = float("-inf")
        tell(phase, done, total, message)

    job.report = report  # type: ignore[method-assign]
    return import_path(store, path, job)


# masks


def test_masks_beside_their_images_become_labels_and_complete_slices(store: Store, tmp_path: Path):
    values = np.zeros((12, 17), np.uint8)
    values[3:7, 4:9] = 2
    values[8, 1] = 17
    picture(tmp_path / "set/images/a.png")
    mask(tmp_path / "set/labels/a.png", values)
    report = run(store, tmp_path)
    (image_id,) = report.added
    known = folded(store, image_id).known()[0]
    names = class_names(store)
    assert {names.get(v, "background") for v in np.unique(known)} == {"background", "2", "17"}
    assert np.array_equal(known > 0, values > 0)
    assert store.slice_states(image_id) == [(0, 0, "complete")]
    assert {label.source for label in store.labels(image_id)} == {"imported"}


def test_a_volume_mask_on_turned_axes_lands_on_every_slice_in_display_order(store: Store, tmp_path: Path):
    values = np.zeros((5, 6, 7), np.int16)
    values[1:3, 2:5, 3:6] = 1
    volume(tmp_path / "imagesTr/case_0000.nii.gz", np.arange(210).reshape(5, 6, 7).astype(np.int16))
    turned = nib.Nifti1Image(values, AFFINE).as_reoriented([[1, -1], [2, 1], [0, -1]])
    (tmp_path / "labelsTr").mkdir()
    nib.save(turned, tmp_path / "labelsTr/case.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    (image_id,) = run(store, tmp_path).added
    row = store.image(image_id)
    known = folded(store, image_id).known()
    assert np.array_equal(formats.grid_from_json(row.geometry).to_source(known), values)
    assert class_names(store) == {1: "liver"}
    assert len(store.slice_states(image_id)) == row.shape[0]


def test_object_numbers_become_instances_of_one_class(store: Store, tmp_path: Path):
    values = np.zeros((12, 17), np.uint16)
    values[1:4, 1:5], values[6:9, 2:7], values[10, 10:15] = 1, 2, 7
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values)
    (image_id,) = run(store, tmp_path).added
    labels = folded(store, image_id)
    assert class_names(store) == {1: "object"}
    assert labels.instances is not None and np.array_equal(labels.instances[0], values)
    assert store.next_instance(image_id) == 8


def test_whether_values_number_objects_can_be_said(store: Store, tmp_path: Path):
    values = np.zeros((12, 17), np.uint8)
    values[1:4, 1:5], values[6:9, 2:7] = 1, 2
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values)
    (image_id,) = run(store, tmp_path, objects=True).added
    assert class_names(store) == {1: "object"}
    assert folded(store, image_id).instances is not None


def test_tables_name_the_values_and_the_objects(store: Store, tmp_path: Path):
    values = np.zeros((12, 17), np.uint16)
    values[1:4, 1:5], values[6:9, 2:7], values[10, 10:15] = 1, 2, 3
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values)
    (tmp_path / "objects.csv").write_text("file,value,class\na.jpg,1,cat\na.jpg,2,dog\na.jpg,3,cat\n")
    (image_id,) = run(store, tmp_path).added
    labels = folded(store, image_id)
    names = class_names(store)
    assert labels.instances is not None
    at = {name: labels.instances[0][labels.classes[0] == class_id] for class_id, name in names.items()}
    assert {name: set(numbers.tolist()) for name, numbers in at.items()} == {"cat": {1, 3}, "dog": {2}}


def test_a_black_and_white_mask_is_one_object_class(store: Store, tmp_path: Path):
    values = np.zeros((12, 17), np.uint8)
    values[3:5, 3:9] = 255
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "masks/a.png", values)
    run(store, tmp_path)
    assert class_names(store) == {1: "object"}


def test_classes_are_found_again_by_name(store: Store, tmp_path: Path):
    store.add_class("something")
    liver = store.add_class("liver").id
    values = np.zeros((12, 17), np.uint8)
    values[3:5, 3:9] = 40
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values)
    (tmp_path / "labels.csv").write_text("value,name\n0,background\n40,liver\n")
    (image_id,) = run(store, tmp_path).added
    assert set(np.unique(folded(store, image_id).known())) == {0, liver}
    assert len(store.classes()) == 2


def test_labels_can_be_given_apart_from_the_images(store: Store, tmp_path: Path):
    values = np.ones((12, 17), np.uint8)
    picture(tmp_path / "here/a.png")
    picture(tmp_path / "here/b.png", seed=1)
    mask(tmp_path / "there/a.png", values)
    mask(tmp_path / "there/other.png", values)
    report = run(store, tmp_path / "here", labels=tmp_path / "there")
    assert [len(store.labels(i)) for i in report.added] == [2, 0]
    assert [line for line in report.refused if "other.png" in line]
    single = run(store, tmp_path / "here" / "b.png", labels=tmp_path / "there" / "other.png")
    assert len(store.labels(single.labelled[0])) == 2


def test_a_mask_of_another_size_or_kind_is_refused_and_the_image_stays(store: Store, tmp_path: Path):
    for name in ("a", "b", "c"):
        picture(tmp_path / f"images/{name}.png", seed=ord(name))
    mask(tmp_path / "labels/a.png", np.ones((12, 16), np.uint8))
    mask(tmp_path / "labels/b.png", np.random.default_rng(0).integers(0, 9, (12, 17, 3)).astype(np.uint8))
    (tmp_path / "labels/c.png").write_text("no picture")
    report = run(store, tmp_path)
    assert len(report.added) == 3
    refused = sorted(report.refused)
    assert [line.split(":")[0] for line in refused] == ["labels/a.png", "labels/b.png", "labels/c.png"]
    assert "resample the mask" in refused[0] and "colour picture" in refused[1]


def test_more_classes_than_a_project_holds_are_refused(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png", (20, 20))
    mask(tmp_path / "labels/a.png", np.arange(400, dtype=np.uint16).reshape(20, 20))
    assert "classes" in run(store, tmp_path, objects=False).refused[0]
    assert store.classes() == []


def test_labels_missing_after_a_crash_are_added_and_present_ones_are_not_repeated(
    store: Store, tmp_path: Path
):
    picture(tmp_path / "in/images/a.png")
    (image_id,) = run(store, tmp_path / "in").added  # as if killed before the masks: only the image is there
    mask(tmp_path / "in/labels/a.png", np.ones((12, 17), np.uint8))
    first, again = run(store, tmp_path / "in"), run(store, tmp_path / "in")
    assert first.added == () and first.labelled == (image_id,) and again.labelled == ()
    assert len(store.labels(image_id)) == 2


def test_a_project_among_its_images_is_passed_over(store: Store, tmp_path: Path):
    picture(tmp_path / "a.png")
    assert run(store, tmp_path).refused == ()


def test_nobodys_undo_takes_an_imported_mask_apart(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", np.ones((12, 17), np.uint8))
    (image_id,) = run(store, tmp_path).added
    event = store.add_label(drawn(SliceRef(image_id, 0, 0), np.full((2, 2), 1, np.uint8)))
    undo, _ = store.history.of("ann")
    assert [e.client_id for e in undo] == [event.client_id]


def test_the_order_is_the_same_every_time(tmp_path: Path):
    for name in ("b10.png", "B2.png", "a/1.png", "a/01.png", "A.png"):
        picture(tmp_path / name)
    found = find_files(tmp_path)
    assert [found.shown(f) for f in find_files(tmp_path).files] == [found.shown(f) for f in found.files]
    assert [found.shown(f) for f in found.files].index("B2.png") < [
        found.shown(f) for f in found.files
    ].index("b10.png")


# what comes from outside

SUFFIXES = [s for reader in formats.READERS.values() for s in reader.suffixes] + ["", ".raw", ".xyz"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=700),
    suffix=st.sampled_from(SUFFIXES),
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"NRRD0004\n", bytes(128) + b"DICM", b"\x5c\x01\0\0"]
    ),
)
def test_no_bytes_whatever_get_an_exception_out_of_the_importer(
    store: Store, tmp_path: Path, content, suffix, start
):
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    (folder / f"a{suffix}").write_bytes(start + content)
    report = run(store, folder)
    assert len(report.added) + len(report.refused) + report.known == 1


def damaged_files() -> list[str]:
    return [
        "a.nii",
        "a.nii.gz",
        "a.nrrd",
        "gz.nrrd",
        "a.mha",
        "gz.mha",
        "a.tif",
        "lzw.tif",
        "a.png",
        "a.jpg",
        "a.dcm",
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """One good file of each kind."""
    import pydicom
    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("whole")
    values = np.random.default_rng(2).integers(0, 255, (5, 6, 7)).astype(np.int16)
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / name))
    for name in ("gz.nrrd", "gz.mha"):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / name), True)
    pages = [Image.fromarray(page.astype(np.uint8)) for page in values]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(folder / "lzw.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    pages[0].save(folder / "a.png")
    pages[0].save(folder / "a.jpg")
    carried = Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small_RLE.dcm"
    shutil.copy(carried, folder / "a.dcm")
    return {name: (folder / name).read_bytes() for name in damaged_files()}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(damaged_files()))
def test_a_damaged_or_cut_file_is_read_or_refused_in_a_sentence(tmp_path_factory, whole, data, name):
    content = bytearray(whole[name])
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)
    ):
        content[place] = value
    content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    try:
        scan = formats.read(path)
    except formats.FileRefused as refusal:
        assert str(refusal).startswith("it") or str(refusal).startswith("slice")
        assert str(path.parent) not in str(refusal)
    else:
        assert np.isfinite(scan.pixels).all()


@settings(max_examples=200, deadline=None)
@given(share=st.floats(0.0, 0.999), name=st.sampled_from(damaged_files()))
def test_a_cut_file_is_refused_or_has_lost_no_pixel(tmp_path_factory, whole, share, name):
    path = tmp_path_factory.mktemp("cut") / name
    path.write_bytes(whole[name])
    expected = formats.read(path).pixels
    path.write_bytes(whole[name][: int(len(whole[name]) * share)])
    try:
        pixels = formats.read(path).pixels
    except formats.FileRefused:
        return
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("name", damaged_files())
def test_half_a_file_is_never_taken_for_a_whole_one(tmp_path: Path, whole: dict[str, bytes], name: str):
    (tmp_path / name).write_bytes(whole[name][: len(whole[name]) // 2])
    with pytest.raises(formats.FileRefused):
        formats.read(tmp_path / name)


# real sets


def test_a_set_of_real_volumes_comes_in_with_its_masks(store: Store, shared_data: Path, tmp_path: Path):
    names = [f"hippocampus_{n}.nii.gz" for n in ("001", "003", "004")]
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for name in names:
            shutil.copy(shared_data / "hippocampus" / part / name, tmp_path / part / name)
    report = run(store, tmp_path)
    assert not report.refused and len(report.added) == 3
    for image_id, name in zip(report.added, names):
        known = folded(store, image_id).known()
        source = formats.grid_from_json(store.image(image_id).geometry).to_source(known)
        assert np.array_equal(
            source, np.asarray(nib.Nifti1Image.from_filename(tmp_path / "labels" / name).dataobj)
        )


def test_values_with_gaps_become_consecutive_classes_under_their_names(store: Store, shared_data: Path):
    (image_id,) = run(store, shared_data / "brain-aseg").added
    truth = np.asarray(
        nib.Nifti1Image.from_filename(shared_data / "brain-aseg/labels/brain_001.nii.gz").dataobj
    )
    known = formats.grid_from_json(store.image(image_id).geometry).to_source(folded(store, image_id).known())
    names = class_names(store)
    assert sorted(names) == list(range(1, len(np.unique(truth))))
    assert set(np.unique(truth[known == next(i for i, n in names.items() if n == "Left-Hippocampus")])) == {
        17
    }
