"""Tables that people keep beside their images: any delimiter, UTF-8 or UTF-16, any case of the header."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DELIMITERS = ",;\t|"
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SEP = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # Excel's first line
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")  # no comment
MAX_TABLE = 64 << 20  # bytes: a row for each of a million images
START = 4096  # bytes that tell UTF-16 without a mark from UTF-8


class TableFault(ValueError):
    """A table that cannot be read, in one sentence that names it and says how to mend it."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table, by the column names that were asked for."""

    line: int
    cells: dict[str, str]  # without spaces around them; "" where the row is short


@dataclass(frozen=True)
class Column:
    """A column that is looked for, and what else people call it."""

    name: str
    also: tuple[str, ...] = ()
    needed: bool = True


def read_table(path: Path, columns: Sequence[Column], *, bare: bool = False) -> list[TableRow]:
    """The rows that are not empty. `bare`: a first row that starts with a number is no header, and its columns are
    these in this order. Raises TableFault."""
    text = read_text(path)
    try:
        rows = list(_rows(text))
    except csv.Error as error:
        raise TableFault(f"{path.name} is not a table of values ({error}); save it as CSV") from error
    head = [name.strip().casefold() for name in rows[0][1]] if rows else []
    if bare and len(head) > 1 and head[0].isdecimal():
        places = {column.name: at for at, column in enumerate(columns)}
    else:
        places, rows = _places(path, head, columns), rows[1:]
    found = []
    for line, row in rows:
        cells = {name: row[at].strip() if at < len(row) else "" for name, at in places.items()}
        if any(cells.values()):
            found.append(TableRow(line, cells))
    return found


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers, without empty ones, comments, and the line by which Excel knows the delimiter."""
    told = SEP.match(text)
    delimiter = told[1] if told else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        first = row[0].strip() if row else ""
        is_comment = first.startswith("#") and not COLOUR.fullmatch(first)
        if any(cell.strip() for cell in row) and not is_comment and not (told and reader.line_num == 1):
            yield reader.line_num, row


def read_text(path: Path) -> str:
    """A text file in UTF-8 or UTF-16, with or without a mark. Raises TableFault."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TABLE + 1)
    except OSError as error:
        raise TableFault(f"{path.name} cannot be opened ({error.strerror}); check it") from error
    if len(content) > MAX_TABLE:
        raise TableFault(f"{path.name} is longer than {MAX_TABLE >> 20} MB; is it a table?")
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise TableFault(f"{path.name} is neither UTF-8 nor UTF-16; save it as UTF-8") from error


def _encoding(content: bytes) -> str:
    marked = next((name for mark, name in BOMS.items() if content.startswith(mark)), None)
    if marked:
        return marked
    even, odd = content[:START:2].count(0), content[1:START:2].count(0)
    if max(even, odd) * 8 > min(len(content), START):  # most letters of a UTF-16 text have a zero byte
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def _delimiter(text: str) -> str:
    """The one that the first line uses most, comments apart."""
    head = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return max(DELIMITERS, key=head.count)


def _places(path: Path, head: list[str], columns: Sequence[Column]) -> dict[str, int]:
    places: dict[str, int] = {}
    for column in columns:
        names = (column.name.casefold(), *column.also)
        at = next((head.index(n) for n in names if n in head and head.index(n) not in places.values()), None)
        if at is not None:
            places[column.name] = at
        elif column.needed:
            wanted = ",".join(c.name for c in columns if c.needed)
            has = ", ".join(filter(None, head)) or "nothing"
            raise TableFault(
                f"{path.name} has no column {column.name!r}; its first line names {has}. Name {wanted}"
            )
    return places
