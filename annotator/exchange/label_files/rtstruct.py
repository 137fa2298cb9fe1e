"""RTSTRUCT: contours of regions on the slices of one series. No message repeats a header.

What an odd number of a region's contours enclose on a slice is inside: so holes are cut, whether they are contours of
their own or joined to the outer one.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from annotator.exchange.label_files.contract import FileClass, LabelFile, SaidOfImage, no_areas
from annotator.exchange.label_files.dicom_kind import code_in, is_structure_set
from annotator.exchange.masks.value_names import clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid
from storage.formats.shapes.outlines import filled_box

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OFF_SLICE = 0.1  # of the distance of slices: headers are rounded
SLICES = 2  # the axis of a file that runs through its slices


class StructureSet(LabelFile):
    def __init__(self, path: Path, data: pydicom.Dataset) -> None:
        super().__init__(path)
        self._contours = {int(c.ReferencedROINumber): c for c in data.get("ROIContourSequence") or ()}
        rois = [one for one in data.StructureSetROISequence if int(one.ROINumber) in self._contours]
        self._numbers = {value: int(one.ROINumber) for value, one in enumerate(rois, start=1)}
        codes = {
            int(one.ReferencedROINumber): code_in(one, "RTROIIdentificationCodeSequence")
            for one in data.get("RTROIObservationsSequence") or ()
        }
        self.classes = {
            value: FileClass(
                clean_name(str(one.get("ROIName", ""))) or "region",
                _color(self._contours[int(one.ROINumber)]),
                codes.get(int(one.ROINumber), ""),
            )
            for value, one in enumerate(rois, start=1)
        }
        self._series = _series_of(data)
        drawn = {str(one.get("ROIInterpreter") or "") for one in data.get("RTROIObservationsSequence") or ()}
        self._author = ", ".join(sorted(drawn - {""})) or str(data.get("OperatorsName") or "")

    def series_uid(self) -> str:
        return self._series

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        laying = _Laying(grid)
        for value, number in self._numbers.items():
            laying.region(value, self._contours[number].get("ContourSequence") or ())
        return SaidOfImage(laying.values, notes=tuple(laying.notes()), author=self._author)


@dataclass
class _Laying:
    """Regions laid over one another on an image's grid."""

    grid: Grid
    values: NDArray[np.uint16] = field(init=False)  # (Z, Y, X)
    shared: int = 0  # voxels that two regions claim
    beyond: int = 0  # contours on no slice of the image
    others: Counter[str] = field(default_factory=Counter)  # kinds that enclose nothing

    def __post_init__(self) -> None:
        affine = self.grid.display_affine
        if affine is None or not self.grid.oriented:
            raise FileRefused("its image does not say where it lies in the patient")
        self._to_index = np.linalg.inv(affine)
        self.values = np.zeros(self.grid.display_shape, np.uint16)
        self._axis = self.grid.axes.index(SLICES)

    def region(self, value: int, contours: Any) -> None:
        by_slice: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
        for one in contours:
            kind = str(one.get("ContourGeometricType", ""))
            points = np.array(one.get("ContourData") or (), float)
            if kind not in AREAS or len(points) < 9:
                self.others[kind.lower().replace("_", " ") if kind not in AREAS else "line"] += 1
                continue
            index, ring = self._on_slice(points)
            by_slice[index].append(ring)
        slices = np.moveaxis(self.values, self._axis, 0)
        for index, rings in by_slice.items():
            if not 0 <= index < len(slices):
                self.beyond += len(rings)
                continue
            box = filled_box(rings, slices.shape[1:])
            h, w = box.mask.shape
            into = slices[index][box.y : box.y + h, box.x : box.x + w]
            self.shared += int(np.count_nonzero(into[box.mask]))
            into[box.mask] = value

    def _on_slice(self, points: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
        """The slice of a contour, and (N, 2) x, y of its points by the corners of pixels."""
        if len(points) % 3 or not np.isfinite(points).all():
            raise FileRefused("a contour has places that are no points; save it again")
        places = points.reshape(-1, 3) * LPS_TO_RAS
        at = places @ self._to_index[:3, :3].T + self._to_index[:3, 3]
        along = at[:, self._axis]
        index = int(np.rint(along.mean()))
        if np.abs(along - index).max() > OFF_SLICE:
            raise FileRefused(
                "its contours do not lie on the slices of its series; draw or save them on these"
            )
        rows, columns = (at[:, d] for d in range(3) if d != self._axis)
        return index, np.stack([columns, rows], axis=1) + 0.5

    def notes(self) -> list[str]:
        told = no_areas(self.others)
        if self.shared:
            told.append(f"{count_of(self.shared, 'voxel')} lie in two regions; the later region has them")
        if self.beyond:
            told.append(f"{count_of(self.beyond, 'contour')} left out: on no slice of its image")
        return told


def open_structure_set(path: Path) -> StructureSet | None:
    """None for DICOM of another kind."""
    if not is_structure_set(path):
        return None
    data = pydicom.dcmread(path)
    if not data.get("StructureSetROISequence"):
        raise FileRefused("it holds no regions")
    return StructureSet(path, data)


def _series_of(data: pydicom.Dataset) -> str:
    for frame in data.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                return str(series.get("SeriesInstanceUID", ""))
    return ""


def _color(contour: pydicom.Dataset) -> str | None:
    found = contour.get("ROIDisplayColor")
    if found is None or len(found) != 3:
        return None
    return "#" + "".join(f"{min(255, max(0, int(v))):02x}" for v in found)
