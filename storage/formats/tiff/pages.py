"""Which pages of a TIFF are its picture, and their stored values; thumbnails, overviews and masks of it are none."""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from storage.formats.base import FileRefused, check_size
from storage.formats.tiff.ome import check_files

logging.getLogger("tifffile").propagate = False  # its remarks on odd files; the refusal says it in words
logging.getLogger("tifffile").addHandler(logging.NullHandler())
CUT_SHORT = "it is cut short: pages that it lists are missing; copy it again"
MANY = "its pages differ in size or kind; save them as separate files"
NO_AXES = ("generic", "uniform")  # what tifffile calls files that name no axes: every page is a slice
ONE_BY_ONE = "shaped"  # tifffile's own files; several of these are pages that were written one by one
NO_DATA = 0b1101  # NewSubfileType: reduced, mask, mixed raster content
SLIDE_EXTRAS = ("Thumbnail", "Label", "Macro")  # of a whole-slide scanner, which marks only some of them
MAX_OVERVIEWS = 64


@dataclass(frozen=True)
class Plane:
    """One page's values as stored, and the page that says what they mean."""

    values: NDArray[Any]  # (Y, X[, samples])
    page: TiffPage


@dataclass(frozen=True)
class Planes:
    """The pages of one picture or volume in their order."""

    pages: tuple[TiffPage | TiffFrame, ...]
    series: TiffPageSeries | None = None  # where the file lists only the first of its planes
    channels: int = 1  # separate planes of one 8 bit colour picture
    outer: dict[str, int] = field(
        default_factory=dict
    )  # axes along which they follow one another, if it says so

    @property
    def stains(self) -> int:
        """Channels that are no colours of one picture."""
        return self.outer.get("C", 1) if self.channels == 1 else 1

    @property
    def first(self) -> TiffPage:
        return _facts(self.pages[0]) if self.series is None else self.series.keyframe

    def __len__(self) -> int:
        pages = len(self.pages) if self.series is None else _count(self.series)
        return int(pages * self.first.imagedepth)

    def __iter__(self) -> Iterator[Plane]:
        for values, page in self._stored():
            ordered = np.moveaxis(values, page.axes.index("S"), -1) if "S" in page.axes else values
            for plane in ordered if page.imagedepth > 1 else [ordered]:
                yield Plane(plane, page)

    def _stored(self) -> Iterator[tuple[NDArray[Any], TiffPage]]:
        """Each page's array, with the page whose tags hold for it."""
        if self.series is None:
            yield from ((_decoded(page), _facts(page)) for page in self.pages)
        else:
            page = self.series.keyframe
            yield from ((values, page) for values in self.series.asarray().reshape(-1, *page.shape))


def planes_of(tiff: TiffFile, path: Path) -> Planes:
    """Raises FileRefused for several pictures, channels, time in depth, and pages that the file does not hold."""
    check_files(tiff, path)
    series = _series(tiff)
    if _goes_on(tiff):
        raise FileRefused(CUT_SHORT)
    one_by_one = series.kind == ONE_BY_ONE and len(tiff.series) > 1 and len(series.pages) == 1
    if series.kind in NO_AXES or one_by_one:
        return _plain(tiff, path)
    _check_axes(series)
    check_size(series.shape, series.dtype.itemsize)
    pages = [page for page in series.pages if page is not None]
    if len(pages) < _count(series):
        _check_contiguous(pages, series, path)
        return Planes((), series, _channels(series), _outer(series))
    for page in pages:
        _check_stored(page)
    return Planes(tuple(pages), channels=_channels(series), outer=_outer(series))


def _series(tiff: TiffFile) -> TiffPageSeries:
    found = [s for s in tiff.series if not _no_data(s.keyframe) and s.name not in SLIDE_EXTRAS]
    found = found or list(tiff.series)
    if not found:
        raise FileRefused("it has no pixels")
    if found[0].kind not in (*NO_AXES, ONE_BY_ONE) and len(found) != 1:
        raise FileRefused(MANY)
    return found[0]


