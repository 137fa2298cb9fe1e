"""A header is mended: spacing, sides of the patient, or all of another file's. What lies otherwise is shown so."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import app
from annotator.exchange.export_labels import ExportRequest, export
from annotator.jobs import Job
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage.arrays import SliceRef
from storage.formats import grid_of_image
from storage.formats.reoriented import reoriented
from storage.rows import ImageRow, NewLabel
from storage.store import Store
from tests.annotator.exchange.test_import_images import folded, run, volume
from tests.conftest import drawn

PIXELS = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
SKEWED = np.array([[0, -2.0, 0, 30], [1, 0, 0, -20], [0, 0, 3, 10], [0, 0, 0, 1]])


@pytest.fixture
def labelled(store: Store, tmp_path: Path) -> Store:
    """A volume in a turned file, with one stroke on its second slice from the head."""
    volume(tmp_path / "in/s.nii.gz", PIXELS, SKEWED)
    (image_id,) = run(store, tmp_path / "in").added
    store.add_class("one")
    store.add_label(drawn(SliceRef(image_id, 0, 1), np.ones((2, 3), np.uint8), at=(0, 1)))
    return store


def repair(store: Store) -> Repair:
    return Repair(store, LabelCache(store))


def exported(store: Store, folder: Path) -> nib.Nifti1Image:
    out = export(store, folder / "out", ExportRequest(("nifti",)), Job("export"))
    image = nib.load(out / "nifti/s.nii.gz")
    assert isinstance(image, nib.Nifti1Image)
    return image


def centre_mm(image: nib.Nifti1Image) -> np.ndarray:
    """Where the labels of a mask lie in the world."""
    place = np.argwhere(np.asarray(image.dataobj) > 0).mean(axis=0)
    return image.affine @ [*place, 1]


def shown(store: Store) -> ImageRow:
    (row,) = store.images(limit=-1)[1]
    return row


def test_the_image_is_shown_as_its_header_says_with_its_labels(labelled: Store):
    labelled.add_class("two")
    sagittal = drawn(SliceRef(1, 2, 3), np.array([[1, 2], [0, 2], [255, 1]], np.uint8), at=(1, 2))
    labelled.add_label(sagittal)
    labelled.add_label(NewLabel(SliceRef(1, 1, 4), None, "complete", "ann"))
    labelled.rounds.hold_out(1, 0, 1)
    known, pixels = folded(labelled, 1).known(), labelled.pixels(1).copy()
    states = labelled.slice_states(1)
    assert labelled.image(1).marks == (("S", "I"), ("A", "P"), ("R", "L"))
    said = repair(labelled).set_orientation("ann", 1, ("A", "S", "L"))
    image = shown(labelled)
    assert "its first slice is A, its top S, its left L" in said.message and said.became == {1: image.id}
    assert image.marks == (("S", "I"), ("A", "P"), ("R", "L")), "head up, as every image"
    assert image.spacing_mm == pytest.approx((1, 3, 2)) and image.name == "s.nii.gz"

    def turned(values: np.ndarray) -> np.ndarray:
        return values.transpose(1, 0, 2)[:, :, ::-1]

    assert np.array_equal(labelled.pixels(image.id), turned(pixels))
    assert np.array_equal(folded(labelled, image.id).known(), turned(known))
    assert {row.author for row in labelled.labels(image.id)} == {"ann"}
    again = {(1, 1): (0, 1), (2, 3): (2, 3), (0, 4): (1, 4)}  # now -> before
    width = labelled.image(image.id).shape[2]
    for axis, index, state in labelled.slice_states(image.id):
        before = again[(axis, width - 1 - index if axis == 2 else index)]
        assert (*before, state) in states
    assert labelled.rounds.held_out() == {(image.id, 1, 1)}


def test_a_turned_image_turns_back_and_again_and_its_mask_stays_on_the_file(labelled: Store, tmp_path: Path):
    first, known = exported(labelled, tmp_path / "before"), folded(labelled, 1).known()
    act_of = repair(labelled)
    act_of.set_orientation("ann", 1, ("I", "P", "L"))
    mask, turned = exported(labelled, tmp_path / "after"), shown(labelled)
    assert np.array_equal(mask.dataobj, first.dataobj), "the same voxels of the file"
    assert nib.aff2axcodes(mask.affine) != nib.aff2axcodes(first.affine)
    act = labelled.acts.newest(1)[0].id
    back = act_of.undo("ann", act)
    assert shown(labelled).id == 1 and back.became == {turned.id: 1}
    assert np.array_equal(folded(labelled, 1).known(), known)
    act_of.redo("ann", act)
    assert shown(labelled).id == turned.id
    assert np.array_equal(exported(labelled, tmp_path / "again").dataobj, first.dataobj)
    labelled.add_label(drawn(SliceRef(turned.id, 0, 0), np.ones((2, 2), np.uint8)))
    with pytest.raises(ValueError, match="was labelled since"):
        act_of.undo("ann", act)
    assert shown(labelled).id == turned.id and len(labelled.labels(turned.id)) == 2


def test_a_file_that_was_turned_is_known_again(labelled: Store, tmp_path: Path):
    repair(labelled).set_orientation("ann", 1, ("A", "S", "L"))
    report = run(labelled, tmp_path / "in")
    assert not report.added and labelled.images()[0] == 1


def test_a_mask_of_the_mended_file_lands_on_the_image_as_it_lies(labelled: Store, tmp_path: Path):
    """Somebody mends the header here; a colleague's mask comes with the right header in canonical order."""
    repair(labelled).set_orientation("ann", 1, ("A", "S", "L"))
    truth = exported(labelled, tmp_path)
    nib.save(nib.as_closest_canonical(truth), tmp_path / "truth.nii.gz")
    expected = folded(labelled, shown(labelled).id).known()
    repair(labelled).undo("ann", labelled.acts.newest(1)[0].id)
    (label,) = labelled.labels(1)
    labelled.revoke(label.client_id, client_id="u", author=label.author)
    repair(labelled).set_orientation("ann", 1, ("A", "S", "L"))
    image = shown(labelled)
    report = run(labelled, tmp_path / "in", labels=tmp_path / "truth.nii.gz")
    assert report.labelled == (image.id,), report.refused
    known = folded(labelled, image.id).known()
    assert np.array_equal((known > 0) & (known < 255), expected == 1)


