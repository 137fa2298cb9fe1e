"""Pascal VOC's palette PNG: the class of each pixel, and its object, each number in VOC's colour; 255 is unknown."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotator.exchange.writers.contract import LabelledImage, Writer
from annotator.exchange.writers.label_images import numbered
from storage.arrays import UNLABELLED, write_bytes
from storage.formats.shapes.voc_palette import palette
from storage.rows import ClassRow

VOID = 255
TOO_MANY = "Pascal VOC's palette ends at 254, so its {} are left out"


class VocWriter(Writer):
    """`labels.csv` names the colours for our own import, `labelmap.txt` for others."""

    def finish(self, classes: Sequence[ClassRow]) -> None:
        colours = palette()
        named = [(n, row.name) for n, row in enumerate(sorted(classes, key=lambda c: c.id), start=1)]
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["value", "name", "color"])
        rows.writerows((n, name, "#" + colours[n].tobytes().hex()) for n, name in [*named, (VOID, "void")])
        write_bytes(self.folder.at("labels.csv"), text.getvalue().encode())
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        lines += [f"{name.replace(':', ' ')}:{','.join(map(str, colours[n]))}::" for n, name in named]
        write_bytes(self.folder.at("labelmap.txt"), "\n".join([*lines, ""]).encode())

    def write(self, image: LabelledImage) -> None:
        classes = {c: n for n, c in enumerate(sorted(image.numbers), start=1)}
        table = np.zeros(256, np.uint8)
        table[list(classes)] = list(classes.values())
        table[UNLABELLED] = VOID
        _save(self.folder.place(f"SegmentationClass/{image.name}.png", image), table[image.known[0]])
        found = numbered(image).values[0]
        if found.max(initial=0) >= VOID:
            image.tell(TOO_MANY.format("objects"))
            return
        objects = np.where(image.known[0] == UNLABELLED, VOID, found).astype(np.uint8)
        _save(self.folder.place(f"SegmentationObject/{image.name}.png", image), objects)


def _save(path: Path, values: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(values, "P")
    picture.putpalette(palette().tobytes())
    picture.save(path)
