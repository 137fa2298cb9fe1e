"""GeoJSON as QuPath writes it: each feature is an object with its class and colour."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from annotator.exchange.label_files.contract import (
    OBJECT,
    FileClass,
    LabelFile,
    ObjectLayers,
    SaidOfImage,
    no_areas,
)
from annotator.exchange.label_files.json_file import content_of
from annotator.exchange.masks.value_names import clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid
from storage.formats.shapes.outlines import Ring

DEPTH = {"Polygon": 1, "MultiPolygon": 2}  # lists around rings
AREA = "annotation"  # what QuPath calls a region that people drew
NUMBER = "Object number"


class GeoFile(LabelFile):
    def __init__(self, path: Path, features: list[dict[str, Any]]) -> None:
        super().__init__(path)
        self._features = [one for one in features if one["geometry"]["type"] in DEPTH]
        self._others = Counter(
            one["geometry"]["type"] for one in features if one["geometry"]["type"] not in DEPTH
        )
        found = dict.fromkeys(_class_of(one) for one in self._features)
        self._values = {name: n for n, (name, _) in enumerate(found, start=1)}
        self.classes = {self._values[name]: FileClass(name, color) for name, color in found}

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        layers = ObjectLayers(grid.display_shape)
        for number, one in enumerate(self._features, start=1):
            index = one["geometry"].get("plane", {}).get("z", 0)
            if not 0 <= index < layers.shape[0]:
                raise FileRefused(
                    f"it speaks of slice {index} and its image has {count_of(layers.shape[0], 'slice')}"
                )
            name, _ = _class_of(one)
            layers.outline(
                self._values[name], self._number(one, number), list(_rings(one["geometry"])), index
            )
        return layers.said(no_areas(self._others))

    def _number(self, one: dict[str, Any], number: int) -> int:
        """Its own where all have one; none of an area beside objects that do."""
        own = [_own_number(feature) for feature in self._features]
        if not any(own):
            return number
        return _own_number(one) or (0 if one["properties"].get("objectType") == AREA else max(own) + number)


def open_geojson(path: Path) -> GeoFile | None:
    content = content_of(path)
    features = content.get("features") if isinstance(content, dict) else content
    if isinstance(content, dict) and content.get("type") == "Feature":
        features = [content]
    if not isinstance(features, list):
        raise FileRefused("it is no collection of GeoJSON features")
    try:
        return GeoFile(path, [one for one in features if one["geometry"]])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FileRefused("it is GeoJSON with parts missing; export it again") from None


def _rings(geometry: dict[str, Any]) -> Iterator[Ring]:
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for part in parts:
        for ring in part:
            yield np.array(ring, float)[:-1, :2]  # the last point repeats the first


def _class_of(one: dict[str, Any]) -> tuple[str, str | None]:
    said = one.get("properties", {}).get("classification") or {}
    name = clean_name(str(said.get("name", ""))) or OBJECT
    color = said.get("color")
    if color is None and isinstance(said.get("colorRGB"), int):
        return name, f"#{said['colorRGB'] & 0xFFFFFF:06x}"
    if isinstance(color, list) and len(color) == 3 and all(0 <= v <= 255 for v in color):
        return name, "#{:02x}{:02x}{:02x}".format(*color)
    return name, None


def _own_number(one: dict[str, Any]) -> int:
    said = one.get("properties", {}).get("measurements")
    number = said.get(NUMBER, 0) if isinstance(said, dict) else 0
    return int(number) if 0 < number <= 65535 else 0
