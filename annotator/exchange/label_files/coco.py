"""COCO's annotations of pictures: polygons and run lengths by COCO's own rules; a box alone is no outline."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annotator.exchange.label_files.contract import VOID, FileClass, LabelFile, ObjectLayers, SaidOfImage
from annotator.exchange.label_files.json_file import content_of
from annotator.exchange.masks.value_names import clean_name
from annotator.exchange.tables import COLOUR
from learners.text import count_of
from storage.formats import FileRefused, Grid
from storage.formats.shapes.coco import drawn

KEYS = {"images", "annotations", "categories"}
HIGHEST = VOID - 1


class CocoFile(LabelFile):
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(path)
        self._of_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for one in content["annotations"]:
            self._of_image[one["image_id"]].append(one)
        self._entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["images"]:
            own = entry.get("slicewise") or {}
            self._entries[str(own.get("image") or entry["file_name"])].append(entry)
        self._values = _values(content["categories"])
        self.classes = {
            self._values[one["id"]]: FileClass(clean_name(str(one["name"])) or str(one["id"]), _color(one))
            for one in content["categories"]
        }

    def images(self) -> Sequence[str]:
        return list(self._entries)

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        shape = grid.display_shape
        layers = ObjectLayers(shape)
        known = np.zeros(shape[0], bool)
        for entry in self._entries[image]:
            index = _slice(entry, shape[0])
            known[index] = True
            _check_size(entry, shape)
            self._draw(layers, index, entry)
        layers.values[~known] = VOID
        return layers.said()

    def _draw(self, layers: ObjectLayers, index: int, entry: dict[str, Any]) -> None:
        size = layers.shape[1:]
        crowds_first = sorted(self._of_image[entry["id"]], key=lambda one: not one.get("iscrowd"))
        for number, one in enumerate(crowds_first, start=1):
            value = self._values[one["category_id"]]
            if one.get("segmentation"):
                number = 0 if one.get("iscrowd") else number  # many objects in one
                layers.add(value, number, drawn(one["segmentation"], size), index)
            elif one.get("bbox"):
                layers.add_box(one["bbox"], index)


def open_coco(path: Path) -> CocoFile | None:
    content = content_of(path)
    if not isinstance(content, dict) or not set(content) >= KEYS:
        return None
    try:
        return CocoFile(path, content)
    except (KeyError, TypeError, AttributeError):
        raise FileRefused("it is COCO JSON with parts missing; export it again") from None


def _values(categories: list[dict[str, Any]]) -> dict[Any, int]:
    """A category keeps its number where that can be a value."""
    free = iter(n for n in range(1, HIGHEST + 1) if n not in {one["id"] for one in categories})
    fits = (isinstance(one["id"], int) and 1 <= one["id"] <= HIGHEST for one in categories)
    return {one["id"]: one["id"] if fit else next(free) for one, fit in zip(categories, fits)}


def _color(category: Mapping[str, Any]) -> str | None:
    """#rrggbb as we write it, or three numbers as COCO's panoptic categories have it."""
    said = category.get("color")
    if isinstance(said, list) and len(said) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in said):
        return "#{:02x}{:02x}{:02x}".format(*said)
    return said.lower() if isinstance(said, str) and COLOUR.fullmatch(said) else None


def _slice(entry: dict[str, Any], count: int) -> int:
    index = (entry.get("slicewise") or {}).get("slice") or 0
    if not isinstance(index, int) or not 0 <= index < count:
        raise FileRefused(f"it speaks of slice {index} and its image has {count_of(count, 'slice')}")
    return index


def _check_size(entry: dict[str, Any], shape: tuple[int, int, int]) -> None:
    said = entry.get("width"), entry.get("height")
    if said != (shape[2], shape[1]):
        raise FileRefused(
            f"it says that its image has {said[0]} x {said[1]} pixels, and it has {shape[2]} x {shape[1]}"
        )
