"""Pictures, and the slices of volumes of which something is known, for formats that hold objects of a plane."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers.contract import LabelledImage
from annotator.windowing import to_rgb
from storage.arrays import UNLABELLED, open_npy
from storage.formats.shapes.coco import objects_in
from storage.formats.shapes.outlines import PixelOutline, outlines


@dataclass(frozen=True)
class PlaneObject:
    """An object number, or a connected part of what has none."""

    class_id: int
    number: int  # 0: none
    mask: NDArray[np.bool_]  # (h, w) of its box
    x: int
    y: int

    def outlines(self) -> list[PixelOutline]:
        return [one.moved(self.x, self.y) for one in outlines(self.mask)]


@dataclass(frozen=True)
class LabelledPlane:
    """A picture, or one slice along z of a volume."""

    name: str  # for its files; no other plane of the export has it
    slice: int | None  # in display order; None: a picture
    known: NDArray[np.uint8]  # (H, W)
    instances: NDArray[np.uint16] | None  # (H, W)

    @property
    def share_known(self) -> float:
        return 1.0 - float(np.count_nonzero(self.known == UNLABELLED)) / self.known.size

    def objects(self) -> Iterator[PlaneObject]:
        for class_id, number, rows, columns in objects_in(self.known, self.instances):
            y, x = int(rows.min()), int(columns.min())
            mask = np.zeros((int(rows.max()) - y + 1, int(columns.max()) - x + 1), bool)
            mask[rows - y, columns - x] = True
            yield PlaneObject(class_id, number, mask, x, y)


def planes_of(image: LabelledImage) -> Iterator[LabelledPlane]:
    for index, known in enumerate(image.known):
        if (known == UNLABELLED).all():
            continue
        instances = None if image.instances is None else image.instances[index]
        if image.kind == "volume":
            yield LabelledPlane(f"{image.name}_z{index:04}", index, known, instances)
        else:
            yield LabelledPlane(image.name, None, known, instances)


def shown(image: LabelledImage, plane: LabelledPlane) -> NDArray[np.uint8]:
    """(1, H, W[, 3]) as it is seen: grey in the image's window, colours as they are."""
    pixels = open_npy(image.row.path)[plane.slice or 0]
    rgb = to_rgb(pixels, image.row.window)
    return rgb[None] if pixels.ndim == 3 else rgb[None, ..., 0]


def tell_unknown_planes(image: LabelledImage, title: str) -> None:
    """As `tell_unknown`, of the planes that are written: the others are left out."""
    if any(plane.share_known < 1 for plane in planes_of(image)):
        image.tell(f"{title} has no word for unlabelled, so what nobody labelled of it reads as background")
