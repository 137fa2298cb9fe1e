"""Tables from outside are bounded before they are read."""

from pathlib import Path

import pytest

from annotator.exchange import tables
from annotator.exchange.masks.value_names import _json
from annotator.exchange.tables import TableFault, read_text


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
