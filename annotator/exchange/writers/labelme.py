"""labelme's JSON, one file for each picture: objects as masks, which keep holes and parts."""

import base64
import io
import json
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from annotator.exchange.writers.contract import LabelledImage, Writer
from annotator.exchange.writers.planes import PlaneObject, planes_of
from storage.arrays import write_bytes

VERSION = "5.10.1"  # of the files, not of a program that is needed


class LabelmeWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        image.tell_unknown("labelme")
        names = {c.id: c.name for c in image.classes}
        shapes = [_shape(one, names[one.class_id]) for plane in planes_of(image) for one in plane.objects()]
        _, height, width = image.row.shape
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": PurePosixPath(image.row.source or image.row.name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path = self.folder.place(f"{image.name}.json", image)
        write_bytes(path, json.dumps(content, ensure_ascii=False).encode())


def _shape(one: PlaneObject, label: str) -> dict[str, Any]:
    height, width = one.mask.shape
    packed = io.BytesIO()
    Image.fromarray(one.mask).save(packed, "PNG")
    return {
        "label": label,
        "points": [[one.x, one.y], [one.x + width - 1, one.y + height - 1]],
        "group_id": one.number or None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(packed.getvalue()).decode(),
    }
