"""What the tables beside masks say about their values: labels.csv, objects.csv, dataset.json, provenance.json."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from annotator.exchange.matching import NameIndex
from annotator.exchange.tables import Column, TableFault, read_table, read_text
from storage.formats.shapes.voc_palette import palette
from storage.rows import ClassCode

LABELS, OBJECTS = ("labels.csv", "labels.tsv"), ("objects.csv", "objects.tsv")
SNAP, CVAT = ("labels.txt", "label.txt"), "labelmap.txt"
DATASET, PROVENANCE = "dataset.json", "provenance.json"
TABLES = {*LABELS, *SNAP, CVAT, *OBJECTS, DATASET, PROVENANCE}
VALUE = Column("value", ("id", "index", "number", "label", "label_id", "class_id"))
NAME = Column("name", ("class", "label", "label_name", "class_name"))
COLOR = Column("color", ("colour", "hex", "rgb"), needed=False)
CODED = (VALUE, Column("scheme"), Column("code"), Column("meaning", needed=False))
OBJECT_COLUMNS = (
    Column("file", ("image",)),
    Column("value", ("id", "object", "number")),
    Column("class", ("name",)),
)
SNAP_LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+\d\s+\d\s+"(.*)"\s*')
HEX = re.compile(r"#?[0-9a-fA-F]{6}")
VOID_NAMES = {"ignore", "void", "unlabelled", "unlabeled"}
BACKGROUND_NAMES = {"background", "bg", "clear label", "clear", "none", "nothing", "empty", ""}
NO_CODE = "n/a"  # BIDS's word for an empty cell
FOLDERS_UP = 3  # a table lies in the mask's folder or in one of the two above
HIGHEST, HIGHEST_OBJECT = 65535, 2**32 - 1


@dataclass(frozen=True)
class ObjectRow:
    """An object and its class, as objects.csv has it."""

    file: str
    value: int
    name: str


@dataclass
class ValueNames:
    """What a data set says about the values of its masks."""

    tables: tuple[str, ...] = ()  # their names, for people
    classes: dict[int, str] = field(default_factory=dict)
    colour_of: dict[int, str] = field(default_factory=dict)  # value -> "#rrggbb", where a table says it
    code_of: dict[int, str] = field(default_factory=dict)  # value -> "SCT 10200004 Liver", likewise
    colours: dict[str, str] = field(default_factory=dict)  # "#rrggbb" -> name, for masks in colours
    void: set[int] = field(default_factory=set)  # values that say: nobody knows
    objects: list[ObjectRow] = field(default_factory=list)
    half_known: set[str] = field(default_factory=set)  # names of our own files in which 0 may be unknown
    ours: bool = False  # this program wrote the tables: a class may be called void there
    problems: list[str] = field(default_factory=list)  # a line for each table that could not be used

    def objects_of(self, masks: NameIndex[Path]) -> dict[Path, dict[int, str]]:
        """The classes of objects by mask file; names that fit none or several become problems."""
        found: dict[Path, dict[int, str]] = {}
        for row in self.objects:
            try:
                mask = masks.one(row.file)
            except LookupError as error:
                self.problems.append(f"objects: {error.args[0]}")
                continue
            if mask is not None:
                found.setdefault(mask, {})[row.value] = row.name
        return found


def tables_near(mask: Path) -> tuple[Path, ...]:
    """The tables of the nearest folder that has any: the mask's own or one of the two above it."""
    return _tables_of(mask.parent)


@lru_cache(maxsize=1024)
def _tables_of(folder: Path) -> tuple[Path, ...]:
    for near in [folder, *folder.parents][:FOLDERS_UP]:
        try:
            tables = sorted(p for p in near.iterdir() if p.name.lower() in TABLES and p.is_file())
        except OSError:
            continue
        if tables:
            return tuple(tables)
    return ()


def forget_tables() -> None:
    """At the start of an import: folders may have changed since the last."""
    _tables_of.cache_clear()


