"""What the stored samples of a TIFF page mean: grey values or RGB by its tags alone, or a refusal."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffPage

from storage.formats.base import FileRefused, rgb8
from storage.formats.tiff.pages import Plane

INKS: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.PALETTE: 1, PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3, PHOTOMETRIC.CIELAB: 3, PHOTOMETRIC.ICCLAB: 3, PHOTOMETRIC.SEPARATED: 4,
}  # fmt: skip
JPEG = (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)  # tifffile makes RGB of their YCbCr
PHOTOMETRIC_TAG, INK_SET, COEFFICIENTS, BLACK_AND_WHITE = 262, 332, 529, 532
CMYK = 1
BT601 = (0.299, 0.587, 0.114)
D50 = np.array([0.9642, 1.0, 0.8251])  # its white
D50_TO_SRGB = np.array(  # with the eye's adaptation to D65 (Bradford)
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)


def grey_or_rgb(plane: Plane, bits: int | None = None) -> NDArray[Any]:
    """(Y, X) grey of any depth or (Y, X, 3) uint8. `bits`: how many of a colour's bits the file uses, if it says."""
    page, values = plane.page, _without_alpha(plane)
    depth = bits or _depth(page)
    if page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE):
        return _grey(values[..., 0], page)
    if page.photometric == PHOTOMETRIC.PALETTE:
        return np.take(_palette(page), values[..., 0], axis=0)
    if is_rgb(page):
        return rgb8(values, depth)
    convert: dict[int, Callable[[NDArray[Any], TiffPage], NDArray[np.uint8]]] = {
        PHOTOMETRIC.SEPARATED: _from_cmyk,
        PHOTOMETRIC.YCBCR: _from_ycbcr,
        PHOTOMETRIC.CIELAB: _from_lab,
        PHOTOMETRIC.ICCLAB: _from_lab,
    }
    return convert[page.photometric](values, page)


def is_rgb(page: TiffPage) -> bool:
    """Whether its values are red, green and blue once they are unpacked."""
    return page.photometric == PHOTOMETRIC.RGB or (
        page.compression in JPEG and page.photometric == PHOTOMETRIC.YCBCR
    )


def rgb_values(plane: Plane) -> NDArray[Any]:
    """(Y, X, 3) as they are stored, of a page of RGB."""
    _depth(plane.page)
    return _without_alpha(plane)


def band_values(plane: Plane) -> NDArray[Any]:
    """(Y, X, bands) as they are stored, without alpha."""
    page, values = plane.page, plane.values
    _depth(page)
    first = page.samplesperpixel - len(page.extrasamples)
    kinds = [*[-1] * first, *(int(kind) for kind in page.extrasamples)]
    kept = [n for n, kind in enumerate(kinds) if kind not in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)]
    return values if len(kept) == len(kinds) else values[..., kept]


def label_numbers(plane: Plane) -> NDArray[Any]:
    """(Y, X) of a grey or palette page as stored, (Y, X, 3) of RGB; refuses what is no numbering."""
    photometric = plane.page.photometric
    if photometric == PHOTOMETRIC.MINISWHITE:
        raise FileRefused(
            "it says that 0 is white, so its numbers may be meant either way; save it with 0 as black"
        )
    if photometric == PHOTOMETRIC.RGB or INKS.get(photometric) == 3 and plane.page.compression in JPEG:
        return _without_alpha(plane)
    if INKS.get(photometric, 1) > 1:
        raise FileRefused("a colour picture is no mask; save the label numbers as a grey or palette TIFF")
    return _without_alpha(plane)[..., 0]


def unexplained_band(page: TiffPage) -> bool:
    """Whether a fourth band beside red, green and blue is left out although nothing says that it is alpha."""
    return page.photometric == PHOTOMETRIC.RGB and page.samplesperpixel == 4 and not alphas_of(page)


def _without_alpha(plane: Plane) -> NDArray[Any]:
    """(Y, X, inks): colour that was multiplied by alpha is divided by it again."""
    page = plane.page
    values = plane.values if page.samplesperpixel > 1 or plane.values.ndim == 3 else plane.values[..., None]
    inks = _inks(page)
    alphas = alphas_of(page)
    if page.samplesperpixel > inks + len(alphas) and not unexplained_band(page):
        raise FileRefused(
            f"it has {page.samplesperpixel} bands a pixel, which are neither grey, colours nor alpha; "
            "save one band a file, or three as RGB"
        )
    colour = values[..., :inks]
    if EXTRASAMPLE.ASSOCALPHA in alphas:
        return _divided(colour, values[..., inks + alphas.index(EXTRASAMPLE.ASSOCALPHA)], _depth(page))
    return colour


