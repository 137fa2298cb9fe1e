"""What another tool asks about: an image of the project by the name that the tool knows, or one that it only lent."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from annotator.text import sentence
from storage.formats import Grid, grid_of_image, stem
from storage.rows import ClassRow, ImageRow
from storage.store import Store

_ODD = re.compile(r"[^\w.-]+", re.ASCII)
LONGEST = 80


@dataclass(frozen=True)
class Subject:
    """Where the voxels are and how they lie."""

    path: Path  # .npy (Z, Y, X[, 3])
    shape: tuple[int, int, int]  # (Z, Y, X)
    grid: Grid
    window: tuple[float, float]
    spacing_mm: tuple[float, float, float]
    image_id: int | None = None  # None: it was lent, and is not of the project

    @property
    def axis(self) -> int:
        """The display axis along which the file's slices lie; of a picture its only one."""
        return 0 if self.shape[0] == 1 else self.grid.axes.index(2)


def subject_of(row: ImageRow) -> Subject:
    grid = grid_of_image(row.geometry, row.shape, row.spacing_mm)
    spacing = row.spacing_mm or (1.0, 1.0, 1.0)
    return Subject(row.path, row.shape, grid, row.window, spacing, row.id)


def key_of(row: ImageRow) -> str:
    """As "12-liver_03": what a person recognises and no other image has. It stays when the image is renamed, since the
    number alone counts."""
    name = _ODD.sub("_", stem(PurePath(row.name))).strip("_.")[:LONGEST]
    return f"{row.id}-{name}" if name else str(row.id)


def image_of(store: Store, key: str) -> ImageRow:
    """Raises LookupError."""
    number = key.partition("-")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise LookupError(
            sentence(f"there is no image {key[:LONGEST]!r} in this project; ask for the list anew")
        )
    return store.image(int(number))


def numbers_of(classes: list[ClassRow]) -> dict[int, int]:
    """Class -> its value in label maps for other tools, from 1 without gaps: some name segments by their order."""
    return {row.id: n for n, row in enumerate(sorted(classes, key=lambda row: row.id), 1)}


def label_names(classes: list[ClassRow]) -> dict[str, int]:
    numbers = numbers_of(classes)
    return {row.name: numbers[row.id] for row in sorted(classes, key=lambda row: row.id)}
