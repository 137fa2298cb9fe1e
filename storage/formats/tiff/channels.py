"""Channels of a TIFF: OME and ImageJ say which pages they are and what they are called, bands lie in one page."""

import math
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from storage.channels.named import RGB, WHITE
from storage.formats.channels.channelled import ChannelFacts
from storage.formats.tiff.colour import INKS, alphas_of, is_rgb
from storage.formats.tiff.pages import Planes

GDAL_METADATA = 42112
IMAGEJ_PLACE = re.compile(r"^([czt]:\d+/\d+ ?)+(- )?")  # ImageJ puts it before a label


def facts_of(tiff: TiffFile, planes: Planes) -> ChannelFacts | None:
    """What its channels are; None for grey and colour pictures."""
    if planes.stains > 1:
        return of_ome(tiff, planes.stains) or _of_imagej(tiff, planes)
    if planes.channels == 1 and (bands := bands_of(planes.first)):
        return _of_bands(tiff, planes.first, bands)
    return None


def separated(stack: NDArray[Any], planes: Planes) -> list[NDArray[Any]]:
    """(Z, Y, X) of each channel, of all pages (N, Y, X) or of pages with bands (Z, Y, X, bands)."""
    if stack.ndim == 4:
        return list(np.moveaxis(stack, 3, 0))
    outer = planes.outer
    parts = stack.reshape(*outer.values(), *stack.shape[1:])
    parts = np.moveaxis(parts, list(outer).index("C"), 0)
    return list(parts.reshape(planes.stains, -1, *stack.shape[1:]))


def bands_of(page: TiffPage) -> int:
    """How many bands of a page are channels, of which it says neither that they are colours nor that they are alpha;
    0 where all are explained."""
    if page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB):
        return 0
    inks = INKS[page.photometric]
    count = int(page.samplesperpixel) - len(alphas_of(page))
    return count if count > inks else 0


def deep_bits(planes: Planes, bits: int | None) -> int | None:
    """How many bits its colours have, where these are more than 8; 0 for fractions."""
    page = planes.first
    if not is_rgb(page) or page.dtype is None or page.dtype == np.uint8 or planes.channels != 1:
        return None
    said = page.bitspersample if isinstance(page.bitspersample, int) else 8 * page.dtype.itemsize
    found = 0 if page.dtype.kind == "f" else bits or said
    return found if found == 0 or found > 8 else None


def _of_bands(tiff: TiffFile, page: TiffPage, count: int) -> ChannelFacts:
    start = RGB if page.photometric == PHOTOMETRIC.RGB else ()
    names = [*start, *(f"Band {n + 1}" for n in range(len(start), count))]
    for number, name in _gdal_names(page).items():
        if 0 <= number < count:
            names[number] = name
    plain = page.dtype == np.uint8
    return ChannelFacts(tuple(names), stains=True, windows=((0.0, 255.0),) * count if plain else ())


def _gdal_names(page: TiffPage) -> dict[int, str]:
    """Names of bands as GDAL writes them."""
    tag = page.tags.get(GDAL_METADATA)
    if tag is None or not isinstance(tag.value, str):
        return {}
    try:
        items = list(ElementTree.fromstring(tag.value).iter("Item"))
    except ElementTree.ParseError:
        return {}
    return {
        int(item.get("sample") or 0): item.text or ""
        for item in items
        if item.get("role") == "description" and (item.get("sample") or "0").isdecimal()
    }


def of_ome(tiff: TiffFile, count: int) -> ChannelFacts | None:
    """So many channels as OME-XML names them; None where the file has none."""
    if not tiff.ome_metadata:
        return None
    root = ElementTree.fromstring(tiff.ome_metadata)
    pixels = next((e for e in root.iter() if _tag(e) == "Pixels"), None)
    found = [e for e in pixels if _tag(e) == "Channel"] if pixels is not None else []
    if len(found) != count:
        return ChannelFacts(numbered(count), stains=True)
    colors = tuple(_ome_color(e.get("Color")) for e in found)
    said = len(set(colors)) > 1  # white for all is what writers say who know nothing
    names = tuple(e.get("Name") or f"Channel {n}" for n, e in enumerate(found, start=1))
    return ChannelFacts(names, stains=True, colors=colors if said else ())


def _ome_color(text: str | None) -> str:
    """A signed number of 32 bits: red, green, blue, alpha."""
    try:
        return f"#{(int(text or '') & 0xFFFFFFFF) >> 8:06x}"
    except ValueError:
        return WHITE


def _of_imagej(tiff: TiffFile, planes: Planes) -> ChannelFacts:
    said, count = tiff.imagej_metadata or {}, planes.stains
    return ChannelFacts(
        _imagej_names(said.get("Labels"), planes) or numbered(count),
        stains=True,
        colors=_imagej_colors(said.get("LUTs"), count),
        windows=_imagej_windows(said.get("Ranges"), count),
    )


def _imagej_names(labels: Any, planes: Planes) -> tuple[str, ...]:
    """Labels of the first plane of each channel, where they tell channels apart."""
    outer, count = planes.outer, planes.stains
    if not isinstance(labels, list) or len(labels) != len(planes):
        return ()
    places = np.arange(len(labels)).reshape(*outer.values())
    first = np.moveaxis(places, list(outer).index("C"), 0).reshape(count, -1)[:, 0]
    names = tuple(IMAGEJ_PLACE.sub("", str(labels[n])).strip() for n in first)
    return names if all(names) and len(set(names)) == count else ()


def _imagej_colors(tables: Any, count: int) -> tuple[str, ...]:
    """The brightest colour of each look-up table."""
    if not isinstance(tables, list) or len(tables) != count:
        return ()
    ends = [np.asarray(table) for table in tables]
    if any(end.shape != (3, 256) for end in ends):
        return ()
    return tuple("#{:02x}{:02x}{:02x}".format(*(int(v) for v in end[:, -1])) for end in ends)


def _imagej_windows(ranges: Any, count: int) -> tuple[tuple[float, float] | None, ...]:
    if not isinstance(ranges, tuple | list) or len(ranges) != 2 * count:
        return ()
    pairs = [(float(a), float(b)) for a, b in zip(ranges[::2], ranges[1::2], strict=True)]
    return tuple((a, b) if math.isfinite(a) and math.isfinite(b) and a < b else None for a, b in pairs)


def numbered(count: int) -> tuple[str, ...]:
    """Names for channels that have none."""
    return tuple(f"Channel {n}" for n in range(1, count + 1))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
