"""Tables from outside are bounded before they are read."""

from pathlib import Path

import numpy as np
import pytest

from annotator.exchange import tables
from annotator.exchange.masks.value_names import _json, read_names
from annotator.exchange.tables import TableFault, read_text
from storage.store import Store
from tests.annotator.exchange.test_import_images import class_names, folded, mask, picture, run


def test_a_table_of_absurd_size_is_refused_and_an_ordinary_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "MAX_TABLE", 1 << 20)
    (tmp_path / "labels.csv").write_bytes(b"value,name\n" + b"1,x\n" * 300_000)
    with pytest.raises(TableFault, match="longer than 1 MB"):
        read_text(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"value,name\n1,x\n")
    assert read_text(tmp_path / "labels.csv").startswith("value")


def test_json_beside_masks_that_is_nested_without_end_is_refused(tmp_path: Path):
    (tmp_path / "dataset.json").write_bytes(b'{"labels": ' + b"[" * 200_000)
    with pytest.raises(TableFault, match="nested deeper"):
        _json(tmp_path / "dataset.json")


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nvalue;name\n1;liver\n2;spleen\n",
        "# by hand, in 2024\n\nvalue,name\n1,liver\n# the other one\n2,spleen\n",
        "\r\n\r\nvalue,name\r\n\r\n1,liver\r\n2,spleen\r\n",
        "1,liver\n2,spleen\n",
        "1\tliver\t#ff0000\n2\tspleen\t#00ff00\n",
        'value, name\n1, "liver"\n2, "spleen"\n',
        "color,value,name\n#ff0000,1,liver\n#00ff00,2,spleen\n",
    ],
)
def test_comments_empty_lines_and_a_missing_header_stand_in_no_ones_way(tmp_path: Path, text: str):
    (tmp_path / "labels.csv").write_text(text, newline="")
    names = read_names([tmp_path / "labels.csv"])
    assert names.classes == {1: "liver", 2: "spleen"} and not names.problems


def test_two_names_of_one_value_are_never_chosen_from_in_silence(tmp_path: Path):
    table, other = tmp_path / "labels.csv", tmp_path / "dataset.json"
    table.write_text("value,name\n1,liver\n1,spleen\n")
    names = read_names([table])
    assert not names.classes and "calls 1 'liver' and 'spleen'; keep one of them" in names.problems[0]
    table.write_text("value,name\n1,liver\n")
    other.write_text('{"labels": {"background": 0, "spleen": 1}}')
    names = read_names([other, table])
    assert names.classes == {1: "liver"} and "another table 'spleen'; it is 'liver'" in names.problems[0]


def test_a_value_that_a_table_calls_background_is_background(store: Store, tmp_path: Path):
    picture(tmp_path / "images/a.png")
    values = np.zeros((12, 17), np.uint8)
    values[2:5, 2:9], values[6:9, 2:9] = 1, 2
    mask(tmp_path / "labels/a.png", values)
    (tmp_path / "labels/labels.csv").write_text("value,name\n0,stroma\n1,Background\n2,tumour\n")
    run(store, tmp_path)
    names, known = class_names(store), folded(store, 1).known()[0]
    assert sorted(names.values()) == ["stroma", "tumour"] and (known[2:5, 2:9] == 0).all()
