"""TIFF: one picture, or a stack of pages as a volume; spacing from ImageJ, OME or resolution tags."""

import logging
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from storage.formats.base import FileRefused, check_size, label_values, rgb8, shown_name, to_pixel_type
from storage.formats.grid import Grid, grid_of
from storage.formats.pictures import grey_or_rgb
from storage.scan import Scan, robust_window, value_range

logging.getLogger("tifffile").propagate = False  # its remarks on odd files; the refusal says it in words
logging.getLogger("tifffile").addHandler(logging.NullHandler())
MM = {
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3,
    "mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4,
}  # fmt: skip
RESOLUTION_UNIT_MM = {2: 25.4, 3: 10.0}  # the tag's own codes: inch, centimetre
CUT_SHORT = "it is cut short: pages that it lists are missing; copy it again"
MAX_CHANNELS = 4  # programs that write a stack without naming its axes leave it marked as channels
SCREEN_DPI = (1, 72, 96)  # what programs write when they know nothing
DECODED_BY_TIFFFILE = {COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS}


def read(path: Path) -> Scan:
    """(Z, Y, X) or (Z, Y, X, 3); pages are slices, top page first."""
    with TiffFile(path) as tiff:
        series = _series(tiff, path)
        values = _colour_or_grey(_pages(path, series), series.keyframe)
        grid = _grid(values.shape[:3], _spacing_mm(tiff, series.keyframe))
    pixels = np.ascontiguousarray(values)
    return Scan(
        name=shown_name(path),
        pixels=pixels,
        spacing_mm=grid.spacing_mm,
        marks=None,
        geometry=grid.json(),
        window=robust_window(pixels),
        value_range=value_range(pixels),
    )


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers (Z, Y, X), palette indices as they are."""
    with TiffFile(path) as tiff:
        series = _series(tiff, path)
        labels = label_values(_pages(path, series))
        return labels, _grid(labels.shape, _spacing_mm(tiff, series.keyframe))


def _series(tiff: TiffFile, path: Path) -> TiffPageSeries:
    """The file's one stack of pages; refuses several, channels, and pages that the file does not hold."""
    series = [s for s in tiff.series if not s.keyframe.is_reduced] or list(tiff.series)
    if len(series) != 1:
        raise FileRefused("its pages differ in size or kind; save them as separate files")
    check_size(series[0].shape, series[0].dtype.itemsize)
    if _goes_on(tiff):
        raise FileRefused(CUT_SHORT)
    size = path.stat().st_size
    for page in series[0].pages:
        if page is None or any(
            a + n > size for a, n in zip(page.dataoffsets, page.databytecounts, strict=False)
        ):
            raise FileRefused(CUT_SHORT)
    return series[0]


def _goes_on(tiff: TiffFile) -> bool:
    """Whether the last page that was found points at one more: tifffile drops pages beyond the end silently."""
    form, file, last = tiff.tiff, tiff.filehandle, tiff.pages[len(tiff.pages) - 1]
    file.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(last.offset + form.tagnosize + tags * form.tagsize)
    pointer = file.read(form.offsetsize)
    return len(pointer) < form.offsetsize or struct.unpack(form.offsetformat, pointer)[0] != 0


def _pages(path: Path, series: TiffPageSeries) -> NDArray[Any]:
    """(Z, Y, X) or (Z, Y, X, samples)."""
    if series.keyframe.compression in DECODED_BY_TIFFFILE and series.keyframe.bitspersample in (
        1,
        8,
        16,
        32,
        64,
    ):
        return _arranged(series.asarray(), series.axes)
    _arranged(np.broadcast_to(np.uint8(0), series.shape), series.axes)  # refuse channels before decoding
    return _decoded_by_pillow(path, series.keyframe)


