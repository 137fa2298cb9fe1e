"""Masks, tags and groups find their image by its path, or by a name that only one image has; else they are refused."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from annotator.exchange.import_tags import import_tags
from annotator.exchange.matching import AmbiguousName, NamedItem, NameIndex
from annotator.learning.image_groups import import_groups, read_groups
from storage.store import Store
from tests.annotator.exchange.test_import_images import class_names, folded, mask, picture, run


def index(*paths: str, folders: tuple[str, ...] = ()) -> NameIndex[str]:
    return NameIndex(NamedItem(path, path, path in folders) for path in (*paths, *folders))


@pytest.mark.parametrize(
    ("name", "paths", "found"),
    [
        ("x/a.png", ["x/a.png", "y/a.png"], "x/a.png"),
        ("x\\a.png", ["x/a.png", "y/a.png"], "x/a.png"),
        ("./x/a.png", ["x/a.png", "a.png"], "x/a.png"),
        ("a.png", ["a.png", "a.jpg"], "a.png"),
        ("a.tif", ["a.nii.gz", "b.nii.gz"], "a.nii.gz"),
        ("a.nii", ["a.nii.gz", "a.nii"], "a.nii"),
        ("a.png", ["A.png", "a.png"], "a.png"),
        ("A.PNG", ["a.png", "b.png"], "a.png"),
        ("a.tif", ["a.ome.tif"], "a.ome.tif"),
        ("scan.v2.nii.gz", ["scan.v1.nii.gz", "scan.v2.nii.gz"], "scan.v2.nii.gz"),
        ("case.nii.gz", ["case_0000.nii.gz"], "case_0000.nii.gz"),
        ("img_0001.png", ["img_0001.png", "img_0002.png"], "img_0001.png"),
        ("/data/set/x/a.png", ["x/a.png", "y/a.png"], "x/a.png"),
        ("a.png", ["deep/er/a.png"], "deep/er/a.png"),
        ("x/b.png", ["x/a.png"], None),
        ("z/a.png", ["x/a.png"], None),
        ("", ["a.png"], None),
    ],
)
def test_a_name_means_the_one_it_fits_best(name, paths, found):
    assert index(*paths).one(name) == found


def test_unicode_forms_are_one_name():
    composed, apart = (unicodedata.normalize(form, "Müller.png") for form in ("NFC", "NFD"))
    assert index(composed).one(apart) == composed and index(apart).one(composed) == apart


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("a.png", ["x/a.png", "y/a.png"]),
        ("a.tif", ["a.png", "a.jpg"]),
        ("a", ["a.nii.gz", "a.nii"]),
        ("x/a.png", ["1/x/a.png", "2/x/a.png"]),
        ("img.png", ["img_0001.png", "img_0002.png"]),
    ],
)
def test_a_name_that_fits_several_is_refused_and_names_two(name, paths):
    with pytest.raises(AmbiguousName, match=r" or ") as refused:
        index(*paths).find(name)
    assert all(path in str(refused.value) for path in paths)


def test_the_channels_of_a_case_share_its_mask():
    channels = ["case_0000.nii.gz", "case_0001.nii.gz"]
    match = index(*channels, "other_0000.nii.gz").find("case.nii.gz")
    assert match is not None and match.items == tuple(channels)
    with pytest.raises(LookupError, match="channels"):
        index(*channels).one("case.nii.gz")


def test_dots_in_the_name_of_a_folder_are_no_ending():
    series = index("patient.2", folders=("patient.1", "patient.1.png"))
    assert series.one("patient.1.nii.gz") == "patient.1"
    assert series.one("patient.1.png.nii") == "patient.1.png"


def test_masks_in_the_same_folders_elsewhere_go_each_to_their_own_image(store: Store, tmp_path: Path):
    for number, folder in enumerate("xy"):
        picture(tmp_path / f"images/{folder}/img.png", seed=number)
        mask(tmp_path / f"elsewhere/{folder}/img.png", np.full((12, 17), 1 + number, np.uint8))
    report = run(store, tmp_path / "images", labels=tmp_path / "elsewhere")
    assert [int(folded(store, i).classes.max()) for i in report.added] == [1, 2] and not report.refused


def test_a_flat_mask_for_two_images_of_one_name_is_refused_with_both(store: Store, tmp_path: Path):
    for number, folder in enumerate("xy"):
        picture(tmp_path / f"images/{folder}/img.png", seed=number)
    mask(tmp_path / "flat/img.png", np.ones((12, 17), np.uint8))
    report = run(store, tmp_path / "images", labels=tmp_path / "flat")
    assert not report.labelled and "x/img.png" in report.refused[0] and "y/img.png" in report.refused[0]


def test_one_mask_file_goes_to_the_image_of_its_name_only(store: Store, tmp_path: Path):
    for number, name in enumerate("abc"):
        picture(tmp_path / f"images/{name}.png", seed=number)
    mask(tmp_path / "one/b.png", np.ones((12, 17), np.uint8))
    report = run(store, tmp_path / "images", labels=tmp_path / "one/b.png")
    assert [store.image(i).name for i in report.labelled] == ["b.png"]


def test_of_two_masks_the_one_of_the_whole_name_is_taken_and_no_mask_becomes_an_image(
    store: Store, tmp_path: Path
):
    picture(tmp_path / "images/a.png")
    mask(tmp_path / "labels/a.png", np.ones((12, 17), np.uint8))
    mask(tmp_path / "labels/a.jpg", np.full((12, 17), 255, np.uint8))
    report = run(store, tmp_path)
    assert len(report.added) == 1 and report.labelled == report.added
    assert [line.split(":")[0] for line in report.refused] == ["labels/a.jpg"]


def test_of_two_masks_that_fit_alike_none_is_taken(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    for ending in ("bmp", "tif"):
        mask(tmp_path / f"labels/a.{ending}", np.ones((12, 17), np.uint8))
    report = run(store, tmp_path)
    assert not report.labelled and len(report.refused) == 2
    assert "labels/a.tif" in report.refused[0] and "labels/a.bmp" in report.refused[1]


def test_tags_and_groups_refuse_a_name_of_two_images_and_take_their_paths(store: Store, tmp_path: Path):
    for number, folder in enumerate("xy"):
        picture(tmp_path / f"in/{folder}/a.png", seed=number)
    first, second = run(store, tmp_path / "in").added
    rows = "a.png;cat;1\nx\\a.png;cat;1\ny/a.png;dog;1\n"
    (tmp_path / "tags.csv").write_text("Image;Class;Present\n" + rows, "utf-16")
    report = import_tags(store, tmp_path / "tags.csv")
    assert report.tagged == 2 and "x/a.png or y/a.png" in report.refused[0]
    assert [tag.ref.image_id for tag in store.tags.of()] == [first, second]
    (tmp_path / "groups.csv").write_text("file\tgroup\na.png\tA\na.png (2)\tB\n")
    groups = import_groups(store, tmp_path / "groups.csv")
    assert read_groups(store) == {second: "B"} and len(groups.refused) == 1


def test_a_mask_that_is_called_like_object_numbers_belongs_to_the_image_of_that_name(
    store: Store, tmp_path: Path
):
    for name, value in (("a", 1), ("a_instances", 2)):
        picture(tmp_path / f"images/{name}.png", seed=value)
        mask(tmp_path / f"labels/{name}.png", np.full((12, 17), value, np.uint8))
    first, second = run(store, tmp_path).labelled
    names = class_names(store)
    assert [{names[v] for v in np.unique(folded(store, i).known())} for i in (first, second)] == [
        {"1"},
        {"2"},
    ]
    assert folded(store, first).instances is None


def test_of_a_chain_of_names_of_object_numbers_none_is_lost_without_a_line(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    chain = [f"a{'_instances' * n}.png" for n in range(4)]
    for name in chain:
        mask(tmp_path / "labels" / name, np.eye(12, 17, dtype=np.uint8))
    report = run(store, tmp_path)
    assert len(report.labelled) == 1 and folded(store, report.added[0]).instances is not None
    assert [line.split(":")[0].split("/")[-1] for line in report.refused] == chain[2:]


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("image/a.png", "mask/a.png"),
        ("a.png", "labels/a.png"),
        ("images/a.png", "images/masks/a.png"),
        ("deep/er/a.png", "deep/er/Labels/a.png"),
    ],
)
def test_a_folder_of_masks_lies_beside_images_or_among_them(
    store: Store, tmp_path: Path, image: str, labels: str
):
    picture(tmp_path / image)
    mask(tmp_path / labels, np.eye(12, 17, dtype=np.uint8))
    report = run(store, tmp_path)
    assert len(report.added) == len(report.labelled) == 1 and not report.refused


def test_pictures_in_a_folder_called_masks_are_images_where_nothing_beside_them_has_their_names(
    store: Store, tmp_path: Path
):
    picture(tmp_path / "faces/a.png")
    picture(tmp_path / "masks/b.png", seed=1)
    assert len(run(store, tmp_path).added) == 2


def test_files_that_are_called_like_masks_are_said_where_they_come_in_as_images(store: Store, tmp_path: Path):
    for patient in ("p1", "p2"):
        picture(tmp_path / patient / "t1.png", seed=ord(patient[1]))
        mask(tmp_path / patient / f"{patient}_seg.png", np.eye(12, 17, dtype=np.uint8))
    notes = run(store, tmp_path).notes
    assert "p1/p1_seg.png and 1 more file are images here, though called like masks" in notes[0]


def test_what_is_no_mask_of_a_kind_that_is_read_here_costs_a_line(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    (tmp_path / "labels").mkdir()
    for name in ("a.gif", "README.md", "Thumbs.db", "labels.csv"):
        (tmp_path / "labels" / name).write_bytes(b"value,name\n1,one\n")
    (line,) = run(store, tmp_path).refused
    assert line == "labels/a.gif: it is no mask of a kind that is read here; save it as PNG, TIFF or NIfTI"
