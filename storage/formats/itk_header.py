"""The text header of NRRD and MetaImage: its fields, in UTF-8 or Latin-1, and the file of pixels that it names."""

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.formats.base import FileRefused

HEADER_BYTES = 65536
INLINE = ("local", "internal")
DATA_LINE = re.compile(rb"(?im)^(data ?file\s*:=?|elementdatafile\s*=)[^\r\n]*")
ELSEWHERE = "its pixels are in files elsewhere; save header and pixels as one .mha or .nrrd file"


def header_fields(path: Path) -> dict[str, str]:
    """Lower-case keys without spaces; both formats write "key: value" or "key = value" lines."""
    with open(path, "rb") as file:
        head = file.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    for line in re.split(rb"\r?\n", head):
        if not line and fields:
            break  # an empty line ends an NRRD header
        match = re.match(r"([A-Za-z][A-Za-z ]*?)\s*(?::=|[:=])\s*(.*)", _text(line))
        if match:
            fields.setdefault(match[1].lower().replace(" ", ""), match[2].strip())
        if match and match[1].lower() == "elementdatafile":
            break
    return fields


def data_file(path: Path, fields: dict[str, str]) -> Path:
    """Where the pixels are: the file itself or one beside it. A header may not point anywhere else."""
    name = fields.get("elementdatafile") or fields.get("datafile") or "local"
    if name.lower() in INLINE:
        return path
    name = re.sub(r"^(\.[/\\])+", "", name)
    if not name.isprintable() or re.search(r"[/\\%]", name) or re.match(r"LIST\b", name, re.IGNORECASE):
        raise FileRefused(ELSEWHERE)
    data = _beside(path, name)
    if data is None or data.is_symlink() or not data.is_file():
        raise FileRefused("its file of pixels is not beside it; copy both, or save it as one file")
    return data


@contextmanager
def openable(path: Path, data: Path) -> Iterator[Path]:
    """The header as ITK can follow it: a copy with the name on disk, where the header spells it otherwise."""
    content = path.read_bytes() if data != path and path.stat().st_size <= HEADER_BYTES else b""
    line = DATA_LINE.search(content)
    if line is None or (line[0].strip().endswith(os.fsencode(data.name)) and b"\\" not in line[0]):
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "header").with_suffix(path.suffix)
        own = line[1] + b" " + os.fsencode(str(data.resolve()))
        copy.write_bytes(content[: line.start()] + own + content[line.end() :])
        yield copy


def pixels_start(path: Path) -> int:
    """Where the pixels of a MetaImage in one file begin: behind the line that says so."""
    with open(path, "rb") as file:
        head = file.read(HEADER_BYTES)
    line = DATA_LINE.search(head)
    return 0 if line is None else head.index(b"\n", line.end()) + 1


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _beside(path: Path, name: str) -> Path | None:
    """The file of this name; else the only one that differs in case or in how its accents are written."""
    if (data := path.with_name(name)).is_file():
        return data
    alike = [file for file in path.parent.iterdir() if _plain(file.name) == _plain(name)]
    return alike[0] if len(alike) == 1 else None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
