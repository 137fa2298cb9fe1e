"""Tiled and pyramidal TIFF, BigTIFF and slides, read tile by tile in place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPageSeries

from storage.formats.base import FileRefused
from storage.formats.channels.channelled import ChannelFacts
from storage.formats.tiff.channels import numbered, of_ome
from storage.formats.tiff.ome import check_files
from storage.formats.tiff.pages import SLIDE_EXTRAS
from storage.formats.tiff.picture import orientation, spacing_mm
from storage.scenes.pyramid import Level, Pyramid

SUFFIXES = (".tif", ".tiff")
SLIDES = (".svs", ".ndpi", ".scn", ".btf", ".tf8")  # TIFF by other names, which no other reader here takes
PAGES = {"I": "Z", "Q": "Z"}  # pages of which nothing is said are slices


@contextmanager
def open_tiff(path: Path) -> Iterator[Pyramid]:
    """Raises FileRefused, or whatever tifffile raises on damaged files."""
    with TiffFile(path) as tiff:
        check_files(tiff, path)
        series = series_of(tiff)
        page = series.keyframe
        if page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR):
            raise FileRefused(
                f"its colours are {PHOTOMETRIC(page.photometric).name}; save it as RGB or as grey where 0 is black"
            )
        if orientation(page) != 1:
            raise FileRefused("its rows and columns are turned; save it upright")
        levels = tuple(_level(series, n) for n in range(len(series.levels)))
        colour = "S" in levels[0].axes and levels[0].channels == 3
        yield Pyramid(levels, spacing_mm(tiff, page), colour, _facts(tiff, levels[0], colour))


def series_of(tiff: TiffFile) -> TiffPageSeries:
    """The picture of a file, not its label or thumbnail: the one with most pixels. Raises FileRefused."""
    found = [one for one in tiff.series if one.name not in SLIDE_EXTRAS]
    if not found:
        raise FileRefused("it has no pixels")
    return max(found, key=lambda one: one.size)


def _facts(tiff: TiffFile, level: Level, colour: bool) -> ChannelFacts | None:
    count = level.channels
    if count == 1 or colour or "S" in level.axes:
        return None
    return of_ome(tiff, count) or ChannelFacts(numbered(count), stains=True)


def _level(series: TiffPageSeries, number: int) -> Level:
    import zarr  # half a second

    one = series.levels[number]
    axes = "".join(PAGES.get(axis, axis) for axis in one.axes)
    if (moments := dict(zip(one.axes, one.shape, strict=True)).get("T", 1)) > 1:
        raise FileRefused(f"it has {moments} moments in time; save one moment a file")
    if one.dataoffset is not None:
        return Level(
            _mapped(one),
            axes,
            tuple(min(n, 512) if axis in "YX" else n for axis, n in zip(axes, one.shape, strict=True)),
        )
    array: Any = zarr.open(series.aszarr(level=number), mode="r")
    return Level(array, axes, array.chunks)


def _mapped(series: TiffPageSeries) -> NDArray[Any]:
    """Pixels that lie in the file as in memory, however large its strips are."""
    file = series.keyframe.parent.filehandle
    kind = np.dtype(series.keyframe.parent.byteorder + series.dtype.char)
    return np.memmap(file.path, kind, "r", offset=series.dataoffset or 0, shape=series.shape)
