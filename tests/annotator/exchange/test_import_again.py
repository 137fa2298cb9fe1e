"""Importing again: the newest mask stands alone, people's own labels stay, a changed header is taken when asked."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from annotator.exchange.import_act import as_one_act
from annotator.exchange.import_images import ImportReport, carry_out
from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from annotator.labels.class_edits import ClassEdits
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage import formats
from storage.arrays import SliceRef
from storage.events.acts import NewAct
from storage.formats import grid_of_image
from storage.scan import Scan
from storage.store import Store
from tests.annotator.exchange.test_import_images import class_names, folded, mask, picture, run, volume
from tests.conftest import drawn

GHOST, KEPT = (slice(1, 4), slice(1, 4)), (slice(7, 11), slice(8, 14))


def values(*places: tuple[slice, slice], dtype: type = np.uint8) -> np.ndarray:
    array: np.ndarray = np.zeros((12, 17), dtype)
    for number, place in enumerate(places, start=1):
        array[place] = number if dtype is np.uint16 else 1
    return array


def corrected(store: Store, folder: Path, **kind) -> int:
    """An image whose mask was imported, mended and imported again."""
    picture(folder / "images/a.png")
    mask(folder / "labels/a.png", values(GHOST, KEPT, **kind))
    (image_id,) = run(store, folder).added
    mask(folder / "labels/a.png", values(KEPT, **kind))
    report = run(store, folder)
    assert (report.known, report.labelled, report.replaced) == (1, (image_id,), 1)
    return image_id


def test_a_corrected_mask_leaves_nothing_of_the_one_before(store: Store, tmp_path: Path):
    image_id = corrected(store, tmp_path)
    assert np.array_equal(folded(store, image_id).known()[0], values(KEPT))
    assert run(store, tmp_path).labelled == ()


def test_object_numbers_of_a_corrected_mask_are_replaced_too(store: Store, tmp_path: Path):
    labels = folded(store, corrected(store, tmp_path, dtype=np.uint16))
    assert labels.instances is not None
    assert np.array_equal(labels.instances[0], values(KEPT, dtype=np.uint16))


def test_a_mask_that_was_mended_to_nothing_says_nothing(store: Store, tmp_path: Path):
    image_id = corrected(store, tmp_path)
    mask(tmp_path / "labels/a.png", values())
    run(store, tmp_path)
    assert not folded(store, image_id).known().any()


def test_the_first_mask_can_come_back_after_the_second(store: Store, tmp_path: Path):
    image_id = corrected(store, tmp_path)
    mask(tmp_path / "labels/a.png", values(GHOST, KEPT))
    run(store, tmp_path)
    assert np.array_equal(folded(store, image_id).known()[0], values(GHOST, KEPT))


def test_taking_the_newer_import_back_brings_the_older_one_back(store: Store, tmp_path: Path):
    image_id = corrected(store, tmp_path)
    act = next(label.client_id for label in store.labels(image_id) if "--" not in label.client_id)
    store.revoke(act, client_id="undo", author="import")
    assert np.array_equal(folded(store, image_id).known()[0], values(GHOST, KEPT))
    store.restore(act, client_id="redo", author="import")
    assert np.array_equal(folded(store, image_id).known()[0], values(KEPT))


def test_what_people_drew_since_stays(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values(GHOST))
    (image_id,) = run(store, tmp_path).added
    other = store.add_class("other").id
    store.add_label(drawn(SliceRef(image_id, 0, 0), np.full((2, 3), other, np.uint8), at=(8, 9)))
    mask(tmp_path / "labels/a.png", values(KEPT))
    run(store, tmp_path)
    expected = values(KEPT)
    expected[8:10, 9:12] = other
    assert np.array_equal(folded(store, image_id).known()[0], expected)
    assert store.slice_states(image_id) == [(0, 0, "complete")]


# headers


def headers(store: Store, path: Path, *, take: bool) -> ImportReport:
    request = ImportRequest(path, take_headers=take)
    return carry_out(store, plan_import(facts_of(store), request, Job("import")))


def test_a_mended_spacing_is_said_and_taken_when_asked(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    volume(tmp_path / "in/s.nii.gz", pixels, np.eye(4))
    (image_id,) = run(store, tmp_path / "in").added
    assert not run(store, tmp_path / "in").refused
    affine = np.diag([0.7, 0.7, 3, 1.0])
    affine[:3, 3] = -20, -30, 40
    volume(tmp_path / "in/s.nii.gz", pixels, affine)
    report = headers(store, tmp_path / "in", take=False)
    assert "3 x 0.7 x 0.7 mm" in report.refused[0] and "--take-headers" in report.refused[0]
    assert store.image(image_id).spacing_mm == (1.0, 1.0, 1.0)
    report = headers(store, tmp_path / "in", take=True)
    assert report.changed == (image_id,) and not report.refused
    assert store.image(image_id).spacing_mm == pytest.approx((3.0, 0.7, 0.7))
    assert not headers(store, tmp_path / "in", take=False).refused


def test_a_header_that_turns_the_image_makes_no_second_image(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    volume(tmp_path / "in/s.nii.gz", pixels, np.eye(4))
    run(store, tmp_path / "in")
    nib.save(nib.Nifti1Image(pixels, np.diag([-1.0, 1, 1, 1])), tmp_path / "in/s.nii.gz")
    report = run(store, tmp_path / "in")
    assert not report.added and "another way now; take it with --take-headers" in report.refused[0]
    affine = np.eye(4)[[2, 0, 1, 3]]
    nib.save(nib.Nifti1Image(pixels, affine), tmp_path / "in/s.nii.gz")
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(tmp_path / "in"), Job("look")), facts)
    assert "another way" in look.images[0].header and look.as_json()["headers"] == 1


def test_a_header_that_turns_the_image_is_taken_with_its_labels_and_undone(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    said = np.zeros((5, 6, 7), np.uint8)
    said[1:3, 2:4, 3:5] = 1
    for affine in (
        np.eye(4),
        np.diag([-2.0, 0, 0, 1])[[0, 2, 1, 3]] + np.eye(4)[[3, 2, 1, 0]] * [0, 1, 1, 0],
    ):
        volume(tmp_path / "images/s.nii.gz", pixels, affine)
        volume(tmp_path / "labels/s.nii.gz", said, affine)
        with as_one_act(store, "set"):
            report = headers(store, tmp_path, take=True)
    (now,) = report.turned.values()
    (image,) = store.images()[1]
    assert report.turned == {1: now} and image.id == now and not report.refused
    grid = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    assert np.array_equal(grid.to_source(store.pixels(now)), pixels)
    assert np.array_equal(grid.to_source(folded(store, now).known()), said)
    repair, act = Repair(store, LabelCache(store)), store.acts.newest(1)[0].id
    assert repair.undo("ann", act).became == {now: 1}
    assert [row.id for row in store.images()[1]] == [1] and (folded(store, 1).known() == 1).sum() == 8
    assert repair.redo("ann", act).became == {1: now}
    assert [row.id for row in store.images()[1]] == [now] and (folded(store, now).known() == 1).sum() == 8


def test_a_copy_elsewhere_is_an_image_of_its_own(store: Store, tmp_path: Path):
    picture(tmp_path / "in/x/a.png")
    (tmp_path / "in/y").mkdir()
    shutil.copy(tmp_path / "in/x/a.png", tmp_path / "in/y/a.png")
    assert len(run(store, tmp_path / "in").added) == 2


# many files


def test_a_file_that_is_known_is_not_read_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number in range(70):  # more than are written together
        picture(tmp_path / f"in/{number}.png", seed=number)
    added = run(store, tmp_path / "in").added
    assert [store.image(i).name for i in added] == [f"{n}.png" for n in range(70)]
    read: list[Path] = []
    real = formats.read

    def reading(path: Path) -> Scan:
        read.append(path)
        return real(path)

    monkeypatch.setattr(formats, "read", reading)
    assert run(store, tmp_path / "in").known == 70 and not read
    picture(tmp_path / "in/7.png", seed=700)
    report = run(store, tmp_path / "in")
    assert (report.known, len(report.added), [path.name for path in read]) == (69, 1, ["7.png"])


def test_a_known_file_still_gets_the_mask_that_came_later(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    (image_id,) = run(store, tmp_path).added
    mask(tmp_path / "labels/a.png", values(KEPT))
    assert run(store, tmp_path).labelled == (image_id,)


def test_two_names_alike_and_thousands_alike_stay_apart(store: Store, tmp_path: Path):
    for number in range(5):
        picture(tmp_path / f"in/{number}/a.png", seed=number)
    added = run(store, tmp_path / "in").added
    assert [store.image(i).name for i in added] == ["a.png", *(f"a.png ({n})" for n in range(2, 6))]


def test_images_of_the_bin_are_read_anew(store: Store, tmp_path: Path):
    picture(tmp_path / "in/a.png")
    (image_id,) = run(store, tmp_path / "in").added
    with store.acts.doing(NewAct("delete", "Deleted", "ann")) as act:
        store.bin.put([image_id], act)
    assert len(run(store, tmp_path / "in").added) == 1


# masks of several folders


def test_organs_and_tumours_of_two_folders_add_up(store: Store, tmp_path: Path):
    image_id = organ_and_tumour(store, tmp_path)
    expected = values(KEPT)
    expected[8:10, 9:12] = 2
    assert class_names(store) == {1: "organ", 2: "tumour"}
    assert np.array_equal(folded(store, image_id).known()[0], expected)
    assert store.slice_states(image_id) == [(0, 0, "complete")]


def organ_and_tumour(store: Store, folder: Path) -> int:
    """A tumour within an organ, each from a folder of its own."""
    picture(folder / "images/a.png")
    name_values(folder / "organs", {1: "organ"})
    mask(folder / "organs/a.png", values(KEPT))
    (image_id,) = run(store, folder / "images", labels=folder / "organs").added
    name_values(folder / "tumours", {1: "tumour"})
    mask(folder / "tumours/a.png", values(TUMOUR))
    report = run(store, folder / "images", labels=folder / "tumours")
    assert (report.labelled, report.replaced) == ((image_id,), 0)
    assert report.notes[-1] == "a.png: 6 voxels of other classes from organs/a.png become its own"
    return image_id


def name_values(folder: Path, names: dict[int, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{value},{name}\n" for value, name in names.items()]
    (folder / "labels.csv").write_text("value,name\n" + "".join(rows))


TUMOUR = (slice(8, 10), slice(9, 12))


def test_a_mended_organ_leaves_the_tumour_where_it_is(store: Store, tmp_path: Path):
    image_id = organ_and_tumour(store, tmp_path)
    assert not run(store, tmp_path / "images", labels=tmp_path / "tumours").labelled
    mask(tmp_path / "organs/a.png", values(GHOST))
    report = run(store, tmp_path / "images", labels=tmp_path / "organs")
    assert report.replaced == 1
    expected = values(GHOST)
    expected[TUMOUR] = 2
    assert np.array_equal(folded(store, image_id).known()[0], expected)


def test_masks_of_the_same_classes_elsewhere_replace_each_other_and_keep_the_rest(
    store: Store, tmp_path: Path
):
    image_id = organ_and_tumour(store, tmp_path)
    name_values(tmp_path / "second", {1: "tumour", 2: "vessel"})
    both = values()
    both[GHOST], both[11, 16] = 1, 2
    mask(tmp_path / "second/a.png", both)
    report = run(store, tmp_path / "images", labels=tmp_path / "second")
    assert report.replaced == 1
    expected = values(KEPT)  # the organ stays, with a hole where the tumour of before had been
    expected[TUMOUR] = 1
    expected[GHOST], expected[11, 16] = 2, 3
    assert np.array_equal(folded(store, image_id).known()[0], expected)


def test_of_a_mask_with_several_classes_only_those_that_come_anew_are_replaced(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    name_values(tmp_path / "first", {1: "liver", 2: "spleen"})
    first = values(KEPT)
    first[GHOST] = 2
    mask(tmp_path / "first/a.png", first)
    (image_id,) = run(store, tmp_path / "images", labels=tmp_path / "first").added
    name_values(tmp_path / "second", {1: "liver"})
    mask(tmp_path / "second/a.png", values(TUMOUR))
    run(store, tmp_path / "images", labels=tmp_path / "second")
    expected = values(TUMOUR)
    expected[GHOST] = 2
    assert np.array_equal(folded(store, image_id).known()[0], expected)
    files = {label.prompts["file"] for label in store.labels(image_id)}
    assert files == {"a.png"} and {label.prompts["from"] for label in store.labels(image_id)} == {
        "first/a.png",
        "second/a.png",
    }


def test_what_one_mask_does_not_know_the_other_does_not_make_background(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    for name, void in (("organ", GHOST), ("tumour", (slice(0, 1), slice(0, 4)))):
        name_values(tmp_path / name, {1: name, 2: "void"})
        said = values(KEPT if name == "organ" else TUMOUR)
        said[void] = 2
        mask(tmp_path / f"{name}/a.png", said)
        image_id = run(store, tmp_path / "images", labels=tmp_path / name).labelled[0]
    known = folded(store, image_id).known()[0]
    expected = values(KEPT)
    expected[TUMOUR], expected[GHOST], expected[0, 0:4] = 2, 255, 255
    assert np.array_equal(known, expected)
    assert store.slice_states(image_id) == [(0, 0, "labelled")]


def test_a_person_s_label_lies_over_masks_that_are_said_again(store: Store, tmp_path: Path):
    image_id = organ_and_tumour(store, tmp_path)
    other = store.add_class("other").id
    store.add_label(drawn(SliceRef(image_id, 0, 0), np.full((1, 3), other, np.uint8), at=(8, 9)))
    name_values(tmp_path / "second", {1: "vessel", 2: "organ"})
    mask(tmp_path / "second/a.png", values(KEPT))
    run(store, tmp_path / "images", labels=tmp_path / "second")
    assert (folded(store, image_id).known()[0, 8, 9:12] == other).all()


def test_an_import_that_joined_and_replaced_is_undone_as_a_whole(store: Store, tmp_path: Path):
    image_id = organ_and_tumour(store, tmp_path)
    before = folded(store, image_id).known()
    states = store.slice_states(image_id)
    name_values(tmp_path / "second", {1: "organ", 2: "void"})
    said = values(GHOST)
    said[5, 5] = 2
    mask(tmp_path / "second/a.png", said)
    with as_one_act(store, "second"):
        run(store, tmp_path / "images", labels=tmp_path / "second")
    after = folded(store, image_id).known()
    assert after[0, 5, 5] == 255 and not np.array_equal(before, after)
    repair, (act, *_) = Repair(store, LabelCache(store)), store.acts.newest(1)
    repair.undo("ann", act.id)
    assert np.array_equal(folded(store, image_id).known(), before)
    assert store.slice_states(image_id) == states
    repair.redo("ann", act.id)
    assert np.array_equal(folded(store, image_id).known(), after)


def test_the_look_says_what_joins_and_what_is_replaced(store: Store, tmp_path: Path):
    organ_and_tumour(store, tmp_path)
    name_values(tmp_path / "vessels", {1: "vessel"})
    mask(tmp_path / "vessels/a.png", values((slice(8, 9), slice(8, 11))))
    request = ImportRequest(tmp_path / "images", tmp_path / "vessels")
    facts = facts_of(store, images=True)
    (image,) = look_at(plan_import(facts, request, Job("look")), facts).images
    assert image.earlier == (
        "it joins organs/a.png, tumours/a.png; "
        "3 voxels of other classes from organs/a.png, tumours/a.png become its own"
    )
    report = run(store, tmp_path / "images", labels=tmp_path / "vessels")
    assert report.notes[-1].startswith("a.png: 3 voxels")


def test_undoing_an_import_brings_replaced_labels_and_the_header_of_before_back(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    volume(tmp_path / "images/s.nii.gz", pixels, np.eye(4))
    said = np.zeros((5, 6, 7), np.uint8)
    said[1:3, 2:4, 3:5] = 1
    volume(tmp_path / "labels/s.nii.gz", said, np.eye(4))
    (image_id,) = run(store, tmp_path).added
    before, header = folded(store, image_id).known(), store.sources.header(image_id)
    mended = np.diag([0.7, 0.7, 3, 1.0])
    volume(tmp_path / "images/s.nii.gz", pixels, mended)
    volume(tmp_path / "labels/s.nii.gz", said[::-1].copy(), mended)
    with as_one_act(store, "mended"):
        report = headers(store, tmp_path, take=True)
    assert (report.changed, report.replaced) == ((image_id,), 1)
    after, repair = folded(store, image_id).known(), Repair(store, LabelCache(store))
    (act,) = store.acts.newest(1)
    repair.undo("ann", act.id)
    assert np.array_equal(folded(store, image_id).known(), before) and not np.array_equal(before, after)
    assert store.sources.header(image_id) == header and store.image(image_id).spacing_mm == (1, 1, 1)
    repair.redo("ann", act.id)
    assert np.array_equal(folded(store, image_id).known(), after)
    assert store.image(image_id).spacing_mm == pytest.approx((3.0, 0.7, 0.7))


@pytest.mark.parametrize("into", ["", "other"])
def test_a_class_that_was_deleted_or_merged_comes_again_with_its_mask(
    store: Store, tmp_path: Path, into: str
):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values(KEPT))
    (image_id,) = run(store, tmp_path).added
    edits, other = ClassEdits(store, LabelCache(store)), store.add_class("other").id
    change = {"op": "merge", "id": 1, "into": other} if into else {"op": "delete", "id": 1}
    edits.edit("ann", change)
    assert run(store, tmp_path).labelled == (image_id,)
    known = folded(store, image_id).known()[0]
    again = next(row.id for row in store.classes() if row.name == "1")
    assert np.array_equal(known == again, values(KEPT) == 1) and not (known == other).any()
    assert run(store, tmp_path).labelled == ()


def test_a_class_that_was_renamed_keeps_its_new_name(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", values(GHOST))
    (image_id,) = run(store, tmp_path).added
    edits = ClassEdits(store, LabelCache(store))
    for name in ("lever", "liver"):
        edits.edit("ann", {"op": "rename", "id": 1, "name": name})
    assert not run(store, tmp_path).labelled, "it says what it said"
    mask(tmp_path / "labels/a.png", values(KEPT))
    picture(tmp_path / "images/b.png", seed=5)
    mask(tmp_path / "labels/b.png", values(KEPT))
    report = run(store, tmp_path)
    assert report.replaced == 1 and class_names(store) == {1: "liver"}
    assert "1 is the class liver, as it is called now" in report.notes[0]
    for image in (image_id, *report.added):
        assert np.array_equal(folded(store, image).known()[0], values(KEPT))
    store.add_class("1")  # somebody wants it anew
    assert store.class_rows.former() == {"lever": "liver"}
