"""YOLO's text files: a line is a class and an outline, or a box, in parts of the picture's width and height."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from annotator.exchange.label_files.contract import FileClass, LabelFile, ObjectLayers, SaidOfImage
from annotator.exchange.masks.value_names import clean_name
from annotator.exchange.tables import TableFault, read_text
from storage.formats import FileRefused, Grid

TABLES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
FOLDERS_UP = 4
BOX, FEWEST = 5, 7  # numbers of a line: class and box, class and three points
Line = tuple[int, list[float]]


class YoloFile(LabelFile):
    def __init__(self, path: Path, lines: Sequence[Line]) -> None:
        super().__init__(path)
        self._lines, names = lines, _names(path)
        self.classes = {
            n + 1: FileClass(names.get(n) or str(n)) for n in sorted({*names, *(c for c, _ in lines)})
        }

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        count, height, width = grid.display_shape
        if count > 1:
            raise FileRefused("it is about a picture, and its image is a volume")
        layers = ObjectLayers(grid.display_shape)
        for number, (index, numbers) in enumerate(self._lines, start=1):
            if len(numbers) == BOX - 1:
                x, y, w, h = np.array(numbers) * (width, height, width, height)
                layers.add_box((x - w / 2, y - h / 2, w, h))
            else:
                ring = np.array(numbers).reshape(-1, 2) * (width, height)
                layers.outline(index + 1, number, [ring])
        return layers.said()


def open_yolo(path: Path) -> YoloFile | None:
    """None for any other text."""
    if path.name.lower() in TABLES:
        return None
    try:
        rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
        numbers = [[float(word) for word in row] for row in rows]
    except (TableFault, ValueError):
        return None
    lines = []
    for at, row in enumerate(numbers, start=1):
        if len(row) != BOX and (len(row) < FEWEST or len(row) % 2 == 0):
            raise FileRefused(f"line {at} is neither a class with a box nor one with an outline")
        if row[0] != int(row[0]) or not 0 <= row[0] < 65000 or not np.isfinite(row).all():
            raise FileRefused(f"line {at} does not start with the number of a class")
        lines.append((int(row[0]), row[1:]))
    return YoloFile(path, lines)


def _names(path: Path) -> dict[int, str]:
    """Of the nearest table of names above the file."""
    for folder in list(path.parents)[:FOLDERS_UP]:
        for table in (folder / name for name in TABLES):
            if table.is_file():
                return _names_in(table)
    return {}


def _names_in(table: Path) -> dict[int, str]:
    try:
        text = read_text(table)
        if table.suffix == ".yaml":
            said = (yaml.safe_load(text) or {}).get("names") or {}
        else:
            said = [line for line in text.splitlines() if line.strip()]
        pairs = said.items() if isinstance(said, dict) else enumerate(said)
        return {int(number): clean_name(str(name)) for number, name in pairs}
    except (TableFault, yaml.YAMLError, ValueError, AttributeError):
        raise FileRefused(f"{table.name}, which names its classes, cannot be read; mend it") from None
