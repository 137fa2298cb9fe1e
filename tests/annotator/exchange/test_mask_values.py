"""What the values of masks mean is decided once for an import, told, and kept when labels leave again."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import carry_out
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.exchange.masks.meaning import Meaning, ValueChoices
from annotator.jobs import Job
from storage.arrays import UNLABELLED
from storage.formats import read_labels
from storage.store import Store
from tests.annotator.exchange.test_import_images import class_names, folded, mask, picture, run

SHAPE = (60, 70)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
DISK = (ROWS - 30) ** 2 + (COLUMNS - 31) ** 2 < 300


def labelled(tmp_path: Path, *values: np.ndarray, ending: str = "png") -> Path:
    """Pictures with masks of these values, as 0, 1, 2, ..."""
    for number, array in enumerate(values):
        picture(tmp_path / f"set/images/{number}.png", array.shape, seed=number)
        mask(tmp_path / f"set/labels/{number}.{ending}", array)
    return tmp_path / "set"


def cells(count: int, skip: tuple[int, ...] = ()) -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    for n in range(count):
        row, column = divmod(n, 7)
        if n + 1 not in skip:
            values[row * 10 + 1 : row * 10 + 8, column * 10 + 1 : column * 10 + 8] = n + 1
    return values


def numbers(store: Store, image_id: int) -> np.ndarray:
    """(Z, Y, X) object numbers."""
    instances = folded(store, image_id).instances
    assert instances is not None
    return instances


def exported(store: Store, tmp_path: Path, **request) -> list[np.ndarray]:
    out = export(store, tmp_path / "out", ExportRequest(("png",), **request), Job("export"))
    return [read_labels(path)[0][0] for path in sorted((out / "png").glob("?.png"))]


# black and white


def test_a_jpeg_of_a_mask_is_one_object_up_to_the_middle_grey(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.where(DISK, 255, 0).astype(np.uint8), ending="jpg")
    (image_id,) = run(store, data).added
    assert class_names(store) == {1: "object"}
    assert np.count_nonzero((folded(store, image_id).known()[0] == 1) != DISK) < 10


def test_soft_edges_of_a_png_are_no_classes_and_a_line_says_so(store: Store, tmp_path: Path):
    soft = Image.fromarray(np.where(DISK, 255, 0).astype(np.uint8)).filter(ImageFilter.SMOOTH)
    report = run(store, labelled(tmp_path, np.asarray(soft)))
    assert class_names(store) == {1: "object"} and "soft edges" in report.notes[0]


def test_a_jpeg_of_several_classes_is_refused(store: Store, tmp_path: Path):
    values = np.where(DISK, 120, np.where(COLUMNS > 50, 60, 0)).astype(np.uint8)
    report = run(store, labelled(tmp_path, values, ending="jpg"))
    assert not report.labelled and "JPEG" in report.refused[0] and not store.classes()


def test_a_blurred_mask_asks_instead_of_making_a_class_of_each_grey(store: Store, tmp_path: Path):
    blurred = Image.fromarray(np.where(DISK, 255, 0).astype(np.uint8)).filter(ImageFilter.GaussianBlur(6))
    report = run(store, labelled(tmp_path, np.asarray(blurred)))
    assert not report.labelled and "--objects" in report.refused[0] and not store.classes()


# void


def test_255_beside_classes_is_unknown_and_the_rest_of_its_slice_is_background(store: Store, tmp_path: Path):
    values = np.where(DISK, 1, np.where(COLUMNS > 60, 255, 0)).astype(np.uint8)
    (image_id,) = run(store, labelled(tmp_path, values)).added
    assert class_names(store) == {1: "1"}
    assert np.array_equal(folded(store, image_id).known()[0], values)
    assert store.slice_states(image_id) == [(0, 0, "labelled")]


def test_a_small_class_next_to_void_borders_stays_a_class(store: Store, tmp_path: Path):
    values = np.where(DISK, 15, 0).astype(np.uint8)
    values[20:24, 5:60] = 255
    run(store, labelled(tmp_path, values, np.where(DISK, 3, 0).astype(np.uint8)))
    assert list(class_names(store).values()) == ["3", "15"] or list(class_names(store).values()) == [
        "15",
        "3",
    ]


def test_grey_levels_with_white_are_asked_about_and_can_be_said(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.where(DISK, 128, np.where(COLUMNS > 60, 255, 0)).astype(np.uint8))
    assert "255 may be a class" in run(store, data).refused[0] and not store.classes()
    values = ValueChoices(objects=False, values={128: Meaning("class", "nucleus"), 255: Meaning("void")})
    report = carry_out(store, plan_import(facts_of(store), ImportRequest(data, values=values), Job("import")))
    assert len(report.labelled) == 1 and list(class_names(store).values()) == ["nucleus"]


def test_white_alone_in_one_mask_and_one_in_another_is_asked_about(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.where(DISK, 255, 0).astype(np.uint8), DISK.astype(np.uint8))
    assert "255 may be a class" in run(store, data).refused[0] and not store.classes()


@pytest.mark.parametrize("kind", [bool, np.float32, np.uint8])
def test_a_mask_of_ones_is_one_class_whatever_its_type(kind: type, store: Store, tmp_path: Path):
    data = labelled(tmp_path, DISK.astype(kind), ending="tif")
    (image_id,) = run(store, data).labelled
    assert class_names(store) == {1: "1"} and np.array_equal(folded(store, image_id).known()[0], DISK)


def test_negative_numbers_and_photographs_are_refused(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.uint8))
    picture(data / "images/9.png", SHAPE, seed=9)
    tifffile.imwrite(data / "labels/9.tif", np.where(DISK, -1, 1).astype(np.int16))
    report = run(store, data)
    assert not report.labelled and not store.classes() and len(report.refused) == 2


def test_a_palette_is_read_as_its_numbers(store: Store, tmp_path: Path):
    values = np.where(DISK, 15, np.where(COLUMNS > 60, 255, 0)).astype(np.uint8)
    data = labelled(tmp_path, values)
    image = Image.fromarray(values, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    image.save(data / "labels/0.png")
    (image_id,) = run(store, data).labelled
    assert list(class_names(store).values()) == ["15"]
    assert (folded(store, image_id).known()[0][COLUMNS > 60] == UNLABELLED).all()


def test_the_ignore_label_of_nnunet_is_unknown(store: Store, tmp_path: Path):
    values = np.where(DISK, 1, np.where(COLUMNS > 60, 2, 0)).astype(np.uint8)
    data = labelled(tmp_path, values)
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "ignore": 2}}))
    (image_id,) = run(store, data).added
    assert class_names(store) == {1: "liver"}
    assert (folded(store, image_id).known()[0][COLUMNS > 60] == UNLABELLED).all()


@pytest.mark.parametrize("ignore", [255, None])
def test_an_export_of_our_own_comes_back_with_what_was_unknown(ignore, store: Store, tmp_path: Path):
    values = np.where(DISK, 1, np.where(COLUMNS > 60, 255, 0)).astype(np.uint8)
    data = labelled(tmp_path, values)
    run(store, data)
    out = export(store, tmp_path / "out", ExportRequest(("png",), ignore=ignore), Job("export"))
    again = Store(tmp_path / "again")
    (image_id,) = run(again, data / "images", labels=out / "png").added
    known = folded(again, image_id).known()[0]
    assert (known[DISK] == 1).all() and (known[COLUMNS > 60] == UNLABELLED).all()
    assert ((known == 0).any() is np.True_) == (ignore is not None)  # else 0 may be unknown too
    again.close()


# objects


def test_objects_are_told_by_all_masks_together(store: Store, tmp_path: Path):
    report = run(store, labelled(tmp_path, cells(30, skip=(4, 9)), cells(12), cells(25)))
    assert class_names(store) == {1: "object"}
    counts = [len(np.unique(numbers(store, i))) - 1 for i in report.added]
    assert counts == [28, 12, 25]


def test_object_numbers_of_a_volume_are_objects(store: Store, tmp_path: Path):
    values = np.zeros((4, 60, 70), np.uint16)
    values[:2], values[2:] = cells(30), np.where(cells(30), cells(30).astype(np.uint16) + 300, 0)
    rng = np.random.default_rng(0)
    for folder, array in (
        ("images", rng.integers(0, 255, values.shape).astype(np.uint8)),
        ("labels", values),
    ):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", array, photometric="minisblack")
    report = run(store, tmp_path)
    assert not report.labelled  # 60 numbers up to 330 are neither
    (image_id,) = run(store, tmp_path, objects=True).labelled
    assert class_names(store) == {1: "object"}
    assert np.array_equal(numbers(store, image_id), values)


def test_many_classes_of_a_volume_without_names_are_asked_about(store: Store, tmp_path: Path):
    values = np.arange(40, dtype=np.uint8).repeat(8).reshape(4, 8, 10)
    for folder, array in (("images", values.astype(np.int16)), ("labels", values)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "a.nii.gz")
    report = run(store, tmp_path)
    assert not store.classes() and "39 values have no names" in report.refused[0]
    assert len(run(store, tmp_path, objects=False).labelled) == 1 and len(store.classes()) == 39


def test_object_numbers_beside_classes_come_back_from_an_export(store: Store, tmp_path: Path):
    data = labelled(tmp_path, cells(25))
    run(store, data)
    out = export(store, tmp_path / "out", ExportRequest(("png",)), Job("export"))
    again = Store(tmp_path / "again")
    report = run(again, data / "images", labels=out / "png")
    assert np.array_equal(numbers(again, report.added[0])[0], cells(25)) and not report.refused
    assert class_names(again) == {1: "object"}
    again.close()


# tables of names

TWO = np.where(DISK, 1, np.where(COLUMNS > 60, 2, 0)).astype(np.uint8)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["value{0}name", " Value{0} NAME ", "id{0}label{0}color"])
def test_a_table_of_names_is_read_however_it_is_written(
    encoding, delimiter, head, store: Store, tmp_path: Path
):
    data = labelled(tmp_path, TWO)
    rows = [head.format(delimiter), f"1{delimiter} Leber (Größe)", f"2{delimiter}Milz"]
    (data / "labels/labels.csv").write_bytes("\r\n".join(rows).encode(encoding))
    report = run(store, data)
    assert list(class_names(store).values()) == ["Leber (Größe)", "Milz"] and not report.refused


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("labels.csv", b"name,colour\nliver,red\n", "no column 'value'"),
        ("labels.csv", b"value,name\none,liver\n", "line 2"),
        ("labels.csv", "value,name\n1,Größe\n".encode("latin-1"), "save it as UTF-8"),
        ("dataset.json", b"{labels", "not JSON"),
        ("dataset.json", b'{"labels": {"a": {"b": 1}}}', "names nothing"),
        ("dataset.json", b'{"labels": {"a": 1, "b": "c"}}', "another way"),
        ("dataset.json", b'{"name": "x"}', "no 'labels'"),
    ],
)
def test_a_table_that_cannot_be_read_is_said_and_values_keep_their_numbers(
    name, content, line, store: Store, tmp_path: Path
):
    data = labelled(tmp_path, TWO)
    (data / "labels" / name).write_bytes(content)
    report = run(store, data)
    assert line in report.refused[0] and len(report.refused) == 1
    assert list(class_names(store).values()) == ["1", "2"]


def test_regions_of_nnunet_are_said_and_single_values_named(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.where(DISK, 3, np.where(COLUMNS > 60, 2, 0)).astype(np.uint8))
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    (data / "dataset.json").write_text(json.dumps({"labels": labels, "regions_class_order": [1, 2, 3]}))
    report = run(store, data)
    assert sorted(class_names(store).values()) == ["2", "enhancing"] and "whole, core" in report.refused[0]


def test_objects_of_a_table_are_found_by_path(store: Store, tmp_path: Path):
    for number, folder in enumerate("xy"):
        picture(tmp_path / f"images/{folder}/a.png", SHAPE, seed=number)
        mask(tmp_path / f"labels/{folder}/a.png", np.where(DISK, 1, 0).astype(np.uint16))
    rows = "File;Value;Class\nx/a.png;1;cat\ny/a.png;1;dog\na.png;1;cow\n"
    (tmp_path / "labels/objects.csv").write_text(rows)
    report = run(store, tmp_path)
    names = class_names(store)
    assert [names[int(folded(store, i).known().max())] for i in report.added] == ["cat", "dog"]
    assert "'a.png' could mean" in report.refused[0]


# values come back


def test_values_that_a_table_fixes_come_back_even_where_one_never_occurs(store: Store, tmp_path: Path):
    data = labelled(tmp_path, np.where(DISK, 2, 0).astype(np.uint8), TWO)
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "tumour": 1, "organ": 2}}))
    run(store, data)
    assert np.array_equal(exported(store, tmp_path), [np.where(DISK, 2, 0), TWO])
    rows = csv.DictReader((tmp_path / "out/labels.csv").read_text("utf-8").splitlines())
    assert {row["name"]: row["value"] for row in rows} == {"background": "0", "tumour": "1", "organ": "2"}


@pytest.mark.parametrize("wide", [1, 5])
def test_numbers_without_names_come_back_as_they_were(wide, store: Store, tmp_path: Path):
    liver = store.add_class("liver").id  # drawn by hand; its own number would be 1
    values = (
        np.where(DISK, 5, np.where(COLUMNS > 60, 200, np.where(ROWS < 4, 210, 0))).astype(np.uint16) * wide
    )
    data = labelled(tmp_path, values.astype(np.uint8) if wide == 1 else values)
    run(store, data, objects=False)
    assert np.array_equal(exported(store, tmp_path)[0], values)
    assert store.class_values.of(store.classes())[liver] == 1


def test_a_class_of_a_data_set_takes_its_value_from_one_that_had_it_by_chance(store: Store, tmp_path: Path):
    by_hand = store.add_class("by hand").id
    run(store, labelled(tmp_path, np.where(DISK, 1, 0).astype(np.uint8)))
    values = store.class_values.of(store.classes())
    assert values[by_hand] > 1 and sorted(values.values())[0] == 1
    assert np.array_equal(exported(store, tmp_path)[0], DISK)


def test_a_grey_png_of_two_bits_holds_small_numbers(tmp_path: Path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 2, 2, 0, 0, 0, 0)
    rows = zlib.compress(b"\0\x1b\xe4" * 2)  # 0 1 2 3 3 2 1 0
    content = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert read_labels(tmp_path / "a.png")[0][0].tolist() == [[0, 1, 2, 3, 3, 2, 1, 0]] * 2
