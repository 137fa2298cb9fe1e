"""A copy of an image that is there is that image; blank pictures and files of one import stay apart; people decide."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import app
from annotator.exchange.copies import CopyChoice
from annotator.exchange.import_act import as_one_act
from annotator.exchange.import_images import ImportReport, carry_out
from annotator.exchange.import_look import ImportLook, look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.exchange.import_tags import import_tags
from annotator.jobs import Job
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage.store import Store
from tests.annotator.exchange.test_import_images import folded, mask, picture, volume

FIRST, SECOND = np.zeros((12, 17), np.uint8), np.zeros((12, 17), np.uint8)
FIRST[1:4, 1:4], SECOND[7:11, 8:14] = 1, 2


def take(store: Store, path: Path, copies: CopyChoice = "", **options) -> ImportReport:
    with as_one_act(store, path.name):
        request = ImportRequest(path, copies=copies, **options)
        return carry_out(store, plan_import(facts_of(store), request, Job("import")))


def seen(store: Store, path: Path, copies: CopyChoice = "") -> ImportLook:
    facts = facts_of(store, images=True)
    return look_at(plan_import(facts, ImportRequest(path, copies=copies), Job("look")), facts)


@pytest.fixture
def original(store: Store, tmp_path: Path) -> int:
    """An image with a mask; the folder `copies` holds its picture under another name, with another mask."""
    picture(tmp_path / "first/images/a.png", seed=1)
    mask(tmp_path / "first/labels/a.png", FIRST)
    (image_id,) = take(store, tmp_path / "first").added
    (tmp_path / "copies/images").mkdir(parents=True)
    shutil.copy(tmp_path / "first/images/a.png", tmp_path / "copies/images/other name.png")
    mask(tmp_path / "copies/labels/other name.png", SECOND)
    return image_id


def test_a_copy_under_another_name_is_the_image_and_its_mask_joins(
    store: Store, tmp_path: Path, original: int
):
    (image,) = seen(store, tmp_path / "copies").images
    assert image.taken and image.like == ("it has the same pixels as images/a.png, which is in the project")
    assert image.earlier == "it joins first/labels/a.png"
    report = take(store, tmp_path / "copies")
    assert (report.added, report.labelled, report.copies) == ((), (original,), 1)
    assert any("images/other name.png: it has the same pixels" in note for note in report.notes)
    assert np.array_equal(folded(store, original).known()[0], FIRST + SECOND)


def test_the_same_copy_again_changes_nothing(store: Store, tmp_path: Path, original: int):
    take(store, tmp_path / "copies")
    clock = store.newest_label()
    report = take(store, tmp_path / "copies")
    assert (report.added, report.known, report.copies, report.labelled) == ((), 1, 0, ())
    assert store.newest_label() == clock and not report.refused


def test_both_are_kept_where_somebody_says_so(store: Store, tmp_path: Path, original: int):
    take(store, tmp_path / "copies")
    assert not seen(store, tmp_path / "copies", "both").images[0].taken
    (own,) = take(store, tmp_path / "copies", "both").added
    assert np.array_equal(folded(store, own).known()[0], SECOND)
    again = take(store, tmp_path / "copies")
    assert (again.added, again.known) == ((), 1) and store.images()[0] == 2


def test_masks_named_apart_and_tags_go_to_the_image_that_is_there(
    store: Store, tmp_path: Path, original: int
):
    shutil.move(tmp_path / "copies/labels", tmp_path / "masks")
    (tmp_path / "masks/images").mkdir()
    shutil.move(tmp_path / "masks/other name.png", tmp_path / "masks/images/other name.png")
    assert take(store, tmp_path / "copies", labels=tmp_path / "masks").labelled == (original,)
    (tmp_path / "tags.csv").write_text("image,class,present\nimages/other name.png,torn,1\n")
    report = import_tags(store, tmp_path / "tags.csv")
    assert report.tagged == 1 and not report.refused
    assert [tag.ref.image_id for tag in store.tags.of()] == [original]


def test_a_copy_that_was_undone_is_no_name_of_the_image(store: Store, tmp_path: Path, original: int):
    take(store, tmp_path / "copies")
    act = store.acts.newest()[0]
    Repair(store, LabelCache(store)).undo("ann", act.id)
    assert np.array_equal(folded(store, original).known()[0], FIRST)
    assert not store.sources.copies()
    assert take(store, tmp_path / "copies").labelled == (original,)


def test_blank_pictures_and_twins_of_one_import_are_images_of_their_own(store: Store, tmp_path: Path):
    for n in range(3):
        mask(tmp_path / f"frames/{n}.png", FIRST * 0)
    for name in ("a", "b"):
        picture(tmp_path / f"frames/{name}.png", seed=4)
    look = seen(store, tmp_path / "frames")
    assert [bool(image.like) for image in look.images] == [False, True, True, False, True]
    assert look.as_json()["alike"] == 3 and look.as_json()["taken"] == 0
    report = take(store, tmp_path / "frames")
    assert len(report.added) == 5 and len([n for n in report.notes if "same pixels" in n]) == 3
    assert take(store, tmp_path / "frames").known == 5
    picture(tmp_path / "frames/c.png", seed=4)  # a frozen frame that comes later, beside the others
    assert len(take(store, tmp_path / "frames").added) == 1
    mask(tmp_path / "more/blank.png", FIRST * 0)
    assert "blank too" in seen(store, tmp_path / "more").images[0].like
    assert len(take(store, tmp_path / "more").added) == 1


def test_twins_of_one_import_are_one_where_somebody_says_so(store: Store, tmp_path: Path):
    for name in ("x/a", "y/a"):
        picture(tmp_path / f"set/images/{name}.png", seed=4)
    mask(tmp_path / "set/labels/x/a.png", FIRST)
    mask(tmp_path / "set/labels/y/a.png", SECOND)
    report = take(store, tmp_path / "set", "same")
    assert len(report.added) == 1 and report.copies == 1
    assert np.array_equal(folded(store, report.added[0]).known()[0], FIRST + SECOND)
    again = take(store, tmp_path / "set")
    assert not again.added and not again.labelled and store.images()[0] == 1


def test_a_copy_in_another_format_and_with_another_header_is_found_too(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    volume(tmp_path / "in/s.nii.gz", pixels, np.eye(4))
    (image_id,) = take(store, tmp_path / "in").added
    (tmp_path / "other").mkdir()
    nib.save(nib.Nifti1Image(pixels, np.diag([1.0, 1, 4, 1])), tmp_path / "other/t.nii")
    (image,) = seen(store, tmp_path / "other").images
    assert image.taken and "4 x 1 x 1 mm" in image.header
    assert "--take-headers" in take(store, tmp_path / "other").refused[0]
    assert take(store, tmp_path / "other", take_headers=True).changed == (image_id,)
    assert store.images()[0] == 1


def test_a_copy_that_says_nothing_of_its_place_takes_none_away(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 6, 7)).astype(np.uint8)
    volume(tmp_path / "in/s.nii.gz", pixels.T, np.diag([-1.0, -1, 1, 1]))
    (image_id,) = take(store, tmp_path / "in").added
    mask(tmp_path / "other/t.png", np.asarray(store.pixels(image_id))[0])
    assert seen(store, tmp_path / "other").images[0].header == ""
    report = take(store, tmp_path / "other", take_headers=True)
    assert report.copies == 1 and not report.refused and not report.changed
    assert store.image(image_id).spacing_mm == (1, 1, 1)


def test_images_of_older_versions_are_found_by_their_pixels(store: Store, tmp_path: Path, original: int):
    store.sources.note_pixels({original: ""})
    assert take(store, tmp_path / "copies").copies == 1
    assert store.image(original).pixels


def test_files_that_are_too_many_to_compare_are_told(
    store: Store, tmp_path: Path, original: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("annotator.exchange.look_copies.MOST_VOXELS", 12 * 17)
    picture(tmp_path / "copies/images/b.png", seed=9)
    picture(tmp_path / "copies/images/c.png", seed=8)
    look = seen(store, tmp_path / "copies")
    assert any("2 files have the size of images that are here" in line for line in look.warnings)
    assert take(store, tmp_path / "copies").copies == 1


def test_the_command_line_tells_and_takes_the_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folder, name in (("one", "a"), ("two", "b")):
        (tmp_path / folder).mkdir()
        Image.fromarray(SECOND + FIRST).save(tmp_path / folder / f"{name}.png")
    project = ["--project", str(tmp_path / "project")]
    assert app.main(["import", str(tmp_path / "one"), *project]) == 0
    assert app.main(["import", str(tmp_path / "two"), *project, "--dry-run"]) == 0
    assert "it is taken as that image, and --copies both would keep both" in capsys.readouterr().out
    assert app.main(["import", str(tmp_path / "two"), *project]) == 0
    assert "1 file taken as images that are here" in capsys.readouterr().out
    assert app.main(["import", str(tmp_path / "two"), *project, "--copies", "both"]) == 0
    assert "1 imported" in capsys.readouterr().out
