"""DICOM-SEG on the series that an image came from, which has to lie at hand: the project keeps no identifiers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom

from annotator.exchange.export_report import version
from annotator.exchange.image_files import image_files
from annotator.exchange.import_files import find_files
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import open_npy
from storage.formats import FileRefused, Grid, dicom, grid_from_json, look_at_series, read_series
from storage.formats.privacy import Identities

NEEDED = "DICOM-SEG needs the headers of its series; export on the command line with --originals FOLDER"
NO_SERIES = "it came from no DICOM series, which DICOM-SEG is laid onto"
NOT_THERE = "the folder of originals does not hold its series, so no DICOM-SEG is written"
ENHANCED = "its series is one file of many frames, onto which no DICOM-SEG is written"
CODED = "classes have no codes, so DICOM-SEG calls each Tissue (SNOMED CT 85756007); its label is the class's name"
CLOSE = 1e-4


class SegWriter(Writer):
    """One segment for each class of an image; nothing of it is resampled."""

    type: ClassVar[str] = "BINARY"

    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._series: list[dicom.Series] | None = None

    def write(self, image: LabelledImage) -> None:
        if (reason := self._why_not(image)) or (sources := self._sources(image)) is None:
            image.tell(reason or NOT_THERE)
            return
        if len({path for path, _ in sources}) != len(sources):
            image.tell(ENHANCED)
            return
        image.tell_unknown("DICOM-SEG")
        image.tell(CODED)
        if image.instances is not None:
            image.tell("DICOM-SEG holds classes, so the numbers of its objects are not in it")
        data = self._segmentation(image, [pydicom.dcmread(path) for path, _ in sources])
        data.save_as(self.folder.place(f"{image.name}.seg.dcm", image))

    def _why_not(self, image: LabelledImage) -> str:
        if image.grid.format != "dicom" or not image.grid.oriented:
            return NO_SERIES
        if self.folder.originals is None:
            return NEEDED
        return "" if image.present else "it holds no voxel of a class, and DICOM-SEG cannot be empty"

    def _sources(self, image: LabelledImage) -> list[tuple[Path, int]] | None:
        """File and frame of each slice, in the order of the grid's own; the one series with the same pixels."""
        if self._series is None:
            self._series = _all_series(self.folder.originals)
        pixels = open_npy(image.row.path)
        for series in self._series:
            looks = look_at_series(series)
            near = [n for n, look in enumerate(looks) if _same_place(look.grid, image.grid)]
            scans = read_series(series) if near else []
            for number in near:
                scan = scans[number][0]
                grid = grid_from_json(scan.geometry)
                if np.array_equal(grid.to_source(scan.pixels), image.grid.to_source(pixels)):
                    return [(s.path, s.frame) for s in dicom.ordered_parts(series)[number]]
        return None

    def _segmentation(self, image: LabelledImage, sources: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
        import highdicom as hd

        frames = np.transpose(image.grid.to_source(image.known), (2, 1, 0))  # slice, row, column
        segments = np.zeros(256, np.uint8)
        segments[list(image.present)] = range(1, len(image.present) + 1)
        rows = {c.id: c for c in image.classes}
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=segments[frames],
            segmentation_type=self.type,
            segment_descriptions=[_description(n, rows[c]) for n, c in enumerate(image.present, start=1)],
            series_instance_uid=hd.UID(),
            series_number=300,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="Slicewise",
            manufacturer_model_name="Slicewise",
            software_versions=version(),
            device_serial_number="0",
        )


class LabelmapSegWriter(SegWriter):
    type = "LABELMAP"


def _description(number: int, row: Any) -> Any:
    import highdicom as hd
    from pydicom.sr.coding import Code

    tissue = Code("85756007", "SCT", "Tissue")
    red, green, blue = (int(row.color[n : n + 2], 16) for n in (1, 3, 5))
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=row.name[:64],  # as long as DICOM lets it be
        segmented_property_category=tissue,
        segmented_property_type=tissue,
        algorithm_type="MANUAL",
        display_color=hd.color.CIELabColor.from_rgb(red, green, blue),
    )


def _all_series(folder: Path | None) -> list[dicom.Series]:
    assert folder is not None
    collector = dicom.Collector(Identities(salt=""))
    kinds = image_files(find_files(folder).files, alone=False).kinds
    for path in (path for path, kind in kinds.items() if kind == "dicom"):
        try:
            collector.add(path)
        except FileRefused:
            continue  # no picture: whose series is meant is found by its pixels
    return collector.series()


def _same_place(one: Grid, other: Grid) -> bool:
    if one.shape != other.shape or one.affine is None or other.affine is None:
        return False
    return bool(np.allclose(one.affine, other.affine, rtol=0, atol=CLOSE))
