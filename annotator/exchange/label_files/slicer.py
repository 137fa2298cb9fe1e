"""3D Slicer's `.seg.nrrd`: segments with names and colours, in one layer or several, often cut to what they fill."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.label_files.contract import FileClass, LabelFile, SaidOfImage, told_code
from annotator.exchange.masks.value_names import clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid, itk
from storage.formats.base import check_size
from storage.formats.laying import laid_into
from storage.formats.simple_itk import simple_itk

ENDING = ".seg.nrrd"
ENTRY = "TerminologyEntry:"


@dataclass(frozen=True)
class _Segment:
    name: str
    color: str | None
    layer: int
    label: int  # its value in the layer
    code: str


class SegmentFile(LabelFile):
    def __init__(self, path: Path, fields: Mapping[str, str]) -> None:
        super().__init__(path)
        self._segments = dict(enumerate(_segments(fields), start=1))
        self.classes = {n: FileClass(one.name, one.color, one.code) for n, one in self._segments.items()}

    def own_name(self) -> str:
        return self.path.name[: -len(ENDING)]

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        own = itk.look(self.path).grid
        check_size(own.shape, 2)
        layers = _layers(self.path)
        values, shared = np.zeros(layers.shape[:3], np.uint16), 0
        for number, segment in self._segments.items():
            if segment.layer >= layers.shape[3]:
                raise FileRefused(f"segment {segment.name!r} lies in a layer that is not there")
            where = layers[..., segment.layer] == segment.label
            shared += int(np.count_nonzero(values[where]))
            values[where] = number
        notes = (
            [f"{count_of(shared, 'voxel')} lie in two segments; the later segment has them"] if shared else []
        )
        if own.affine is None or grid.affine is None:
            if own.shape != grid.shape:
                raise FileRefused("neither says where it lies, and it has another size than its image")
            return SaidOfImage(grid.to_display(values), notes=tuple(notes))
        return SaidOfImage(laid_into(values, np.array(own.affine), grid), notes=tuple(notes))


def open_segments(path: Path) -> SegmentFile | None:
    reader = simple_itk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return SegmentFile(path, {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()})


def _segments(fields: Mapping[str, str]) -> list[_Segment]:
    """Those that the header names, in its order; files without any number them only."""
    found = []
    number = 0
    while (label := fields.get(f"Segment{number}_LabelValue")) is not None:
        at = f"Segment{number}_"
        name = clean_name(fields.get(at + "Name", "")) or f"segment {number + 1}"
        color, code = _color(fields.get(at + "Color", "")), _code(fields.get(at + "Tags", ""))
        found.append(_Segment(name, color, int(fields.get(at + "Layer", 0)), int(label), code))
        number += 1
    if not found:
        raise FileRefused("its header names no segments; save it as .nrrd to import its numbers")
    return found


def _code(tags: str) -> str:
    """Of its type: the third part of its terminology entry."""
    entry = next((tag for tag in tags.split("|") if tag.startswith(ENTRY)), "")
    parts = [part.split("^") for part in entry.removeprefix(ENTRY).split("~")]
    return told_code(*parts[2]) if len(parts) > 2 and len(parts[2]) == 3 else ""


def _color(text: str) -> str | None:
    """Three numbers from 0 to 1."""
    try:
        red, green, blue = (round(float(v) * 255) for v in text.split())
    except ValueError:
        return None
    return f"#{red:02x}{green:02x}{blue:02x}" if max(red, green, blue) <= 255 else None


def _layers(path: Path) -> NDArray[np.generic]:
    """(i, j, k, layers)."""
    image = simple_itk().ReadImage(str(path))
    values = simple_itk().GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        values = values[..., None]
    if values.ndim != 4:
        raise FileRefused("it is no volume of segments")
    return np.transpose(values, (2, 1, 0, 3))
