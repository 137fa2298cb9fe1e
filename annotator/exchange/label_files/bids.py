"""BIDS derivatives: segmentations (`_dseg`) and masks (`_mask`) of subjects, with the names that a table gives values.

BIDS says by names alone, or by the JSON beside a file, which image was drawn on. What that leaves open is refused.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.channels.bids_names import CONTRAST, BidsName, bids_name
from annotator.exchange.label_files.contract import VOID, FileClass, LabelFile, SaidOfImage
from annotator.exchange.masks.value_names import ValueNames, clean_name, read_names
from annotator.exchange.matching import bare_name
from storage.formats import FileRefused, Grid, lay_on, read_labels

SEGMENTATIONS, LABELS_OF = ("dseg", "mask"), "dseg"
NO_IMAGES = (*SEGMENTATIONS, "probseg")
OF_LABELS = ("desc", "label", "atlas", "seg", "hemi")  # say what a mask shows, not of which image
NUMBERS = "objects"  # our own files of object numbers
SAME = ("", "orig")  # spaces that are the image's own
FOLDERS_UP = 6  # to the folder of the whole data set
MOST_BYTES = 1 << 20
OPEN = "its name fits {}; say in its JSON which of them, as RawSources"
NOBODY = (
    "no imported image is of this subject, session and space; import the images with it, or say RawSources"
)


class BidsLabels(LabelFile):
    def __init__(self, path: Path, name: BidsName) -> None:
        super().__init__(path)
        self._name = name
        self._table = _names(path, name)
        stored = _stored(path)
        found = (int(v) for v in np.unique(stored) if v and int(v) not in self._table.void)
        self.classes = {value: self._class(value) for value in found}
        if max(self.classes, default=0) >= VOID:
            raise FileRefused(f"it has the value {max(self.classes)}; values go up to {VOID - 1}")

    def _class(self, value: int) -> FileClass:
        table = self._table
        if self._name.suffix != LABELS_OF:
            said = self._name.entities.get("label") or self._name.entities.get("desc") or "mask"
            return FileClass(said if value == 1 else f"{said} {value}")
        name = table.classes.get(value, str(value))
        return FileClass(name, table.colour_of.get(value), table.code_of.get(value, ""))

    def among(self, below: str, imported: Sequence[str]) -> Sequence[str]:
        """The image that its JSON names; else the one that has its subject, session and further entities."""
        if self._name.entities.get("desc") == NUMBERS and self._beside("manual").is_file():
            return ()
        if (named := _raw_source(self.path)) is not None:
            return (_joint_of(named, imported) or named,)
        fitting = [path for path in imported if self._fits(path)]
        near = [p for p in fitting if PurePosixPath(p).parent == PurePosixPath(below).parent]
        found = near or fitting
        if len(found) != 1:
            raise FileRefused(OPEN.format(" and ".join(sorted(found)[:2])) if found else NOBODY)
        return found

    def _fits(self, path: str) -> bool:
        own, other = self._name, bids_name(bare_name(PurePosixPath(path).name))
        if other is None or other.suffix in NO_IMAGES:
            return False
        differs = (CONTRAST,) if len(other.parts) > 1 else ()  # sequences of one image may differ in that
        if _of_image(own, differs) != _of_image(other, differs):
            return False
        own_space, space = (name.entities.get("space", "") for name in (own, other))
        return own_space == space or (not space and own_space in (*SAME, *other.parts))

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        values = _on(self.path, grid)
        table = np.zeros(VOID + 1, np.uint16)
        table[list(self.classes)] = list(self.classes)
        table[[v for v in self._table.void if v <= VOID]] = VOID
        numbers = self._beside(NUMBERS)
        is_pair = self._name.entities.get("desc") == "manual" and numbers.is_file()
        said = _on(numbers, grid).astype(np.uint16) if is_pair else None
        return SaidOfImage(table[values], said, tuple(self._table.problems))

    def _beside(self, desc: str) -> Path:
        """The file of the same name but for what it describes."""
        own = self._name.entities.get("desc", "")
        return self.path.with_name(self.path.name.replace(f"_desc-{own}_", f"_desc-{desc}_"))


def _of_image(name: BidsName, differs: tuple[str, ...]) -> dict[str, str]:
    """What says of which image it is, space apart."""
    return {key: v for key, v in name.entities.items() if key not in (*OF_LABELS, "space", *differs)}


def open_bids(path: Path) -> BidsLabels | None:
    name = bids_name(bare_name(path.name))
    return BidsLabels(path, name) if name is not None and name.suffix in SEGMENTATIONS else None


def _stored(path: Path) -> NDArray[Any]:
    return read_labels(path)[0]


def _on(path: Path, grid: Grid) -> NDArray[np.unsignedinteger]:
    """(Z, Y, X) on an image's grid."""
    values, own = read_labels(path)
    return lay_on(values, own, grid)


def _names(path: Path, name: BidsName) -> ValueNames:
    """By the nearest table whose entities the file has all, as BIDS lets files inherit them."""
    for folder in _folders_up(path.parent):
        tables = [(len(said.entities), table) for table, said in _tables(folder) if _inherits(name, said)]
        if tables:
            return read_names([max(tables)[1]])
    return ValueNames()


def _folders_up(folder: Path) -> Iterator[Path]:
    for near in [folder, *folder.parents][:FOLDERS_UP]:
        yield near
        if (near / "dataset_description.json").is_file():
            return


def _tables(folder: Path) -> Iterator[tuple[Path, BidsName]]:
    for table in sorted(folder.glob("*dseg.tsv")):
        *pairs, suffix = table.stem.split("_")
        if suffix == LABELS_OF and all("-" in pair for pair in pairs):
            yield table, BidsName(dict(pair.split("-", 1) for pair in pairs), suffix)


def _inherits(name: BidsName, table: BidsName) -> bool:
    return name.suffix == table.suffix and table.entities.items() <= name.entities.items()


def _joint_of(named: str, imported: Sequence[str]) -> str | None:
    """The image of several sequences that a file with this name is one of."""
    own = bids_name(bare_name(PurePosixPath(named).name))
    others = ((path, bids_name(bare_name(PurePosixPath(path).name))) for path in imported)
    return next((path for path, other in others if own and other and other.has_part(own)), None)


def _raw_source(path: Path) -> str | None:
    """The one image that the JSON beside it names; None where it names none or several."""
    about = path.with_name(bare_name(path.name) + ".json")
    try:
        content = json.loads(about.read_text("utf-8")) if about.stat().st_size <= MOST_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return None
    said = content.get("RawSources") if isinstance(content, dict) else None
    listed = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    sources = [re.sub(r"^bids:[^:]*:", "", one) for one in listed if isinstance(one, str) and clean_name(one)]
    return sources[0] if len(sources) == 1 else None
