"""COCO: the objects of all pictures in one JSON file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import write_bytes
from storage.formats.shapes import coco
from storage.rows import ClassRow

FILE = "annotations.json"


class CocoWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._numbers: Mapping[int, int] = {}

    def write(self, image: LabelledImage) -> None:
        self._path = self.folder.share(FILE, image)
        row = image.row
        _, height, width = row.shape
        entry = {"id": row.id, "file_name": row.source or row.name, "width": width, "height": height}
        self._images.append(entry)
        found = coco.annotations(
            image.known[0],
            None if image.instances is None else image.instances[0],
            image_id=row.id,
            first_id=len(self._objects) + 1,
        )
        self._objects += [one | {"category_id": image.numbers[one["category_id"]]} for one in found]
        self._numbers = image.numbers

    def finish(self, classes: Sequence[ClassRow]) -> None:
        content = {
            "info": {"description": f"{self.folder.project}, labelled with Slicewise"},
            "images": self._images,
            "annotations": self._objects,
            "categories": coco.categories([(self._numbers[c.id], c.name, c.color) for c in classes]),
        }
        write_bytes(self._path, json.dumps(content, indent=1, ensure_ascii=False).encode())
