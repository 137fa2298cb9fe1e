"""Files from outside are refused by their size and depth before they cost memory."""

import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from learners.training.bounded import MAX_JSON, read_json, unpack_member


def test_json_of_ordinary_size_is_read(tmp_path: Path):
    (tmp_path / "card.json").write_text(json.dumps({"é": [1, 2]}), encoding="utf-8")
    assert read_json(tmp_path / "card.json") == {"é": [1, 2]}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b" " * (MAX_JSON + 1), "longer than"),
        (b"[" * 200_000, "nested deeper"),
        (b"{", "Expecting"),
        (b"\xff", ""),
    ],
    ids=["long", "deep", "cut short", "no text"],
)
def test_json_that_is_too_long_too_deep_or_none_is_refused(tmp_path: Path, text: bytes, refusal: str):
    (tmp_path / "card.json").write_bytes(text)
    with pytest.raises(ValueError, match=refusal):
        read_json(tmp_path / "card.json")


def test_what_unpacks_to_much_more_is_refused_before_it_is_unpacked(tmp_path: Path):
    packed = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/card.json", "w") as file,
    ):
        for _ in range(64):
            file.write(bytes(1 << 20))
    assert packed.stat().st_size < 100_000
    tracemalloc.start()
    with zipfile.ZipFile(packed) as archive:
        (entry,) = archive.infolist()
        for most, refusal in ((MAX_JSON, "more than 1 MB"), (1 << 30, "67 MB out of almost nothing")):
            with pytest.raises(ValueError, match=refusal):
                unpack_member(archive, entry, tmp_path / "card.json", most)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert not (tmp_path / "card.json").exists()
