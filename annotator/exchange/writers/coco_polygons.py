"""COCO with polygons, for pictures and the labelled slices of volumes, with the pictures themselves."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.planes import (
    LabelledPlane,
    PlaneObject,
    planes_of,
    shown,
    tell_unknown_planes,
)
from storage.arrays import write_bytes
from storage.formats.pictures import write_labels
from storage.formats.shapes import coco
from storage.rows import ClassRow

FILE = "annotations.json"


class CocoPolygonWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._numbers: Mapping[int, int] = {}

    def write(self, image: LabelledImage) -> None:
        tell_unknown_planes(image, "COCO")
        self._path = self.folder.share(FILE, image)
        self._numbers = image.numbers
        for plane in planes_of(image):
            write_labels(self.folder.beside(f"images/{plane.name}.png", image), shown(image, plane))
            self._images.append(self._entry(image, plane))
            self._objects += [self._object(one, plane) for one in plane.objects()]

    def finish(self, classes: Sequence[ClassRow]) -> None:
        content = {
            "info": {"description": f"{self.folder.project}, labelled with Slicewise"},
            "images": self._images,
            "annotations": [{"id": n} | one for n, one in enumerate(self._objects, start=1)],
            "categories": coco.categories([(self._numbers[c.id], c.name, c.color) for c in classes]),
        }
        write_bytes(self._path, json.dumps(content, ensure_ascii=False).encode())

    def _entry(self, image: LabelledImage, plane: LabelledPlane) -> dict[str, Any]:
        height, width = plane.known.shape
        entry = {
            "id": len(self._images) + 1,
            "file_name": f"{plane.name}.png",
            "width": width,
            "height": height,
        }
        return entry | {"slicewise": {"image": image.row.source or image.row.name, "slice": plane.slice}}

    def _object(self, one: PlaneObject, plane: LabelledPlane) -> dict[str, Any]:
        height, width = one.mask.shape
        return {
            "image_id": len(self._images),
            "category_id": self._numbers[one.class_id],
            "iscrowd": 0,
            "segmentation": _segmentation(one, plane),
            "area": int(np.count_nonzero(one.mask)),
            "bbox": [one.x, one.y, width, height],
        }


def _segmentation(one: PlaneObject, plane: LabelledPlane) -> Any:
    """Polygons; run lengths of what has holes, which COCO's polygons cannot say."""
    parts = one.outlines()
    if any(part.holes for part in parts):
        rows, columns = np.nonzero(one.mask)
        size = (plane.known.shape[0], plane.known.shape[1])
        return coco.run_lengths(rows + one.y, columns + one.x, size)
    return [part.outer.ravel().tolist() for part in parts]
