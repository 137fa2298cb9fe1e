"""labelme's JSON: polygons, rectangles, circles and masks of one picture. Shapes of one group are one object."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotator.exchange.label_files.contract import FileClass, LabelFile, ObjectLayers, SaidOfImage, no_areas
from annotator.exchange.label_files.json_file import content_of
from annotator.exchange.masks.value_names import clean_name
from storage.formats import FileRefused, Grid
from storage.formats.base import check_size

KEYS = {"shapes", "imagePath", "imageHeight", "imageWidth"}
AROUND = np.linspace(0, 2 * np.pi, 180, endpoint=False)  # points of a circle
MOST_NUMBER = 65535


class LabelmeFile(LabelFile):
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(path)
        self._content = content
        names = dict.fromkeys(_class_of(one) for one in content["shapes"])
        self._values = {name: n for n, name in enumerate(names, start=1)}
        self.classes = {n: FileClass(name) for name, n in self._values.items()}
        own = PurePosixPath(str(content["imagePath"]).replace("\\", "/")).name
        self._image = own if own and PurePosixPath(own).stem != path.stem else ""

    def images(self) -> Sequence[str]:
        return (self._image,)

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        shape = grid.display_shape
        said = (self._content["imageWidth"], self._content["imageHeight"])
        if shape[0] != 1 or said != (shape[2], shape[1]):
            raise FileRefused(
                f"it says {said[0]} x {said[1]} pixels, and its image has {shape[2]} x {shape[1]}"
            )
        layers, others = ObjectLayers(shape), Counter[str]()
        for one, number in zip(self._content["shapes"], _numbers(self._content["shapes"])):
            if not _draw(layers, one, self._values[_class_of(one)], number):
                others[str(one.get("shape_type"))] += 1
        return layers.said(no_areas(others))


def open_labelme(path: Path) -> LabelmeFile | None:
    content = content_of(path)
    if not isinstance(content, dict) or not set(content) >= KEYS:
        return None
    try:
        return LabelmeFile(path, content)
    except (KeyError, TypeError, AttributeError):
        raise FileRefused("it is labelme's JSON with parts missing; save it again") from None


def _class_of(one: dict[str, Any]) -> str:
    return clean_name(str(one["label"])) or "object"


def _numbers(shapes: Sequence[dict[str, Any]]) -> list[int]:
    """Groups keep their number; all others get one that is free."""
    groups = [one.get("group_id") for one in shapes]
    kept = [g if isinstance(g, int) and 0 < g <= MOST_NUMBER else None for g in groups]
    free = iter(n for n in range(1, len(shapes) + len(set(kept)) + 1) if n not in kept)
    return [number if number is not None else next(free) for number in kept]


def _draw(layers: ObjectLayers, one: dict[str, Any], value: int, number: int) -> bool:
    points, kind = np.array(one["points"], float), one.get("shape_type", "polygon")
    if kind == "mask":
        left, top = points[0].astype(int).tolist()
        layers.add(value, number, _picture(one["mask"]), at=(top, left))
    elif kind in ("polygon", "rectangle", "circle"):
        layers.outline(value, number, [_ring(kind, points)])
    else:
        return False
    return True


def _ring(kind: str, points: NDArray[np.float64]) -> NDArray[np.float64]:
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind == "circle":
        radius = np.linalg.norm(points[1] - points[0])
        return np.asarray(points[0] + radius * np.column_stack([np.cos(AROUND), np.sin(AROUND)]))
    return points


def _picture(packed: str) -> NDArray[np.bool_]:
    with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("PNG",)) as picture:
        check_size(picture.size[::-1], 1)
        return np.asarray(picture.convert("L")) > 0
