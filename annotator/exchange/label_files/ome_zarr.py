"""Labels of OME-Zarr (NGFF 0.4 and 0.5): each label image of a `.zarr` folder, at its full size.

NGFF knows no anatomy. So labels of an image that knows its own are only taken from our exports, which say that they lie
as the app shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotator.exchange.label_files.contract import VOID, FileClass, LabelFile, SaidOfImage
from annotator.exchange.masks.value_names import VOID_NAMES, clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid
from storage.formats.base import check_size
from storage.rows import ClassCode

ENDINGS = (".ome.zarr", ".zarr")
SPACE, OTHERS = ("z", "y", "x"), ("t", "c")
CLASSES, OBJECTS = "classes", "objects"  # what our own export calls its two
OURS = "slicewise"  # the key by which it says that it lies in display order
HIGHEST = 65535
NUMBERED = "the values of labels/{} are taken as numbers of objects, for it names no classes"
UNPLACED = "it does not say how it lies in the body and its image does; save its labels as NIfTI"


@dataclass(frozen=True)
class _LabelImage:
    """One of the label images."""

    name: str
    array: Any  # of zarr, not read yet
    axes: tuple[str, ...]
    ours: bool
    classes: Mapping[int, FileClass]  # empty: its values number objects
    void: frozenset[int]

    def read(self, grid: Grid) -> NDArray[np.integer]:
        """(Z, Y, X) in display order. Raises FileRefused."""
        if grid.oriented and not self.ours:
            raise FileRefused(UNPLACED)
        shape = dict(zip(self.axes, self.array.shape, strict=True))
        said = tuple(shape.get(axis, 1) for axis in SPACE)
        if said != grid.display_shape:
            raise FileRefused(
                f"its labels are {_times(said)} and its image {_times(grid.display_shape)} (z, y, x)"
            )
        values = np.asarray(self.array[...]).reshape(said)
        if values.min(initial=0) < 0:
            raise FileRefused("it has negative values, which mean nothing here")
        return values


class ZarrLabels(LabelFile):
    def __init__(self, path: Path, images: list[_LabelImage]) -> None:
        super().__init__(path)
        self._images = images
        self.classes: dict[int, FileClass] = {}
        self._values: dict[str, int] = {}
        for image in images:
            for value, one in (image.classes or {0: FileClass(image.name)}).items():
                self._add(value, one)

    def _add(self, value: int, one: FileClass) -> None:
        """A class keeps its value where that is free."""
        if one.name in self._values:
            return
        free = value if 0 < value < VOID and value not in self.classes else max(self.classes, default=0) + 1
        self._values[one.name], self.classes[free] = free, one

    def own_name(self) -> str:
        ending = next(e for e in ENDINGS if self.path.name.lower().endswith(e))
        return self.path.name[: -len(ending)]

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        check_size(grid.display_shape, 2)
        values, numbers = np.zeros(grid.display_shape, np.uint16), np.zeros(grid.display_shape, np.uint16)
        notes, shared, last = [], 0, 0
        for one in self._images:
            stored = one.read(grid)
            if one.name == OBJECTS and one.ours:
                numbers = stored.astype(np.uint16)
                continue
            inside = stored > 0
            shared += int(np.count_nonzero(values[inside]))
            if one.classes:
                values[inside] = self._named(one, stored[inside])
                continue
            notes.append(NUMBERED.format(one.name))
            found, counted = np.unique(stored[inside], return_inverse=True)
            if last + len(found) > HIGHEST:
                raise FileRefused(f"it numbers more than {HIGHEST:,} objects; cut the image into parts")
            values[inside], numbers[inside] = self._values[one.name], counted + last + 1
            last += len(found)
        if shared:
            notes.append(f"{count_of(shared, 'voxel')} lie in two labels; the later label has them")
        return SaidOfImage(values, numbers if numbers.any() else None, tuple(notes))

    def _named(self, one: _LabelImage, stored: NDArray[np.integer]) -> NDArray[np.uint16]:
        table = {v: self._values[said.name] for v, said in one.classes.items()} | dict.fromkeys(
            one.void, VOID
        )
        keys, places = np.unique(stored, return_inverse=True)
        nameless = [int(v) for v in keys if int(v) not in table]
        if nameless:
            raise FileRefused(f"labels/{one.name} names some values and not {nameless[0]}; name all of them")
        return np.array([table[int(v)] for v in keys], np.uint16)[places]


def open_labels(path: Path) -> ZarrLabels | None:
    try:
        root = zarr.open_group(path, mode="r")
        names = _ome(root["labels"]).get("labels") if "labels" in root else None
    except (KeyError, ValueError, FileNotFoundError, zarr.errors.GroupNotFoundError):
        names = None
    if not isinstance(names, list) or not names:
        raise FileRefused(
            "it holds no labels; to open its image, import its folder by itself on the command line"
        )
    return ZarrLabels(path, [_label_image(root["labels"], str(name)) for name in names])


def _label_image(labels: Any, name: str) -> _LabelImage:
    group = _child(labels, name)
    about = _ome(group)
    scales = about["multiscales"][0]
    array = _child(group, str(scales["datasets"][0]["path"]))
    axes = tuple(str(axis["name"]).lower() for axis in scales["axes"])
    sides = dict(zip(axes, array.shape, strict=True))
    if array.dtype.kind not in "ui" or axes[-2:] != SPACE[1:] or set(axes) - {*SPACE, *OTHERS}:
        raise FileRefused(f"labels/{name} is no label image of whole numbers along z, y and x")
    if any(sides.get(axis, 1) != 1 for axis in OTHERS):
        raise FileRefused(f"labels/{name} has several channels or moments; save one of them")
    check_size(array.shape, 2)
    classes, void = _classes(about.get("image-label") or {})
    return _LabelImage(clean_name(name) or "label", array, axes, OURS in group.attrs, classes, void)


def _child(group: Any, name: str) -> Any:
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
        raise FileRefused("it names a part outside itself; that is never followed")
    return group[name]


def _ome(group: Any) -> dict[str, Any]:
    """What NGFF says: below `ome` from 0.5 on."""
    said = dict(group.attrs)
    return dict(said.get("ome") or said)


def _classes(about: Mapping[str, Any]) -> tuple[dict[int, FileClass], frozenset[int]]:
    """Those that properties name, with their colours; and the values that say: nobody knows."""
    colours = {int(one["label-value"]): one.get("rgba") for one in about.get("colors") or ()}
    found: dict[int, FileClass] = {}
    void = set()
    for one in about.get("properties") or ():
        value, name = int(one["label-value"]), clean_name(str(one.get("class") or one.get("name") or ""))
        if name.casefold() in VOID_NAMES:
            void.add(value)
        elif name and value:
            code = ClassCode.told(str(one.get("scheme") or ""), str(one.get("code") or ""), name)
            found[value] = FileClass(name, _hex(colours.get(value)), code)
    return found, frozenset(void)


def _hex(rgba: Any) -> str | None:
    if not isinstance(rgba, list) or len(rgba) < 3:
        return None
    return "#" + "".join(f"{min(255, max(0, int(v))):02x}" for v in rgba[:3])


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
