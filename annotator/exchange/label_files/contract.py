"""What a label file answers: which images it is about, its classes, and every voxel of one of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learners.text import count_of
from storage.formats import Grid
from storage.formats.shapes.outlines import Ring, filled_box
from storage.rows import ClassCode

VOID = 65535  # where nobody knows
OBJECT = "object"  # the class of what names none
TISSUE = "85756007"  # of SNOMED CT


@dataclass(frozen=True)
class FileClass:
    name: str
    color: str | None = None  # "#rrggbb"
    code: str = ""  # "SCT 10200004 Liver", as `ClassCode.told` has it


@dataclass(frozen=True)
class SaidOfImage:
    """All that a label file says about one image, on its grid."""

    values: NDArray[np.uint16]  # (Z, Y, X) in the image's display order: a key of `classes`, 0 or VOID
    numbers: NDArray[np.uint16] | None = None  # (Z, Y, X) of objects, 0 where none is; None: it numbers none
    notes: tuple[str, ...] = ()
    author: str = ""  # who drew it, where the file names somebody


class LabelFile(ABC):
    """One file, opened."""

    classes: Mapping[int, FileClass]  # by value, 1 to 65534

    def __init__(self, path: Path) -> None:
        self.path = path

    def images(self) -> Sequence[str]:
        """Paths or names of the images that it is about; "" is the one that has the file's own name."""
        return ("",)

    def among(self, below: str, imported: Sequence[str]) -> Sequence[str]:
        """As `images`, for a file that only finds its image among those that are imported. `below`: where it lies
        itself, as they do. Raises FileRefused."""
        return self.images()

    def own_name(self) -> str:
        """What the image is called that has the file's own name."""
        return self.path.name[: -len(self.path.suffix)]

    def series_uid(self) -> str:
        """Of the DICOM series that it is about, whatever it is called; never shown."""
        return ""

    @abstractmethod
    def read(self, image: str, grid: Grid) -> SaidOfImage:
        """What it says about one of `images`. Raises FileRefused."""


@dataclass
class ObjectLayers:
    """Objects laid over one another: the later has what two claim, and that is counted."""

    shape: tuple[int, int, int]
    values: NDArray[np.uint16] = field(init=False)
    numbers: NDArray[np.uint16] = field(init=False)
    shared: int = 0  # voxels that two objects claim
    boxes: int = 0  # that came without an outline

    def __post_init__(self) -> None:
        self.values, self.numbers = np.zeros(self.shape, np.uint16), np.zeros(self.shape, np.uint16)

    def outline(self, value: int, number: int, rings: Sequence[Ring], index: int = 0) -> None:
        """What rings enclose on a slice."""
        box = filled_box(rings, self.shape[1:])
        self.add(value, number, box.mask, index, at=(box.y, box.x))

    def add(
        self,
        value: int,
        number: int,
        mask: NDArray[np.bool_],
        index: int = 0,
        *,
        at: tuple[int, int] = (0, 0),
    ) -> None:
        """(h, w) on a slice, with its corner at (row, column)."""
        inside = (index, slice(at[0], at[0] + mask.shape[0]), slice(at[1], at[1] + mask.shape[1]))
        values = self.values[inside]
        self.shared += int(np.count_nonzero(mask & (values > 0) & (values != VOID)))
        values[mask] = value
        self.numbers[inside][mask] = number

    def add_box(self, box: Sequence[float], index: int = 0) -> None:
        """x, y, width, height. Its object is somewhere within, so that nothing else is known there."""
        x, y, width, height = (float(v) for v in box)
        rows = slice(max(0, floor(y)), max(0, ceil(y + height)))
        columns = slice(max(0, floor(x)), max(0, ceil(x + width)))
        values = self.values[index][rows, columns]
        values[values == 0] = VOID
        self.boxes += 1

    def said(self, notes: Iterable[str] = ()) -> SaidOfImage:
        told = list(notes)
        if self.shared:
            told.append(f"{count_of(self.shared, 'pixel')} lie in two objects; the later object has them")
        if self.boxes:
            told.append(f"{_boxes(self.boxes)} without outlines: what lies inside stays unlabelled")
        numbers = self.numbers if self.numbers.any() else None
        return SaidOfImage(self.values, numbers, tuple(told))


def _boxes(count: int) -> str:
    return "1 box" if count == 1 else f"{count:,} boxes"


def told_code(scheme: str, value: str, meaning: str) -> str:
    """As text; empty for what says no more than that it is tissue, as programs write where nobody chose a code."""
    return "" if value == TISSUE else ClassCode.told(scheme, value, meaning)


def no_areas(kinds: Mapping[str, int]) -> list[str]:
    """A note for each kind of shape that encloses nothing."""
    return [f"{count_of(count, 'shape')} of kind {kind} left out: no area" for kind, count in kinds.items()]
