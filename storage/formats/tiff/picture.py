"""TIFF: one picture, or a stack of pages as a volume; spacing from ImageJ, OME or resolution tags."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from storage.formats.base import DEEP_COLOUR, FileRefused, label_values, shown_name, to_pixel_type
from storage.formats.channels.channelled import Origin, channelled, deep_colour
from storage.formats.grid import MOMENTS, Grid, Look, grid_of
from storage.formats.tiff.channels import deep_bits, facts_of, separated
from storage.formats.tiff.colour import INKS, band_values, grey_or_rgb, is_rgb, label_numbers, rgb_values
from storage.formats.tiff.ome import significant_bits, spacing_of
from storage.formats.tiff.pages import MANY, Planes, planes_of
from storage.formats.turning import TAG, swaps_sides, turned
from storage.formats.units import millimetres
from storage.scan import Scan, robust_window, value_range

warnings.filterwarnings(
    "ignore", module=r"tifffile\b", message=".*closed file"
)  # of an image in several files
RESOLUTION_UNIT_MM = {2: 25.4, 3: 10.0}  # the tag's own codes: inch, centimetre
SCREEN_DPI = (1, 72, 96)  # what programs write when they know nothing
NO_MASK = "it has {count} channels and a mask has one; save the label numbers as a grey TIFF"
TIMES = "its pages are moments in time and no depth; they come in as slices"

Spacing = tuple[float, float, float]


def read(path: Path) -> Scan:
    """(Z, Y, X) or (Z, Y, X, 3), and channels; pages are slices, top page first."""
    with TiffFile(path) as tiff:
        planes = planes_of(tiff, path)
        bits = significant_bits(tiff.ome_metadata)
        remarks = _remarks(planes)
        moments = {MOMENTS: True} if TIMES in remarks else {}
        if (scan := _with_channels(tiff, planes, path)) is not None:
            return replace(scan, geometry={**scan.geometry, **moments})
        volume = _stacked((turned(grey_or_rgb(p, bits), orientation(p.page)) for p in planes), planes)
        grid = _grid(volume.shape, spacing_mm(tiff, planes.first))
    pixels = np.ascontiguousarray(volume if volume.ndim == 4 else to_pixel_type(volume))
    return Scan(
        name=shown_name(path),
        pixels=pixels,
        spacing_mm=grid.spacing_mm,
        marks=None,
        geometry={**grid.json(), **moments},
        window=robust_window(pixels),
        value_range=value_range(pixels),
        remarks=remarks,
    )


def _with_channels(tiff: TiffFile, planes: Planes, path: Path) -> Scan | None:
    """None for grey pictures and those of 8 bit colours."""
    page = planes.first
    facts = facts_of(tiff, planes)
    deep = deep_bits(planes, significant_bits(tiff.ome_metadata)) if facts is None else None
    if facts is None and deep is None:
        return None
    values = band_values if facts is None or planes.stains == 1 else grey_or_rgb
    values = rgb_values if facts is None else values
    stack = _stacked((turned(values(p), orientation(p.page)) for p in planes), planes)
    parts = separated(stack, planes) if facts is not None else [stack]
    grid = _grid(parts[0].shape, spacing_mm(tiff, page))
    origin = Origin(shown_name(path), grid, _remarks(planes))
    return channelled(parts, facts, origin) if facts else deep_colour(stack, deep or None, origin)


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers (Z, Y, X), palette indices as they are."""
    with TiffFile(path) as tiff:
        planes = planes_of(tiff, path)
        if planes.stains > 1:
            raise FileRefused(NO_MASK.format(count=planes.stains))
        volume = _stacked((turned(label_numbers(p), orientation(p.page)) for p in planes), planes)
        labels = label_values(volume)
        return labels, _grid(labels.shape, spacing_mm(tiff, planes.first))


def look(path: Path) -> Look:
    """By the tags alone."""
    with TiffFile(path) as tiff:
        planes = planes_of(tiff, path)
        rows, columns = planes.first.imagelength, planes.first.imagewidth
        if swaps_sides(orientation(planes.first)):
            rows, columns = columns, rows
        depth = 1 if planes.channels == 3 else len(planes) // planes.stains
        facts = facts_of(tiff, planes)
        remarks = (*_remarks(planes), *((facts.remark,) if facts else ()))
        return Look(_grid((depth, rows, columns), spacing_mm(tiff, planes.first)), remarks)


def _remarks(planes: Planes) -> tuple[str, ...]:
    page, times = planes.first, list(planes.outer) == ["T"]
    inks = INKS.get(page.photometric, 0)
    deep = page.photometric != PHOTOMETRIC.PALETTE and inks > 2 and page.bitspersample != 8
    said = {DEEP_COLOUR: deep and not is_rgb(page), TIMES: times}
    return tuple(remark for remark, holds in said.items() if holds)


def _stacked(pages: Iterable[NDArray[Any]], planes: Planes) -> NDArray[Any]:
    """(Z, Y, X[, 3]); pages that came out unlike one another are refused."""
    volume: NDArray[Any] | None = None
    for number, page in enumerate(pages):
        if volume is None:
            volume = np.empty((len(planes), *page.shape), page.dtype)
        if page.shape != volume.shape[1:] or page.dtype != volume.dtype:
            raise FileRefused(MANY)
        volume[number] = page
    assert volume is not None
    return np.moveaxis(volume, 0, -1)[None] if planes.channels == 3 else volume


def orientation(page: TiffPage) -> int:
    """How the rows and columns of a page are turned; 1 where they are not."""
    tag = page.tags.get(TAG)
    return int(tag.value) if tag is not None and isinstance(tag.value, int) else 1


def _grid(shape: tuple[int, ...], spacing_mm: Spacing | None) -> Grid:
    z, y, x = shape[:3]
    affine = None if spacing_mm is None else np.diag([*spacing_mm[::-1], 1.0])
    return grid_of("tiff", (x, y, z), affine, oriented=False)


def spacing_mm(tiff: TiffFile, page: TiffPage) -> Spacing | None:
    """(z, y, x); a z that the file does not say is taken to be y."""
    spacing = spacing_of(tiff.ome_metadata) or _tag_spacing(tiff.imagej_metadata, page)
    if spacing is None or not all(math.isfinite(v) and v > 0 for v in spacing):
        return None
    z, y, x = spacing
    return (z, x, y) if swaps_sides(orientation(page)) else spacing


def _tag_spacing(imagej: dict[str, Any] | None, page: TiffPage) -> Spacing | None:
    """Pixels per unit in the resolution tags; the unit is ImageJ's where it wrote one."""
    per_unit = [_ratio(page, tag) for tag in ("YResolution", "XResolution")]
    if imagej:
        mm = millimetres(str(imagej.get("unit", "")))
    else:
        tag = page.tags.get("ResolutionUnit")
        mm = RESOLUTION_UNIT_MM.get(int(tag.value)) if tag else None
        mm = None if all(v in SCREEN_DPI for v in per_unit) else mm
    if mm is None or not all(per_unit):
        return None
    y, x = (mm / v for v in per_unit)
    depth = (imagej or {}).get("spacing")
    return abs(float(depth)) * mm if isinstance(depth, int | float) else y, y, x


def _ratio(page: TiffPage, name: str) -> float:
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or not tag.value[1]:
        return 0.0
    return float(tag.value[0] / tag.value[1])
