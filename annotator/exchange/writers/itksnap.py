"""NIfTI labels with the label description file that ITK-SNAP opens beside them."""

from collections.abc import Iterable, Sequence

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import write_bytes
from storage.formats.nifti import write_labels
from storage.rows import ClassRow

HEAD = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Where:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""
GREY = "#808080"


class ItkSnapWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._names: list[tuple[int, str, str]] = []

    def write(self, image: LabelledImage) -> None:
        if not image.unknown:
            image.tell_unknown("a file for ITK-SNAP without --ignore")
        if image.instances is not None:
            image.tell("ITK-SNAP's file holds classes, so the numbers of its objects are not in it")
        write_labels(self.folder.place(f"{image.name}.nii.gz", image), image.values, image.grid)
        self._names = [(image.numbers[c.id], c.color, c.name) for c in image.classes]
        if image.unknown:
            self._names.append((image.unknown, GREY, "unlabelled"))

    def finish(self, classes: Sequence[ClassRow]) -> None:
        write_bytes(self.folder.at("labels.txt"), _described(self._names).encode())


def _described(rows: Iterable[tuple[int, str, str]]) -> str:
    lines = ['    0     0    0    0        0  0  0    "Clear Label"']
    for value, color, name in sorted(rows):
        red, green, blue = (int(color[n : n + 2], 16) for n in (1, 3, 5))
        plain = name.replace('"', "'")  # which would end the name
        lines.append(f'{value:>5} {red:>5} {green:>4} {blue:>4}        1  1  1    "{plain}"')
    return HEAD + "\n".join(lines) + "\n"