def _arranged(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """Singleton axes away, samples last, exactly one axis of slices."""
    keep = [i for i, letter in enumerate(axes) if values.shape[i] > 1 or letter in "YX"]
    values, letters = values.reshape([values.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if "S" in letters:
        at = letters.index("S")
        values, letters = np.moveaxis(values, at, -1), letters.replace("S", "") + "S"
    if letters == "CYX" and values.shape[0] == 3 and values.dtype == np.uint8:
        values, letters = np.moveaxis(values, 0, -1), "YXS"
    if letters == "CYX" and values.shape[0] > MAX_CHANNELS:
        letters = "ZYX"
    stack = letters.replace("S", "")[:-2]
    if "C" in stack or len(stack) > 1 or not letters.replace("S", "").endswith("YX"):
        raise FileRefused(
            f"it has more than three dimensions ({axes}); save one channel or time point a file"
        )
    return values if stack else values[None]


def _decoded_by_pillow(path: Path, keyframe: TiffPage) -> NDArray[Any]:
    """For LZW, JPEG and what else tifffile needs a further package for."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            palette = keyframe.photometric == PHOTOMETRIC.PALETTE
            pages = [np.asarray(p) if palette else grey_or_rgb(p) for p in ImageSequence.Iterator(image)]
    except (OSError, ValueError, SyntaxError, KeyError):
        name = getattr(keyframe.compression, "name", keyframe.compression)
        raise FileRefused(
            f"its compression ({name}) cannot be read here; save it with LZW or deflate"
        ) from None
    return np.stack(pages)


def _colour_or_grey(values: NDArray[Any], keyframe: TiffPage) -> NDArray[Any]:
    if keyframe.photometric == PHOTOMETRIC.PALETTE and keyframe.colormap is not None and values.ndim == 3:
        return rgb8(np.moveaxis(keyframe.colormap, 0, -1)[values])
    if values.ndim == 4:
        return rgb8(values[..., :3]) if values.shape[3] >= 3 else to_pixel_type(values[..., 0])
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if keyframe.photometric == PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u":
        values = np.iinfo(values.dtype).max - values
    return to_pixel_type(values)


def _grid(shape: tuple[int, ...], spacing_mm: tuple[float, float, float] | None) -> Grid:
    z, y, x = shape[:3]
    affine = None if spacing_mm is None else np.diag([*spacing_mm[::-1], 1.0])
    return grid_of("tiff", (x, y, z), affine, oriented=False)


def _spacing_mm(tiff: TiffFile, keyframe: TiffPage) -> tuple[float, float, float] | None:
    """(z, y, x); a z that the file does not say is taken to be y."""
    spacing = _ome_spacing(tiff.ome_metadata or "") or _tag_spacing(tiff.imagej_metadata, keyframe)
    if spacing is None or not all(math.isfinite(v) and v > 0 for v in spacing):
        return None
    return spacing


def _ome_spacing(xml: str) -> tuple[float, float, float] | None:
    sizes = {}
    for axis in "XYZ":
        value = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]{{1,30}})"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]{{1,10}})"', xml)
        if value and (mm := MM.get(unit[1] if unit else "µm")):
            sizes[axis] = float(value[1]) * mm
    if "X" not in sizes or "Y" not in sizes:
        return None
    return sizes.get("Z", sizes["Y"]), sizes["Y"], sizes["X"]


def _tag_spacing(imagej: dict[str, Any] | None, keyframe: TiffPage) -> tuple[float, float, float] | None:
    """Pixels per unit in the resolution tags; the unit is ImageJ's where it wrote one."""
    per_unit = [_ratio(keyframe, tag) for tag in ("YResolution", "XResolution")]
    if imagej:
        mm = MM.get(str(imagej.get("unit", "")).replace("\\u00B5", "µ"))
    else:
        tag = keyframe.tags.get("ResolutionUnit")
        mm = RESOLUTION_UNIT_MM.get(int(tag.value)) if tag else None
        mm = None if all(v in SCREEN_DPI for v in per_unit) else mm
    if mm is None or not all(per_unit):
        return None
    y, x = (mm / v for v in per_unit)
    depth = (imagej or {}).get("spacing")
    return abs(float(depth)) * mm if isinstance(depth, int | float) else y, y, x


def _ratio(keyframe: TiffPage, name: str) -> float:
    tag = keyframe.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or not tag.value[1]:
        return 0.0
    return float(tag.value[0] / tag.value[1])