def _inks(page: TiffPage) -> int:
    if PHOTOMETRIC_TAG not in page.tags:
        raise FileRefused(
            "it does not say what its values mean (no photometric tag); save it again as grey or RGB"
        )
    inks = INKS.get(page.photometric)
    if inks is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise FileRefused(f"its colours are of the kind {name}; save it as grey values or RGB")
    if page.samplesperpixel < inks:
        raise FileRefused(f"it has {page.samplesperpixel} bands where its colours need {inks}; save it again")
    return inks


def alphas_of(page: TiffPage) -> list[int]:
    """The kinds of the bands that say that they are alpha."""
    extra = page.samplesperpixel - INKS.get(page.photometric, 0)
    kinds = [int(kind) for kind in page.extrasamples][:extra] if extra > 0 else []
    return [kind for kind in kinds if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)]


def _depth(page: TiffPage) -> int:
    bits: int | tuple[int, ...] = page.bitspersample
    if not isinstance(bits, int):
        raise FileRefused("its bands differ in bits; save it as 8 or 16 bit")
    return bits


def _divided(colour: NDArray[Any], alpha: NDArray[Any], bits: int) -> NDArray[Any]:
    full = 1.0 if colour.dtype.kind == "f" else 2.0**bits - 1
    share = np.where(alpha == 0, 1.0, alpha / full)[..., None]
    plain = np.minimum(colour / share, full)
    whole: NDArray[Any] = (plain if colour.dtype.kind == "f" else np.rint(plain)).astype(colour.dtype)
    return whole


def _grey(values: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    white_is_zero = page.photometric == PHOTOMETRIC.MINISWHITE
    if values.dtype == bool:
        return np.asarray(np.where(values != white_is_zero, 255, 0), np.uint8)
    if not white_is_zero:
        return values
    if values.dtype.kind == "i":
        return np.asarray(np.invert(values))  # mirrors the range: -1 - value
    if values.dtype.kind != "u":
        raise FileRefused("it says that 0 is white, which fractions cannot mean; save it with 0 as black")
    mirrored: NDArray[Any] = values.dtype.type(2 ** _depth(page) - 1) - values
    return mirrored


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """(n, 3). Its entries have 16 bits; tables of 8 bit values are common, and libtiff tells them the same way."""
    if page.colormap is None:
        raise FileRefused("its palette is missing; save it as grey values or RGB")
    table = np.moveaxis(np.asarray(page.colormap, np.uint16), 0, -1)
    return rgb8(table, 8 if table.max(initial=0) < 256 else 16)


def _from_cmyk(values: NDArray[Any], page: TiffPage) -> NDArray[np.uint8]:
    ink_set = page.tags.get(INK_SET)
    if ink_set is not None and ink_set.value != CMYK:
        raise FileRefused("its inks are not cyan, magenta, yellow and black; save it as RGB")
    light = 255 - rgb8(values, _depth(page)).astype(np.uint16)
    mixed: NDArray[np.uint8] = ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    return mixed


def _from_ycbcr(values: NDArray[Any], page: TiffPage) -> NDArray[np.uint8]:
    if values.dtype != np.uint8 or _depth(page) != 8:
        raise FileRefused("its YCbCr colours have more than 8 bits; save it as RGB")
    red, green, blue = _ratios(page, COEFFICIENTS, BT601)
    ends = _ratios(page, BLACK_AND_WHITE, FULL_RANGE)
    y, cb, cr = (
        (values[..., n] - ends[2 * n]) * span / ((ends[2 * n + 1] - ends[2 * n]) or 1)
        for n, span in enumerate((255.0, 127.0, 127.0))
    )
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    rgb = np.stack([r, (y - red * r - blue * b) / (green or 1), b], axis=-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _ratios(page: TiffPage, tag: int, usual: tuple[float, ...]) -> tuple[float, ...]:
    found = page.tags.get(tag)
    if found is None or len(found.value) != 2 * len(usual):
        return usual
    pairs = zip(found.value[::2], found.value[1::2], strict=True)
    return tuple(over / (under or 1) for over, under in pairs)


def _from_lab(values: NDArray[Any], page: TiffPage) -> NDArray[np.uint8]:
    wide = values.dtype.itemsize == 2
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        raise FileRefused("its Lab colours are neither 8 nor 16 bit; save it as RGB")
    if page.photometric == PHOTOMETRIC.CIELAB:
        signed = values[..., 1:].astype(np.uint16 if wide else np.uint8).view(np.int16 if wide else np.int8)
        light, sides = values[..., :1] * (100 / (65535 if wide else 255)), signed.astype(float)
    else:
        light = values[..., :1] * (100 / (65280 if wide else 255))
        sides = values[..., 1:].astype(float) - (32768 if wide else 128)
    return _srgb(light[..., 0], *np.moveaxis(sides / 256 if wide else sides, -1, 0))


def _srgb(light: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.uint8]:
    """Lab under D50, the light of print that TIFF means, as 8 bit sRGB."""
    y = (light + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    linear = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * D50 @ D50_TO_SRGB.T
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.asarray(np.rint(shown * 255), np.uint8)