def read_names(tables: Iterable[Path]) -> ValueNames:
    """What these tables say together; one that cannot be read costs a line."""
    names = ValueNames(tuple(table.name for table in tables))
    for table in tables:
        try:
            _READERS.get(table.name.lower(), _read_labels)(names, table)
        except TableFault as error:
            names.problems.append(f"{error}. Without it values keep their numbers")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            names.problems.append(
                f"{table.name} is made in another way than expected; values keep their numbers"
            )
    for value in [v for v, n in names.classes.items() if n.casefold() in VOID_NAMES and not names.ours]:
        del names.classes[value]
        names.void.add(value)
    if names.classes.get(0, "").casefold() in BACKGROUND_NAMES:
        names.classes.pop(0, None)
    _tell_apart(names)
    return names


def _tell_apart(names: ValueNames) -> None:
    """Two values of one name stay two classes, so that each comes back as the value that it was."""
    seen: set[str] = set()
    for value, name in sorted(names.classes.items()):
        if name in seen:
            names.classes[value] = f"{name[:70]} {value}"
            names.problems.append(
                f"several values are called {name!r}; the later is {names.classes[value]!r}"
            )
        seen.add(name)


def _read_labels(names: ValueNames, table: Path) -> None:
    rows = read_table(table, (VALUE, NAME, COLOR), bare=True)
    named: dict[int, str] = {}
    for row in rows:
        value, name = _value(table, row.line, row.cells["value"]), clean_name(row.cells["name"])
        if name and named.setdefault(value, name) != name:
            raise TableFault(f"{table.name} calls {value} {named[value]!r} and {name!r}; keep one of them")
    _add_classes(names, table, named)
    for row in rows:
        if color := _color(row.cells.get("color", "")):
            names.colour_of[_value(table, row.line, row.cells["value"])] = color
            names.colours[color] = clean_name(row.cells["name"])
    names.code_of |= _codes(table, named)


def _codes(table: Path, named: Mapping[int, str]) -> dict[int, str]:
    """Where its header has columns for them, of values that it names."""
    try:
        rows = read_table(table, CODED)
    except TableFault:
        return {}
    cells = {_value(table, row.line, row.cells["value"]): row.cells for row in rows}
    told = {
        value: ClassCode.told(one["scheme"], one["code"], one.get("meaning", "") or named[value])
        for value, one in cells.items()
        if value in named and one["scheme"] != NO_CODE
    }
    return {value: code for value, code in told.items() if code}


def _add_classes(names: ValueNames, table: Path, classes: dict[int, str]) -> None:
    """What a table names, over what another one named; where they differ, a line says so."""
    for value, name in classes.items():
        if (other := names.classes.get(value, name)) != name:
            names.problems.append(
                f"{table.name} calls {value} {name!r} and another table {other!r}; it is {name!r}"
            )
    names.classes |= classes


def _read_snap(names: ValueNames, table: Path) -> None:
    """ITK-SNAP's label descriptions; a text of that name that is none says nothing."""
    for line in read_text(table).splitlines():
        if found := SNAP_LINE.fullmatch(line):
            value, *rgb = (int(number) for number in found.groups()[:4])
            if name := clean_name(found[5]):
                names.classes[value] = name
                names.colour_of[value] = "#{:02x}{:02x}{:02x}".format(*(min(v, 255) for v in rgb))


def _read_labelmap(names: ValueNames, table: Path) -> None:
    """CVAT's, beside Pascal VOC's masks: label:red,green,blue. A number is the place of its colour in VOC's palette."""
    places = {"#" + rgb.tobytes().hex(): n for n, rgb in enumerate(palette())}
    for line in read_text(table).splitlines():
        name, _, more = line.partition(":")
        color = _color(more.partition(":")[0])
        if line.startswith("#") or not color or not (name := clean_name(name)):
            continue
        names.colours.setdefault(color, name)
        if color in places and (value := places[color]) not in names.classes:
            names.classes[value], names.colour_of[value] = name, color


