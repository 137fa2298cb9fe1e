"""Regions of Label Studio as masks and back. Places are in per cent of the picture."""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotator.dialects.labelstudio import rle
from annotator.dialects.labelstudio.config import BOX, BRUSH, KINDS, POLYGON, Control
from annotator.dialects.pointing import SlicePrompts
from annotator.protocol.incoming import Point

MOST_POINTS = 100_000
CLICK, SMALLEST = "keypointlabels", 4  # pixels of an object that gets a box


def drawn(control: Control, label: str, mask: NDArray[np.bool_], score: float) -> list[dict[str, Any]]:
    """(rows, columns) as regions of a control: one brush mask, or a box an object."""
    rows, columns = mask.shape
    about = {
        "from_name": control.name,
        "to_name": control.image,
        "type": control.kind,
        "original_width": columns,
        "original_height": rows,
        "image_rotation": 0,
        "score": round(score, 4),
    }
    if control.kind == BRUSH:
        return [{**about, "value": {"format": "rle", "rle": rle.encode(mask), BRUSH: [label]}}]
    return [{**about, "value": {**box, "rotation": 0, BOX: [label]}} for box in _boxes(mask)]


def _boxes(mask: NDArray[np.bool_]) -> Iterable[dict[str, float]]:
    rows, columns = mask.shape
    _, _, found, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    for left, top, width, height, pixels in found[1:].tolist():  # the first is what is no object
        if pixels >= SMALLEST:
            yield {
                "x": 100 * left / columns,
                "y": 100 * top / rows,
                "width": 100 * width / columns,
                "height": 100 * height / rows,
            }


def classes_in(results: Any, size: tuple[int, int]) -> list[tuple[str, NDArray[np.bool_]]]:
    """What an annotation says, a later region on top of an earlier one. Boxes say nothing about voxels. Raises
    ValueError."""
    found = []
    for one in _regions(results):
        value = one["value"]
        labels = value.get(one["type"])
        if one["type"] == BRUSH and value.get("format") == "rle" and isinstance(value.get("rle"), list):
            mask = rle.decode(value["rle"], size)
        elif one["type"] == POLYGON and isinstance(value.get("points"), list):
            mask = _polygon(value["points"], size)
        else:
            continue
        if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
            raise ValueError("a region of the annotation has no label, or several; give it one")
        found.append((labels[0], mask))
    return found


def _polygon(points: list[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    if len(points) > MOST_POINTS:
        raise ValueError("a polygon of the annotation has too many points; draw it with the brush")
    rows, columns = size
    corners = np.array([[_share(x) * columns, _share(y) * rows] for x, y in points], np.float64)
    mask = np.zeros(size, np.uint8)
    if len(corners) >= 3:
        cv2.fillPoly(mask, [np.rint(corners - 0.5).astype(np.int32)], 1)
    return mask.astype(np.bool_)


def prompts_in(results: Any, size: tuple[int, int]) -> tuple[str, SlicePrompts]:
    """The newest label, and its clicks and its box. Raises ValueError where there are none."""
    label, box = "", None
    fore: list[Point] = []
    back: list[Point] = []
    for one in _regions(results):
        value, kind = one["value"], one["type"]
        named = value.get(kind)
        if kind not in (CLICK, BOX) or not isinstance(named, list) or not named:
            continue
        if label not in ("", str(named[0])):  # another object begins
            fore, back, box = [], [], None
        label = str(named[0])
        if kind == BOX:
            box = _corners(value, size)
        else:
            positive = one.get("is_positive", value.get("is_positive", 1))
            (fore if positive not in (0, False, "0") else back).append(_click(value, size))
    if not fore and box is None:
        raise ValueError("there is no click on an object and no box; add one")
    return label, SlicePrompts(0, 0, tuple(fore), tuple(back), box)


def _regions(results: Any) -> list[Mapping[str, Any]]:
    """Raises ValueError for what is no list of regions."""
    if not isinstance(results, list):
        raise ValueError("an annotation is a list of regions")
    known = (*KINDS, CLICK)
    return [
        one
        for one in results
        if isinstance(one, dict) and one.get("type") in known and isinstance(one.get("value"), dict)
    ]


def _share(value: Any) -> float:
    """Of per cent. Raises ValueError."""
    if type(value) not in (int, float) or not -1 <= value <= 101:
        raise ValueError("a place in an annotation is no number from 0 to 100 per cent")
    return min(max(float(value), 0.0), 100.0) / 100


def _click(value: Mapping[str, Any], size: tuple[int, int]) -> Point:
    row, column = _share(value.get("y")) * size[0], _share(value.get("x")) * size[1]
    return float(min(int(row), size[0] - 1)), float(min(int(column), size[1] - 1))


def _corners(value: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """r0, c0, r1, c1."""
    x, y = _share(value.get("x")), _share(value.get("y"))
    right, bottom = min(1.0, x + _share(value.get("width"))), min(1.0, y + _share(value.get("height")))
    return y * size[0], x * size[1], bottom * size[0], right * size[1]
