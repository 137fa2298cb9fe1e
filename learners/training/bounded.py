"""Files from outside, looked at before they are read: JSON by its size, members of archives by what they unpack to."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

MAX_JSON = 1 << 20  # bytes; a model's card has a few thousand, a data set's table of names some ten thousand
PACKED_AT_MOST = 50  # times: weights hardly shrink and text shrinks tenfold, so more is no honest file


def read_json(path: Path, most: int = MAX_JSON) -> Any:
    """Raises OSError where it cannot be opened, ValueError where it is too long, too deep or no JSON."""
    with open(path, "rb") as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise ValueError(f"{path.name} is longer than {most >> 20} MB, which no such file is")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{path.name} is nested deeper than any such file is") from None


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> Any:
    """The JSON in an archive's file of at most so many bytes. Raises ValueError."""
    _check_member(entry, most)
    try:
        return json.loads(archive.read(entry))
    except RecursionError:
        raise ValueError(f"{entry.filename} is nested deeper than any such file is") from None


def unpack_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int) -> None:
    """One file of an archive, of at most so many bytes. Raises ValueError before anything is unpacked."""
    _check_member(entry, most)
    with archive.open(entry) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)


def _check_member(entry: zipfile.ZipInfo, most: int) -> None:
    name = Path(entry.filename).name
    if entry.file_size > most:
        raise ValueError(
            f"{name} in this archive unpacks to more than {most >> 20} MB, which no such file has"
        )
    if entry.file_size > PACKED_AT_MOST * entry.compress_size + MAX_JSON:
        raise ValueError(
            f"{name} in this archive unpacks to {entry.file_size / 1e6:.0f} MB out of almost nothing"
        )
