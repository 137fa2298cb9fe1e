"""Masks in colours, with numbers beyond 16 bits, with 16-bit classes; tables that say colours."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotator.exchange.import_images import carry_out
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.exchange.masks.meaning import Meaning, ValueChoices
from annotator.jobs import Job
from storage.formats import COLOUR
from storage.store import Store
from tests.annotator.exchange.test_import_images import class_names, folded, picture, run
from tests.annotator.exchange.test_mask_values import COLUMNS, DISK, SHAPE, TWO, labelled

# colours


def coloured(**colours: np.ndarray) -> np.ndarray:
    """A mask in colours, each by its digits, on black."""
    values = np.zeros((*SHAPE, 3), np.uint8)
    for digits, where in colours.items():
        values[where] = tuple(bytes.fromhex(digits[1:]))
    return values


def test_each_colour_of_a_mask_is_a_class_of_that_colour(store: Store, tmp_path: Path):
    data = labelled(tmp_path, coloured(cff0000=DISK), coloured(cff0000=DISK, c0000ff=COLUMNS > 60))
    report = run(store, data)
    assert len(report.labelled) == 2 and "2 colours without a name" in report.notes[0]
    assert {(c.name, c.color) for c in store.classes()} == {("#ff0000", "#ff0000"), ("#0000ff", "#0000ff")}
    by_name = {name: number for number, name in class_names(store).items()}
    first, second = (folded(store, image).known()[0] for image in report.labelled)
    assert np.array_equal(first == by_name["#ff0000"], DISK)
    assert np.array_equal(second == by_name["#0000ff"], COLUMNS > 60)


def test_colours_get_their_names_from_a_table_or_a_person(store: Store, tmp_path: Path):
    where = {"cff0000": DISK, "c0000ff": COLUMNS > 60, "cffffff": COLUMNS < 3}
    data = labelled(tmp_path, coloured(**where))
    (data / "labels/labels.csv").write_text('value,name,color\n1,road,#FF0000\n2,ignore,"255, 255, 255"\n')
    blue = ValueChoices(values={COLOUR + 0x0000FF: Meaning("class", "sky", "#0000ff")})
    plan = plan_import(facts_of(store), ImportRequest(data, values=blue), Job("import"))
    (image,) = carry_out(store, plan).labelled
    names = class_names(store)
    known = folded(store, image).known()[0]
    assert {names.get(int(v), int(v)) for v in np.unique(known)} == {0, "road", "sky", 255}
    assert np.array_equal(known == 255, COLUMNS < 3)


def test_many_colours_are_asked_about_and_a_jpeg_of_colours_is_refused(store: Store, tmp_path: Path):
    values = np.zeros((*SHAPE, 3), np.uint8)
    values[..., 1] = COLUMNS // 2 * 5
    report = run(store, labelled(tmp_path / "many", values))
    assert not report.labelled and "values have no names" in report.refused[0]
    data = tmp_path / "jpeg"
    picture(data / "images/0.png", SHAPE)
    (data / "labels").mkdir()
    Image.fromarray(coloured(cff0000=DISK)).save(data / "labels/0.jpg")
    assert "changes the colours" in run(store, data).refused[0]


# large numbers


def test_object_numbers_beyond_16_bits_are_counted_anew(store: Store, tmp_path: Path):
    data = tmp_path / "set"
    picture(data / "images/0.png", SHAPE)
    (data / "labels").mkdir()
    values = np.where(DISK, 3_000_000_000, np.where(COLUMNS > 60, 70_000, 0)).astype(np.uint32)
    tifffile.imwrite(data / "labels/0.tif", values)
    (data / "labels/objects.csv").write_text("file,value,class\n0.tif,3000000000,cell\n")
    (image,) = run(store, data).labelled
    labels, names = folded(store, image), class_names(store)
    assert labels.instances is not None
    assert set(np.unique(labels.instances)) == {0, 1, 2} and (labels.instances[0][DISK] == 2).all()
    assert names[int(labels.known()[0][DISK][0])] == "cell"


def test_values_beyond_16_bits_are_no_classes(store: Store, tmp_path: Path):
    data = tmp_path / "set"
    picture(data / "images/0.png", SHAPE)
    (data / "labels").mkdir()
    tifffile.imwrite(data / "labels/0.tif", np.where(DISK, 70_000, 1).astype(np.uint32))
    report = run(store, data, objects=False)
    assert not report.labelled and "can only be numbers of objects" in report.refused[0]


def test_more_objects_than_an_image_holds_are_refused(store: Store, tmp_path: Path):
    data = tmp_path / "set"
    picture(data / "images/0.png", (260, 260))
    (data / "labels").mkdir()
    tifffile.imwrite(data / "labels/0.tif", np.arange(260 * 260, dtype=np.uint32).reshape(260, 260))
    report = run(store, data, objects=True)
    assert not report.labelled and "an image holds 65,535" in report.refused[0]


def test_16_bit_classes_in_many_pieces_are_no_objects(store: Store, tmp_path: Path):
    stripes = (np.indices(SHAPE)[1] // 4 % 4).astype(np.uint16)
    report = run(store, labelled(tmp_path, stripes, stripes[:, ::-1].copy()))
    assert len(report.labelled) == 2 and "several pieces" in report.notes[0]
    assert set(class_names(store).values()) == {"1", "2", "3"}


def test_a_table_gives_classes_their_colours_too(store: Store, tmp_path: Path):
    data = labelled(tmp_path, TWO)
    (data / "labels/labels.csv").write_text("label_id,label_name,color\n1,liver,#00ff00\n2,spleen,0 0 255\n")
    run(store, data)
    assert {(c.name, c.color) for c in store.classes()} == {("liver", "#00ff00"), ("spleen", "#0000ff")}


@pytest.mark.parametrize(
    "labels", ['["background", "liver", "spleen"]', '{"1": {"name": "liver"}, "2": {"name": "spleen"}}',
               '{"liver": "1", "spleen": "2"}'],
)  # fmt: skip
def test_other_spellings_of_dataset_json_are_read(labels: str, store: Store, tmp_path: Path):
    data = labelled(tmp_path, TWO)
    (data / "labels/dataset.json").write_text(f'{{"labels": {labels}}}')
    run(store, data)
    assert list(class_names(store).values()) == ["liver", "spleen"]
