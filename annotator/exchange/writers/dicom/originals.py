"""The series that an image came from, found among the originals by its place and its pixels."""

from pathlib import Path

import numpy as np
import pydicom

from annotator.exchange.image_files import image_files
from annotator.exchange.import_files import find_files
from annotator.exchange.writers.contract import ExportFolder, LabelledImage
from storage.arrays import open_npy
from storage.formats import FileRefused, Grid, dicom, grid_from_json, look_at_series, read_series
from storage.formats.privacy import Identities

CLOSE = 1e-4


class Originals:
    """Of one export in one format, which `title` names."""

    def __init__(self, folder: ExportFolder, title: str) -> None:
        self._folder, self._title = folder.originals, title
        self._series: list[dicom.Series] | None = None

    def headers(self, image: LabelledImage) -> list[pydicom.Dataset] | None:
        """Of each slice, in the order of the grid's own; where there are none, the image is told why."""
        reason = self._why_not(image)
        sources = None if reason else self._sources(image)
        if sources is None:
            image.tell(
                reason or f"the folder of originals does not hold its series, so no {self._title} is written"
            )
            return None
        if len({path for path, _ in sources}) != len(sources):
            image.tell(f"its series is one file of many frames, onto which no {self._title} is written")
            return None
        return [pydicom.dcmread(path) for path, _ in sources]

    def _why_not(self, image: LabelledImage) -> str:
        if image.grid.format != "dicom" or not image.grid.oriented:
            return f"it came from no DICOM series, which {self._title} is laid onto"
        if self._folder is None:
            return (
                f"{self._title} needs the headers of its series; choose their folder on the page, "
                "or name it with --originals FOLDER"
            )
        return "" if image.present else f"it holds no voxel of a class, and {self._title} cannot be empty"

    def _sources(self, image: LabelledImage) -> list[tuple[Path, int]] | None:
        """File and frame of each slice; the one series with the same pixels."""
        if self._series is None:
            self._series = _all_series(self._folder)
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
