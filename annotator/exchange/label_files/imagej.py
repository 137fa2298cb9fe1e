"""ImageJ's regions of interest, alone or in a zip. A name without its number is the class."""

import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.exchange.label_files.contract import (
    OBJECT,
    FileClass,
    LabelFile,
    ObjectLayers,
    SaidOfImage,
    no_areas,
)
from annotator.exchange.masks.value_names import clean_name
from storage.formats import FileRefused, Grid

if TYPE_CHECKING:
    from roifile import ImagejRoi

NUMBERED = re.compile(r"^(.*?)[ _-]*\d*$")
ENDINGS = ("_rois", "_roiset", ".roi")
AREAS = ("POLYGON", "FREEHAND", "TRACED", "RECT")


class RegionFile(LabelFile):
    def __init__(self, path: Path, regions: "list[ImagejRoi]") -> None:
        super().__init__(path)
        self._regions = [one for one in regions if one.roitype.name in AREAS and not one.subtype.value]
        self._others = Counter(one.roitype.name.lower() for one in regions if one not in self._regions)
        colours: dict[str, str | None] = {}
        for one in self._regions:
            colours.setdefault(_class_of(one), _color(one))
        self._values = {name: n for n, name in enumerate(colours, start=1)}
        self.classes = {self._values[name]: FileClass(name, color) for name, color in colours.items()}

    def own_name(self) -> str:
        bare = super().own_name()
        ending = next((e for e in ENDINGS if bare.lower().endswith(e)), "")
        return bare[: len(bare) - len(ending)]

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        layers = ObjectLayers(grid.display_shape)
        for number, one in enumerate(self._regions, start=1):
            index = _slice(one, layers.shape[0])
            layers.outline(self._values[_class_of(one)], number, _rings(one), index)
        return layers.said(no_areas(self._others))


def open_regions(path: Path) -> RegionFile | None:
    """None for a zip of anything else."""
    from roifile import roiread

    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as packed:
                if not any(name.lower().endswith(".roi") for name in packed.namelist()):
                    return None
        except zipfile.BadZipFile:
            raise FileRefused("it is no zip, or cut short; copy it again") from None
    found = roiread(path)
    return RegionFile(path, found if isinstance(found, list) else [found])


def _rings(one: "ImagejRoi") -> list[Any]:
    if one.roitype.name == "RECT":
        left, top, right, bottom = one.left, one.top, one.right, one.bottom
        return [np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)]
    return [np.asarray(one.coordinates(), float)]


def _slice(one: "ImagejRoi", count: int) -> int:
    if count == 1:
        return 0
    place = int(one.position or one.z_position)
    if not 1 <= place <= count:
        raise FileRefused(f"region {clean_name(one.name)!r} names no slice from 1 to {count}")
    return place - 1


def _class_of(one: "ImagejRoi") -> str:
    found = NUMBERED.match(clean_name(one.name or ""))
    name = clean_name(found[1]) if found else ""
    return OBJECT if not name or name.replace("-", "").isdigit() else name


def _color(one: "ImagejRoi") -> str | None:
    argb = bytes(one.stroke_color or b"")
    return f"#{argb[1:].hex()}" if len(argb) == 4 and argb[0] else None