def test_a_nifti_with_another_spacing_can_be_exported(labelled: Store, tmp_path: Path):
    repair(labelled).set_spacing("ann", 1, (5.0, 0.7, 0.7))
    mask = exported(labelled, tmp_path)
    assert sorted(mask.header.get_zooms()) == pytest.approx([0.7, 0.7, 5.0])
    assert nib.aff2axcodes(mask.affine) == nib.aff2axcodes(SKEWED)


def test_a_header_is_taken_from_another_file_and_undone(labelled: Store, tmp_path: Path, capsys):
    header, root = labelled.sources.header(1), labelled.root
    labelled.close()
    volume(tmp_path / "right.nii.gz", PIXELS * 0, np.diag([-0.5, 0.5, 4, 1]))
    words = ["header", "s.nii.gz", "--like", str(tmp_path / "right.nii.gz"), "--project", str(root)]
    assert app.main(["repair", *words]) == 0
    assert "Gave s.nii.gz the header of right.nii.gz" in capsys.readouterr().out
    store = Store(root)
    assert np.allclose(exported(store, tmp_path).affine, np.diag([-0.5, 0.5, 4, 1]))
    repair(store).undo("ann", store.acts.newest(1)[0].id)
    assert store.sources.header(1) == header
    store.close()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["orientation", "s.nii.gz", "--ends", "S", "I", "R"], "one of A and P"),
        (["orientation", "s.nii.gz"], "--ends FIRST TOP LEFT"),
        (["header", "s.nii.gz", "--like", "SMALL"], "take the header of a file of the same size"),
        (["header", "s.nii.gz", "--like", "NONE"], "cannot be opened"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(labelled: Store, tmp_path: Path, words, line, capsys):
    labelled.close()
    volume(tmp_path / "SMALL.nii", PIXELS[:3], np.eye(4))
    named = [str(tmp_path / f"{word}.nii") if word in ("SMALL", "NONE") else word for word in words]
    assert app.main(["repair", *named, "--project", str(labelled.root)]) == 1
    assert line in capsys.readouterr().err


def test_sides_without_a_spacing_are_refused():
    grid = grid_of_image({}, (5, 6, 7), None)
    with pytest.raises(ValueError, match="give it a spacing first"):
        reoriented(grid, ("S", "A", "R"))
