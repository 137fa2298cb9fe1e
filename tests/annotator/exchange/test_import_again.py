"""Importing again: the newest mask stands alone, people's own labels stay, a changed header is taken when asked."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from annotator.exchange.import_images import ImportReport, carry_out
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage import formats
from storage.arrays import SliceRef
from storage.events.acts import NewAct
from storage.scan import Scan
from storage.store import Store
from tests.annotator.exchange.test_import_images import folded, mask, picture, run, volume
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
    assert not report.added and "another way" in report.refused[0]


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
