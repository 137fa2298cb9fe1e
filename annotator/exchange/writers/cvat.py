"""CVAT's XML for images: each object as a mask, with the names and colours of classes."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.planes import PlaneObject, planes_of
from storage.arrays import write_bytes
from storage.rows import ClassRow

FILE = "annotations.xml"


class CvatWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._images: list[ET.Element] = []

    def write(self, image: LabelledImage) -> None:
        image.tell_unknown("CVAT")
        if image.instances is not None:
            image.tell("CVAT keeps objects apart but not their numbers")
        self._path = self.folder.share(FILE, image)
        _, height, width = image.row.shape
        facts = {"id": len(self._images), "name": image.row.source or image.row.name}
        facts |= {"width": width, "height": height}
        entry = ET.Element("image", {key: str(value) for key, value in facts.items()})
        names = {c.id: c.name for c in image.classes}
        for plane in planes_of(image):
            for one in plane.objects():
                ET.SubElement(entry, "mask", _mask(one, names[one.class_id]))
        self._images.append(entry)

    def finish(self, classes: Sequence[ClassRow]) -> None:
        root = ET.Element("annotations")
        ET.SubElement(root, "version").text = "1.1"
        labels = ET.SubElement(ET.SubElement(ET.SubElement(root, "meta"), "task"), "labels")
        for row in classes:
            label = ET.SubElement(labels, "label")
            for key, text in (("name", row.name), ("color", row.color), ("type", "any"), ("attributes", "")):
                ET.SubElement(label, key).text = text
        root.extend(self._images)
        ET.indent(root)
        write_bytes(self._path, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _mask(one: PlaneObject, label: str) -> dict[str, str]:
    height, width = one.mask.shape
    numbers = {"left": one.x, "top": one.y, "width": width, "height": height, "occluded": 0, "z_order": 0}
    runs = ", ".join(map(str, run_lengths(one.mask)))
    return {"label": label, "source": "manual", "rle": runs} | {k: str(v) for k, v in numbers.items()}


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Of (h, w) along its rows: outside, inside, outside, ..."""
    flat = np.concatenate([[False], mask.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    lengths: list[int] = np.diff([0, *changes.tolist(), mask.size]).tolist()
    return lengths if lengths[-1] else lengths[:-1]
