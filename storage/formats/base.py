"""What all readers share: refusals, size limits checked before anything is decoded, and pixel types."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from storage.scan import MAX_PIXELS_2D, MAX_VOXELS, PIXEL_TYPES

DEFLATE_RATIO = 1032  # deflate cannot pack more than this many bytes into one
LABEL_LIMIT = 2**32 - 1
COLOUR = 2**32  # a mask value from here on is a colour: this and its red, green and blue, 8 bits each
ALWAYS_FREE = 16_000_000  # bytes that are not worth asking the system about: it takes a millisecond
DEEP_COLOUR = "its colours have more than 8 bits, of which the upper 8 are kept; grey values keep all"


class FileRefused(ValueError):
    """A file that cannot be taken in; the message is one sentence for the person who chose it."""


class PartOfAnother(FileRefused):
    """A file whose pixels come in with another one, such as one of the files of an OME-TIFF."""


def check_size(shape: Sequence[int], bytes_per_voxel: int = 4) -> None:
    """Refuse a shape that is empty, absurd or larger than memory. Call it before decoding."""
    voxels = math.prod(int(n) for n in shape)
    if voxels <= 0 or min(shape) <= 0:
        raise FileRefused("it has no pixels")
    if voxels > MAX_VOXELS:
        raise FileRefused(
            f"it declares {voxels:,} voxels and the limit is {MAX_VOXELS:,}; crop or downsample it"
        )
    if sum(n > 1 for n in shape) <= 2 and voxels > MAX_PIXELS_2D:
        raise FileRefused(
            f"it declares {voxels / 1e6:,.0f} megapixels and the limit for a picture is "
            f"{MAX_PIXELS_2D / 1e6:.0f}; crop or downsample it"
        )
    need = 2 * voxels * bytes_per_voxel
    if need > ALWAYS_FREE and need > (free := psutil.virtual_memory().available):
        raise FileRefused(f"it needs {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; crop it")


def check_stored(path: Path, need_bytes: int, *, compressed: bool) -> None:
    """Refuse a file too short for the pixels that its header declares, before they are allocated."""
    have = path.stat().st_size
    if have * (DEFLATE_RATIO if compressed else 1) < need_bytes:
        raise FileRefused("it is cut short: its header declares more pixels than it holds; copy it again")


def to_pixel_type(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in one of PIXEL_TYPES and native byte order; refuses NaN, infinity and complex numbers."""
    kind = values.dtype.kind
    if kind not in "buif":
        raise FileRefused(f"its pixels are of type {values.dtype}, which is not a grey value or RGB")
    if kind == "f":
        return _to_float32(values)
    if kind == "b":
        return values.astype(np.uint8)
    native = values.dtype.newbyteorder("=")
    if native.name in PIXEL_TYPES:
        return values.astype(native, copy=False)
    return _narrow(values) if values.size else values.astype(np.int16)


def rescale(values: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """values * slope + intercept: integers where that is exact, float32 otherwise."""
    if slope == 1 and intercept == 0:
        return to_pixel_type(values)
    if values.dtype.kind in "ui" and slope == int(slope) and intercept == int(intercept):
        ends = sorted(int(v) * int(slope) + int(intercept) for v in (values.min(), values.max()))
        largest = max(abs(e) for e in (*ends, int(slope), int(intercept)))
        if largest < 2**31:  # a product beyond the range comes back by adding: integers wrap around
            return (values.astype(np.int32) * np.int32(slope) + np.int32(intercept)).astype(
                integer_type(*ends)
            )
    out = np.empty_like(values, dtype=np.float32, subok=False)
    planes = zip(values.T, out.T, strict=True) if values.flags.f_contiguous else zip(values, out, strict=True)
    for part, target in planes:  # one at a time: the exact product is float64
        np.copyto(target, part * np.float64(slope) + intercept, casting="same_kind")
    return _to_float32(out)


def integer_type(low: int, high: int) -> np.dtype:
    """The smallest of int16, uint16 and int32 that holds both."""
    for name in ("int16", "uint16", "int32"):
        info = np.iinfo(name)
        if info.min <= low and high <= info.max:
            return np.dtype(name)
    raise FileRefused(f"its values run from {low} to {high}, which is more than 32 bits hold")


def rgb8(values: NDArray[Any], bits: int | None = None) -> NDArray[np.uint8]:
    """(..., 3) RGB as 8 bit: the upper 8 of the bits that the file says it uses, floats of 0..1 times 255.

    `bits`: how many of an integer's bits the file uses, None for all. Never judged by the values: two pictures of one
    camera must stay comparable, whatever the brightest speck of each.
    """
    if values.dtype.kind == "f" and values.size and values.min() >= 0 and values.max() <= 1:
        return np.asarray(np.rint(values * 255), np.uint8)
    if values.dtype.kind != "u" or values.dtype.itemsize > 4:
        raise FileRefused(f"its colours are {values.dtype}; save it as 8 or 16 bit RGB")
    bits = bits or 8 * values.dtype.itemsize
    if bits == 8 and values.dtype == np.uint8:
        return values
    if int(values.max(initial=0)) >= 2**bits:
        raise FileRefused(f"it says that it uses {bits} bits and holds larger values; save it as 16 bit RGB")
    wide = values.astype(np.uint32)
    return np.asarray(wide * 255 // (2**bits - 1) if bits <= 8 else wide >> (bits - 8), np.uint8)


def label_values(values: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """Mask values as whole numbers: uint8 where the file had 8 bits (or floats that fit), else uint16, or uint32 where
    they are larger; colours as uint64, see COLOUR, and black as 0. Refuses anything else."""
    if values.ndim == 4:
        if not (values[..., :1] == values).all():
            return _colour_values(values)
        values = values[..., 0]
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= LABEL_LIMIT):
        raise FileRefused(
            f"label numbers run from 0 to {LABEL_LIMIT} and it holds {low:g} to {high:g}; renumber them"
        )
    small = values.dtype.itemsize == 1 or (values.dtype.kind == "f" and high <= 255)
    kind: type[np.unsignedinteger] = np.uint8 if small else np.uint16 if high < 2**16 else np.uint32
    labels: NDArray[np.unsignedinteger] = values.astype(kind)
    if values.dtype.kind == "f" and not (labels == values).all():
        raise FileRefused("label numbers are whole and it holds fractions; was it interpolated?")
    return labels


def _colour_values(values: NDArray[Any]) -> NDArray[np.uint64]:
    """(..., 3) uint8 -> the value of each colour."""
    if values.dtype != np.uint8:
        raise FileRefused(f"its colours are {values.dtype}; save the mask with 8 bits a colour, or in grey")
    red, green, blue = np.moveaxis(values.astype(np.uint64), -1, 0)
    rgb: NDArray[np.uint64] = (red << 16) | (green << 8) | blue
    return np.where(rgb > 0, rgb | COLOUR, 0).astype(np.uint64)


def shown_name(path: Path) -> str:
    """The file's name with what cannot be printed replaced."""
    return "".join(c if c.isprintable() else "_" for c in path.name)


def _to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        some = "all of its voxels" if bad == values.size else f"{bad:,} of its voxels"
        raise FileRefused(f"{some} are NaN or infinite; replace them (for example by 0) and import it again")
    if values.dtype == np.float32 and values.dtype.isnative:
        return values
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise FileRefused("its values are larger than 32-bit floats hold; scale them and import it again")
    return single


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    low, high = int(values.min()), int(values.max())
    if low >= -(2**31) and high < 2**31:
        return values.astype(integer_type(low, high))
    return values.astype(np.float32)
