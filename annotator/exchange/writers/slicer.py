"""3D Slicer's `.seg.nrrd`: classes as segments with names and colours, on the image's exact grid."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers.contract import LabelledImage, Writer
from storage.arrays import UNLABELLED, write_bytes
from storage.formats import Grid
from storage.formats.packed import gzipped_labels

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
# as 3D Slicer has it: context, category, type, its modifier, and an anatomic region that nobody said
TERMINOLOGY = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~{}~^^~Anatomic codes - DICOM master list~^^~^^|"
)
UNLABELLED_NAME, UNLABELLED_COLOR = "unlabelled", "#808080"


class SegmentWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        if image.grid.affine is None:
            image.tell("its file says no size of voxels, so 3D Slicer will take them as 1 mm")
        if not image.unknown:
            image.tell_unknown("a segmentation for 3D Slicer without --ignore")
        path = self.folder.place(f"{image.name}.seg.nrrd", image)
        write_bytes(path, nrrd(image.values, image.grid, dict(_segments(image))))
        if image.instances is not None:
            path = self.folder.place(f"{image.name}_instances.nrrd", image)
            write_bytes(path, nrrd(image.instances, image.grid, {}))


def nrrd(labels: NDArray[Any], grid: Grid, more: dict[str, str], level: int = 6) -> bytes:
    """(Z, Y, X) as an NRRD file in the order of the image's own; `more`: keys and values of the header. `level` of
    gzip: 1 is quick, 9 is small, 0 packs nothing."""
    source = grid.to_source(labels)
    kind = "uint8" if source.dtype.itemsize == 1 else "uint16"
    lines = ["NRRD0004", f"type: {kind}", "dimension: 3", *_place(grid), f"sizes: {_row(source.shape)}"]
    lines += ["kinds: domain domain domain", "endian: little", f"encoding: {'gzip' if level else 'raw'}"]
    lines += [f"{key}:={value}" for key, value in more.items()]
    voxels = source.astype(source.dtype.newbyteorder("<"), copy=False).tobytes(order="F")
    packed = gzipped_labels(voxels, level) if level else voxels
    return "\n".join(lines).encode() + b"\n\n" + packed


def _place(grid: Grid) -> Iterator[str]:
    if grid.affine is None:
        return
    affine = np.array(grid.affine)
    if not grid.oriented:
        yield f"spacings: {_row(np.linalg.norm(affine[:3, :3], axis=0))}"
        return
    directions = (RAS_TO_LPS @ affine[:3, :3]).T
    yield "space: left-posterior-superior"
    yield "space directions: " + " ".join(f"({_row(way, ',')})" for way in directions)
    yield f"space origin: ({_row(RAS_TO_LPS @ affine[:3, 3], ',')})"


def _segments(image: LabelledImage) -> Iterator[tuple[str, str]]:
    """Of every class of the project, present or not, so that files of one export have the same segments."""
    rows = [(image.numbers[c.id], c.name, c.color, c.code) for c in image.classes]
    if image.unknown and (image.known == UNLABELLED).any():
        rows.append((image.unknown, UNLABELLED_NAME, UNLABELLED_COLOR, None))
    for number, (value, name, color, code) in enumerate(rows):
        at = f"Segment{number}_"
        yield at + "ID", f"Segment_{number + 1}"
        yield at + "Name", name.replace("\\", "/")  # which would start an escape
        yield at + "Color", _row([int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)])
        yield at + "LabelValue", str(value)
        yield at + "Layer", "0"
        if code is not None:
            yield at + "Tags", TERMINOLOGY.format("^".join((code.scheme, code.value, _plain(code.meaning))))
    yield "Segmentation_MasterRepresentation", "Binary labelmap"
    yield "Segmentation_ContainedRepresentationNames", "Binary labelmap|"
    yield "Segmentation_ReferenceImageExtentOffset", "0 0 0"


def _plain(words: str) -> str:
    """Without what parts a terminology entry."""
    return re.sub(r"[\^~|\\]", " ", words)


def _row(numbers: Any, between: str = " ") -> str:
    return between.join(f"{n:.17g}" for n in numbers)
