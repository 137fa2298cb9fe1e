"""Label Studio's JSON of tasks: each object as a brush mask; and the labelling interface that goes with it."""

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from annotator.dialects.labelstudio.rle import encode
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.planes import LabelledPlane, PlaneObject, planes_of
from storage.arrays import write_bytes
from storage.rows import ClassRow

FILE = "tasks.json"
BRUSH = "brushlabels"


class LabelStudioWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._tasks: list[dict[str, Any]] = []

    def write(self, image: LabelledImage) -> None:
        image.tell_unknown("Label Studio")
        if image.instances is not None:
            image.tell("Label Studio keeps objects apart but not their numbers")
        self._path = self.folder.share(FILE, image)
        names = {c.id: c.name for c in image.classes}
        regions = [
            _region(one, plane, names[one.class_id]) for plane in planes_of(image) for one in plane.objects()
        ]
        data = {"image": image.row.source or image.row.name}
        self._tasks.append({"data": data, "annotations": [{"result": regions}]})

    def finish(self, classes: Sequence[ClassRow]) -> None:
        for task in self._tasks:
            for number, region in enumerate(task["annotations"][0]["result"], start=1):
                region["id"] = f"object{number}"
        write_bytes(self._path, json.dumps(self._tasks, ensure_ascii=False).encode())
        write_bytes(self.folder.at("interface.xml"), _interface(classes))


def _region(one: PlaneObject, plane: LabelledPlane, name: str) -> dict[str, Any]:
    height, width = plane.known.shape
    return {
        "type": BRUSH,
        "from_name": "tag",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode(one.mask, (one.y, one.x), (height, width)), BRUSH: [name]},
    }


def _interface(classes: Sequence[ClassRow]) -> bytes:
    view = ET.Element("View")
    ET.SubElement(view, "Image", {"name": "image", "value": "$image"})
    brush = ET.SubElement(view, "BrushLabels", {"name": "tag", "toName": "image"})
    for row in classes:
        ET.SubElement(brush, "Label", {"value": row.name, "background": row.color})
    ET.indent(view)
    text: bytes = ET.tostring(view, encoding="utf-8")
    return text
