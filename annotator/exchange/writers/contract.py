"""What the writer of a format is given: images one by one, and the folder of its files."""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers import ImageKind, kind_of_image
from storage.arrays import BACKGROUND, UNLABELLED
from storage.formats import Grid
from storage.rows import ClassRow, ImageRow, LabelRow


@dataclass(frozen=True)
class LabelledImage:
    """One image with everything that is known about it; alive while it is written."""

    row: ImageRow
    grid: Grid  # where its voxels lie, in the file that it came from
    name: str  # for its files, without a suffix; no other image of the export has it
    known: NDArray[np.uint8]  # (Z, Y, X) classes in display order, UNLABELLED where nothing is known
    instances: NDArray[np.uint16] | None  # (Z, Y, X) object numbers, 0 where none is; None: no objects
    unknown: int  # what is written where nobody labelled
    numbers: Mapping[int, int]  # class -> its value in files; a data set may have fixed it
    classes: tuple[ClassRow, ...] = ()  # of the project
    labels: tuple[LabelRow, ...] = ()  # that live, oldest first
    held_out: bool = False  # it judges models as a whole, and teaches none
    files: list[str] = field(default_factory=list)  # that hold its labels, as the report names them
    told: list[str] = field(default_factory=list)  # what a format cannot hold of it, for the reports

    @property
    def kind(self) -> ImageKind:
        return kind_of_image(self.row.shape[0], self.grid)

    @property
    def present(self) -> tuple[int, ...]:
        """The classes with at least one voxel."""
        return tuple(v for v in np.unique(self.known).tolist() if v not in (BACKGROUND, UNLABELLED))

    @property
    def share_known(self) -> float:
        return 1.0 - float(np.count_nonzero(self.known == UNLABELLED)) / self.known.size

    def tell_unknown(self, title: str) -> None:
        """For a format that has no word for what nobody labelled, and takes it for background."""
        if self.share_known < 1:
            self.tell(
                f"{title} has no word for unlabelled, so {1 - self.share_known:.1%} of it reads as background"
            )

    def tell(self, sentence: str) -> None:
        """Once, however many files need it."""
        if sentence not in self.told:
            self.told.append(sentence)

    @cached_property
    def values(self) -> NDArray[Any]:
        """(Z, Y, X) what to write: the values of classes, and `unknown` where nobody labelled. uint8 where all of them
        fit, else uint16."""
        table = np.zeros(256, np.uint16)
        for class_id, value in self.numbers.items():
            table[class_id] = value
        table[UNLABELLED] = self.unknown
        wide = max([self.unknown, *self.numbers.values()]) > 255
        return (table if wide else table.astype(np.uint8))[self.known]


@dataclass(frozen=True)
class ExportFolder:
    """The folder of one format within an export."""

    path: Path
    kind: str  # its key in WRITERS, which is its name too
    project: str
    originals: Path | None = None  # the files that images came from, where somebody named their folder
    taken: set[str] = field(default_factory=set)  # names in use, in one spelling

    def place(self, name: str, image: LabelledImage) -> Path:
        """The path of a file to write about one image: `image.name` and an ending. The reports will say that it holds
        its labels. Raises ValueError rather than let it replace another."""
        self.beside(name, image)
        return self.share(name, image)

    def beside(self, name: str, image: LabelledImage) -> Path:
        """As `place`, of a file that goes with an image and holds no labels."""
        key = unicodedata.normalize("NFC", name.casefold())
        if key in self.taken:
            raise ValueError(f"{name} would be written twice; rename image {image.row.name!r}")
        self.taken.add(key)
        return self.at(name)

    def share(self, name: str, image: LabelledImage) -> Path:
        """As `place`, of a file that holds the labels of all images."""
        image.files.append(f"{self.kind}/{name}")
        return self.at(name)

    def at(self, name: str) -> Path:
        """The path of a file about all images, which holds no labels."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class Writer(ABC):
    """One format of one export: `write` for each image that it fits, then `finish`."""

    def __init__(self, folder: ExportFolder) -> None:
        self.folder = folder

    @abstractmethod
    def write(self, image: LabelledImage) -> None:
        """Write an image, or keep what `finish` needs of it. Paths come from `self.folder.place`."""

    def finish(self, classes: Sequence[ClassRow]) -> None:  # noqa: B027  most formats have nothing to add
        """After the last image, where there was one: write what is about all of them."""
