"""CVAT's XML for images: masks, polygons and boxes. Tracks of films are refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.label_files.contract import FileClass, LabelFile, ObjectLayers, SaidOfImage, no_areas
from annotator.exchange.masks.value_names import HEX, clean_name
from storage.formats import FileRefused, Grid
from storage.formats.base import check_size

MOST_BYTES = 512 << 20


class CvatFile(LabelFile):
    def __init__(self, path: Path, root: ET.Element) -> None:
        super().__init__(path)
        self._images = {entry.get("name", ""): entry for entry in root.iter("image")}
        colours = {
            clean_name(one.findtext("name", "")): one.findtext("color", "") for one in root.iter("label")
        }
        used = (_class_of(shape) for entry in self._images.values() for shape in entry)
        self._values = {name: n for n, name in enumerate(dict.fromkeys([*colours, *used]), start=1)}
        self.classes = {
            n: FileClass(name, colours[name] if HEX.fullmatch(colours.get(name, "")) else None)
            for name, n in self._values.items()
        }

        people = (root.find(f"meta/{kind}/assignee/username") for kind in ("job", "task"))
        self._assignee = next((one.text or "" for one in people if one is not None), "")

    def images(self) -> Sequence[str]:
        return list(self._images)

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        entry, shape = self._images[image], grid.display_shape
        said = (entry.get("width"), entry.get("height"))
        if shape[0] != 1 or said != (str(shape[2]), str(shape[1])):
            raise FileRefused(
                f"it says {said[0]} x {said[1]} pixels, and its image has {shape[2]} x {shape[1]}"
            )
        layers, others = ObjectLayers(shape), Counter[str]()
        shapes = sorted(entry, key=lambda one: int(one.get("z_order", 0)))  # stable: later ones lie on top
        for number, one in enumerate(shapes, start=1):
            if not self._draw(layers, one, number):
                others[one.tag] += 1
        return replace(layers.said(no_areas(others)), author=self._assignee)

    def _draw(self, layers: ObjectLayers, one: ET.Element, number: int) -> bool:
        value = self._values[_class_of(one)]
        if one.tag == "mask":
            left, top = int(one.get("left", 0)), int(one.get("top", 0))
            layers.add(value, number, _unpacked(one), at=(top, left))
        elif one.tag == "polygon":
            points = [pair.split(",") for pair in one.get("points", "").split(";")]
            layers.outline(value, number, [np.array(points, float)])
        elif one.tag == "box":
            x, y, x2, y2 = (float(one.get(key, "nan")) for key in ("xtl", "ytl", "xbr", "ybr"))
            layers.add_box((x, y, x2 - x, y2 - y))
        else:
            return False
        return True


def open_cvat(path: Path) -> CvatFile | None:
    if path.stat().st_size > MOST_BYTES:
        raise FileRefused(f"it is larger than {MOST_BYTES >> 20} MB; split it")
    content = path.read_bytes()
    if b"<annotations" not in content[:4096]:
        return None
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise FileRefused("it declares a document type of its own; export it again")
    try:
        root = ET.fromstring(content)
    except ET.ParseError:
        raise FileRefused("it is no XML, or cut short; export it again") from None
    if root.find("track") is not None:
        raise FileRefused("it holds tracks of a film; export it as CVAT for images")
    return CvatFile(path, root)


def _class_of(shape: ET.Element) -> str:
    return clean_name(shape.get("label", "")) or "object"


def _unpacked(one: ET.Element) -> NDArray[np.bool_]:
    height, width = int(one.get("height", 0)), int(one.get("width", 0))
    check_size((height, width), 1)
    runs = [int(n) for n in one.get("rle", "").split(",")]
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    out = np.zeros(height * width, bool)
    out[: len(flat)] = flat
    return out.reshape(height, width)
