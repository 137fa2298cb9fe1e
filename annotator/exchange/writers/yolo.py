"""YOLO's data set: a picture and a text file for each plane, outlines or boxes as parts of its width and height."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import yaml
from numpy.typing import NDArray

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.planes import (
    LabelledPlane,
    PlaneObject,
    planes_of,
    shown,
    tell_unknown_planes,
)
from learners.text import count_of
from storage.arrays import write_bytes
from storage.formats.pictures import write_labels
from storage.rows import ClassRow

DIGITS = 9  # of a share: exact to a hundredth of a pixel in any picture


class YoloWriter(Writer):
    """Outlines. One line is one outline: holes are lost, and parts of an object become objects."""

    boxes: ClassVar[bool] = False

    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._parts: set[str] = set()

    def write(self, image: LabelledImage) -> None:
        tell_unknown_planes(image, "YOLO")
        index = {c.id: n for n, c in enumerate(image.classes)}
        part = "val" if image.held_out else "train"
        self._parts.add(part)
        for plane in planes_of(image):
            picture = self.folder.beside(f"images/{part}/{plane.name}.png", image)
            write_labels(picture, shown(image, plane))
            # a larger one first: what lies in the hole of another comes after it, and is on top
            objects = sorted(plane.objects(), key=lambda one: -one.mask.size)
            lines = [f"{index[one.class_id]} {row}" for one in objects for row in self._rows(one, plane)]
            path = self.folder.place(f"labels/{part}/{plane.name}.txt", image)
            write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
            if not self.boxes:
                _tell_lost(image, objects)

    def finish(self, classes: Sequence[ClassRow]) -> None:
        content = {
            "train": "images/train" if "train" in self._parts else "images/val",
            "val": "images/val" if "val" in self._parts else "images/train",
            "names": dict(enumerate(c.name for c in classes)),
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_bytes(self.folder.at("data.yaml"), text.encode())

    def _rows(self, one: PlaneObject, plane: LabelledPlane) -> Iterator[str]:
        height, width = plane.known.shape
        if self.boxes:
            h, w = one.mask.shape
            yield _shares(np.array([one.x + w / 2, one.y + h / 2, w, h]) / (width, height, width, height))
            return
        for outline in one.outlines():
            yield _shares((outline.outer / (width, height)).ravel())


class YoloBoxWriter(YoloWriter):
    """Boxes around objects."""

    boxes = True


def _shares(numbers: NDArray[np.float64]) -> str:
    return " ".join(f"{n:.{DIGITS}g}" for n in numbers)


def _tell_lost(image: LabelledImage, objects: Sequence[PlaneObject]) -> None:
    parts = [one.outlines() for one in objects]
    if holes := sum(any(part.holes for part in own) for own in parts):
        image.tell(f"YOLO has no holes, so those of {count_of(holes, 'object')} are filled")
    if split := sum(len(own) > 1 for own in parts):
        image.tell(f"YOLO's objects have one part, so {count_of(split, 'object')} in parts became several")
