"""Label Studio's JSON of tasks: brush masks and polygons of the newest annotation of each; a box is no outline."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

import numpy as np

from annotator.dialects.labelstudio.rle import decode
from annotator.exchange.label_files.contract import FileClass, LabelFile, ObjectLayers, SaidOfImage, no_areas
from annotator.exchange.label_files.json_file import content_of
from annotator.exchange.masks.value_names import clean_name
from annotator.exchange.tables import COLOUR
from learners.text import count_of
from storage.formats import FileRefused, Grid

INTERFACE, MOST_BYTES = "interface.xml", 1 << 20
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of a picture that was uploaded there
BRUSH, POLYGON, BOX = "brushlabels", "polygonlabels", "rectanglelabels"
TaskRegion = Mapping[str, Any]


class TaskFile(LabelFile):
    def __init__(self, path: Path, tasks: Sequence[dict[str, Any]]) -> None:
        super().__init__(path)
        self._tasks = {_picture(task["data"]): _finished(task) for task in tasks}
        regions = (one for said in self._tasks.values() if said for one in said[-1]["result"])
        names = dict.fromkeys(name for one in regions if (name := _class_of(one)))
        self._values = {name: n for n, name in enumerate(names, start=1)}
        colours = _colours(path.with_name(INTERFACE))
        self.classes = {n: FileClass(name, colours.get(name)) for name, n in self._values.items()}

    def images(self) -> Sequence[str]:
        """Of tasks that somebody finished."""
        return [name for name, said in self._tasks.items() if said]

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        annotations, shape = self._tasks[image], grid.display_shape
        if shape[0] != 1:
            raise FileRefused("it is about a picture, and its image is a volume")
        layers, others = ObjectLayers(shape), Counter[str]()
        for number, one in enumerate(annotations[-1]["result"], start=1):
            said = (one.get("original_width", shape[2]), one.get("original_height", shape[1]))
            if said != (shape[2], shape[1]):
                raise FileRefused(
                    f"it says {said[0]} x {said[1]} pixels, and its image has {shape[2]} x {shape[1]}"
                )
            if not self._draw(layers, one, number):
                others[str(one.get("type"))] += 1
        notes = no_areas(others)
        if len(annotations) > 1:
            notes.append(f"{count_of(len(annotations), 'annotation')} of one task; the last one counts")
        return replace(layers.said(notes), author=_author(annotations[-1]))

    def _draw(self, layers: ObjectLayers, one: TaskRegion, number: int) -> bool:
        height, width = layers.shape[1:]
        kind, value = one.get("type"), one["value"]
        if not (name := _class_of(one)):
            return False
        if kind == BRUSH and value.get("format") == "rle":
            layers.add(self._values[name], number, decode(value["rle"], (height, width)))
        elif kind == POLYGON:
            ring = np.array(value["points"], float) / 100 * (width, height)
            layers.outline(self._values[name], number, [ring])
        elif kind == BOX and not value.get("rotation"):
            shares = np.array([value[key] for key in ("x", "y", "width", "height")], float) / 100
            layers.add_box((shares * (width, height, width, height)).tolist())
        else:
            return False
        return True


def open_tasks(path: Path) -> TaskFile | None:
    content = content_of(path)
    if not isinstance(content, list) or not content:
        return None
    if not all(isinstance(one, dict) and {"data", "annotations"} <= set(one) for one in content):
        return None
    try:
        return TaskFile(path, content)
    except (KeyError, TypeError, AttributeError):
        raise FileRefused("it is Label Studio's JSON with parts missing; export it again as JSON") from None


def _picture(data: Mapping[str, Any]) -> str:
    """The name of the picture that a task shows, whatever its address."""
    texts = [value for value in data.values() if isinstance(value, str)]
    parts = urlsplit(str(data.get("image") or next(iter(texts), "")))
    place = parse_qs(parts.query).get("d", [parts.path])[0]
    return UPLOADED.sub("", PurePosixPath(unquote(place).replace("\\", "/")).name)


def _finished(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in task["annotations"] if not one.get("was_cancelled")]


def _colours(interface: Path) -> dict[str, str]:
    """Of the labels, by the interface of the project where it lies beside the tasks, as our export has it."""
    try:
        content = interface.read_bytes() if interface.stat().st_size <= MOST_BYTES else b""
        declares = b"<!" in content.replace(b"<!--", b"")  # entities; comments are nothing but words
        root = ET.fromstring(content) if content and not declares else None
    except (OSError, ET.ParseError):
        return {}
    labels = [] if root is None else root.iter("Label")
    said = ((clean_name(one.get("value", "")), one.get("background", "")) for one in labels)
    return {name: color.lower() for name, color in said if COLOUR.fullmatch(color)}


def _author(annotation: Mapping[str, Any]) -> str:
    """By the address, which names a person; else by the number in that Label Studio."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id")
    return f"user {by}" if isinstance(by, int) else str(by or "")


def _class_of(one: TaskRegion) -> str:
    """Empty for what is no region of a class."""
    labels = one["value"].get(one.get("type"))
    return clean_name(str(labels[0])) if isinstance(labels, list) and labels else ""