def _plain(tiff: TiffFile, path: Path) -> Planes:
    """Every page but overviews, thumbnails and masks; each of them read by its own tags."""
    tiff.pages.useframes = False
    pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
    pages = [page for page in pages if not _no_data(page)] or pages
    if len({(page.imagelength, page.imagewidth, page.imagedepth) for page in pages}) != 1:
        raise FileRefused(MANY)
    first = pages[0]
    if len(pages) > 1 and first.imagedepth > 1:
        raise FileRefused("it has more than three dimensions; save one volume a file")
    check_size((len(pages), *first.shape), (first.bitspersample + 7) // 8 if _one_depth(first) else 4)
    for page in pages:
        _check_stored(page)
    return Planes(tuple(pages))


def _one_depth(page: TiffPage) -> bool:
    return isinstance(page.bitspersample, int)


def _no_data(page: TiffPage) -> bool:
    return bool(page.subfiletype & NO_DATA) or page.photometric == PHOTOMETRIC.MASK


def _outer(series: TiffPageSeries) -> dict[str, int]:
    """The axes along which pages follow one another, by their letters, without those of length 1."""
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    inner = "YXS" if series.keyframe.imagedepth == 1 else "ZYXS"
    return {a: n for a, n in zip(axes, shape, strict=True) if a not in inner and n > 1}


def _check_axes(series: TiffPageSeries) -> None:
    outer = _outer(series)
    if _channels(series) > 1 or set(outer) <= {"C", "Z"} and series.keyframe.samplesperpixel == 1:
        return
    if "C" in outer and series.keyframe.samplesperpixel > 1:
        raise FileRefused(
            f"its {outer['C']} channels are mixed with the bands of its pages; save it as OME-TIFF, one channel a page"
        )
    if len(outer) > 1:
        raise FileRefused(
            f"it has more than three dimensions ({series.axes}); save one time point a file, with Z and C alone"
        )


def _channels(series: TiffPageSeries) -> int:
    """3 for red, green and blue kept as pages of 8 bits; channels that OME-XML names are other things than colours."""
    rgb = _outer(series) == {"C": 3} and series.dtype == np.uint8 and series.keyframe.samplesperpixel == 1
    return 3 if rgb and series.kind != "ome" else 1


def _count(series: TiffPageSeries) -> int:
    return int(np.prod(list(_outer(series).values()) or [1]))


def _goes_on(tiff: TiffFile) -> bool:
    """Whether the last page that was found points at one more: tifffile drops pages beyond the end silently."""
    form, file, last = tiff.tiff, tiff.filehandle, tiff.pages[len(tiff.pages) - 1]
    file.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(last.offset + form.tagnosize + tags * form.tagsize)
    pointer = file.read(form.offsetsize)
    return len(pointer) < form.offsetsize or struct.unpack(form.offsetformat, pointer)[0] != 0


def _check_stored(page: TiffPage | TiffFrame) -> None:
    """Every strip and tile lies within the page's file, and none is missing."""
    size, facts = page.parent.filehandle.size, _facts(page)
    ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    wanted = int(np.prod(facts.chunked)) if not facts.is_contiguous else 1
    if not ends or max(ends) > size or len(ends) < wanted:
        raise FileRefused(CUT_SHORT)
    if facts.is_contiguous and page.dataoffsets[0] + facts.nbytes > size:
        raise FileRefused(CUT_SHORT)


def _check_contiguous(pages: list[TiffPage | TiffFrame], series: TiffPageSeries, path: Path) -> None:
    """ImageJ lists one page of a large stack; all planes must follow its own."""
    whole = int(np.prod(series.shape)) * series.dtype.itemsize
    if len(pages) != 1 or series.dataoffset is None or series.dataoffset + whole > path.stat().st_size:
        raise FileRefused(CUT_SHORT)


def _decoded(page: TiffPage | TiffFrame) -> NDArray[Any]:
    packing = _facts(page).compression
    if packing == COMPRESSION.OJPEG or packing not in TIFF.DECOMPRESSORS:
        name = getattr(packing, "name", packing)
        raise FileRefused(f"its compression ({name}) cannot be read here; save it with LZW or deflate")
    if _subsampled(_facts(page)):
        raise FileRefused("its colours are YCbCr at half size without JPEG; save it as RGB")
    values: NDArray[Any] = page.asarray()
    return values


def _subsampled(page: TiffPage) -> bool:
    packed = page.compression in (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)
    return page.photometric == PHOTOMETRIC.YCBCR and not packed and page.subsampling != (1, 1)


def _facts(page: TiffPage | TiffFrame) -> TiffPage:
    """The page whose tags hold: its own, or those of the page that it is like."""
    if page.keyframe is None:
        raise FileRefused(CUT_SHORT)
    return page.keyframe