def _color(text: str) -> str:
    """#rrggbb, in hexadecimal or as three numbers; "" for anything else."""
    if HEX.fullmatch(text):
        return f"#{text.lstrip('#').lower()}"
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if len(numbers) == 3 and max(numbers) <= 255:
        return "#{:02x}{:02x}{:02x}".format(*numbers)
    return ""


def _read_objects(names: ValueNames, table: Path) -> None:
    rows = [row for row in read_table(table, OBJECT_COLUMNS) if row.cells["file"] and row.cells["class"]]
    names.objects += [
        ObjectRow(
            row.cells["file"],
            _value(table, row.line, row.cells["value"], HIGHEST_OBJECT),
            clean_name(row.cells["class"]),
        )
        for row in rows
    ]


def _read_dataset(names: ValueNames, table: Path) -> None:
    """{"1": "liver"} as the Medical Segmentation Decathlon has it, or {"liver": 1} as nnU-Net has."""
    labels = _json(table).get("labels")
    if isinstance(labels, list):
        labels = {str(value): name for value, name in enumerate(labels)}
    if not isinstance(labels, dict):
        raise TableFault(f"{table.name} has no 'labels' that name values")
    regions: list[str] = []
    single: dict[int, str] = {}
    for key, said in labels.items():
        said = said.get("name") if isinstance(said, dict) else said
        if not isinstance(said, str | int | list):
            raise TableFault(f"{table.name} has an entry {key!r} in 'labels' that names nothing")
        is_value = not isinstance(said, str) or (said.isdigit() and not key.isdigit())
        values, name = (said, key) if is_value else (key, said)
        numbers = [int(v) for v in values] if isinstance(values, list | tuple) else [int(values)]
        if len(numbers) == 1:
            single[numbers[0]] = clean_name(str(name))
        elif str(name).casefold() not in BACKGROUND_NAMES:
            regions.append(str(name))
    _add_classes(names, table, {value: name for value, name in single.items() if name})
    if regions:
        told = ", ".join(regions)
        names.problems.append(
            f"{table.name}: regions of several values cannot be classes, so {told} is not used"
        )


def export_record(table: Path) -> dict[str, Any] | None:
    """The provenance of one of our own exports; None where another program made the file. Raises TableFault."""
    record = _json(table)
    return record if record.get("tool") == "Slicewise" else None


def _read_provenance(names: ValueNames, table: Path) -> None:
    """Of our own exports: which value says that nobody labelled a voxel."""
    if (record := export_record(table)) is None:
        return
    names.ours = True
    if not record["unknown_is_background"]:
        names.void.add(int(record["unknown_value"]))
        return
    for image in record["images"]:
        if image["share_known"] < 1:
            names.half_known.update(Path(file).name for file in image["files"])


_READERS = {
    **dict.fromkeys(LABELS, _read_labels),
    **dict.fromkeys(SNAP, _read_snap),
    CVAT: _read_labelmap,
    **dict.fromkeys(OBJECTS, _read_objects),
    DATASET: _read_dataset,
    PROVENANCE: _read_provenance,
}


def _json(table: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(table))
    except json.JSONDecodeError as error:
        raise TableFault(f"{table.name} is not JSON (line {error.lineno}); mend it") from error
    except RecursionError:
        raise TableFault(f"{table.name} is nested deeper than any such file is; mend it") from None
    if not isinstance(content, dict):
        raise TableFault(f"{table.name} holds no names; mend it")
    return content


def _value(table: Path, line: int, text: str, highest: int = HIGHEST) -> int:
    try:
        value = int(text) if text.lstrip("-").isdigit() else int(float(text))
        exact = float(text) == value and 0 <= value <= highest
    except (ValueError, OverflowError):
        exact = False
    if not exact:
        raise TableFault(
            f"{table.name}, line {line}: a value is a whole number up to {highest}, got {text!r}"
        )
    return value


def clean_name(name: str) -> str:
    """As the store keeps class names; "" where nothing is left."""
    printable = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(printable.split())[:80].strip()
