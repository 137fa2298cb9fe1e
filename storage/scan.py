"""One picture or volume as a reader found it, already in display order: from `storage.formats` to the store."""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.channels.named import MAX_CHANNELS, Channel, are_colours, values_digest
from storage.channels.rows import told

PIXEL_TYPES = ("uint8", "int16", "uint16", "int32", "float32")  # colour is always uint8
MAX_VOXELS = 2**31
MAX_PIXELS_2D = 100_000_000
SAMPLES = 2_000_000  # enough voxels for a stable percentile, few enough to sort in 0.1 s

Marks = tuple[tuple[str, str], ...]
Preset = tuple[str, float, float]


@dataclass(frozen=True, eq=False)
class Scan:
    """One image (Z = 1) or volume. Raises ValueError where the values do not fit together."""

    name: str  # for display; the store makes it unique
    pixels: NDArray[Any]  # (Z, Y, X) of PIXEL_TYPES, or (Z, Y, X, 3) uint8
    spacing_mm: tuple[float, float, float] | None  # (z, y, x); None where the file says nothing
    marks: (
        Marks | None
    )  # per axis z, y, x the letters at its low and high end, as (("S", "I"), ("A", "P"), ("R", "L"))
    geometry: dict[str, Any] = field(
        default_factory=dict
    )  # JSON; read by storage.formats alone, to write labels on the file's grid
    modality: str | None = None  # "CT", "MR", ...
    window: tuple[float, float] = (0.0, 255.0)  # display window, low and high value
    value_range: tuple[float, float] = (0.0, 255.0)  # least and greatest finite value
    presets: tuple[Preset, ...] = ()  # (name, low, high) windows to choose from
    source: str = ""  # path below what was imported; "" where it could identify a patient
    remarks: tuple[
        str, ...
    ] = ()  # what the file holds and the scan lost, each a sentence that starts with "its"
    named: tuple[Channel, ...] = ()  # its channels, kept beside `pixels`, which show them together

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        _check_name(self.name)
        if self.spacing_mm is not None:
            _check_spacing(self.spacing_mm)
        if self.marks is not None and [len(ends) for ends in self.marks] != [2, 2, 2]:
            raise ValueError(f"marks name both ends of three axes, got {self.marks}")
        for low, high in (self.window, *((low, high) for _, low, high in self.presets)):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"a display window needs finite low < high, got {(low, high)}")
        _check_channels(self)
        json.dumps(self.geometry, allow_nan=False)  # TypeError or ValueError where it is not JSON

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = self.pixels.shape[:3]
        return z, y, x

    @property
    def measured(self) -> tuple[Channel, ...]:
        """Channels that models see each for itself."""
        return () if are_colours([channel.name for channel in self.named]) else self.named

    @property
    def channels(self) -> int:
        return 3 if self.pixels.ndim == 4 else 1

    @cached_property
    def pixels_digest(self) -> str:
        return pixels_digest(self.pixels, [(channel.name, channel.digest) for channel in self.named])


def pixels_digest(pixels: NDArray[Any], named: Collection[tuple[str, str]] = ()) -> str:
    """A fingerprint of (Z, Y, X[, 3]) and of channels alone, whatever file they came from; a large scan takes seconds.
    `named`: name and digest of each channel."""
    alone = values_digest(pixels)
    if not named:
        return alone
    return hashlib.blake2b(alone.encode() + told(named), digest_size=16).hexdigest()


def value_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """Least and greatest value; the pixels are finite."""
    return float(pixels.min()), float(pixels.max())


def robust_window(pixels: NDArray[Any]) -> tuple[float, float]:
    """Percentiles 0.5 and 99.5 of the values, widened where they coincide; colour keeps 0..255."""
    if pixels.ndim == 4:
        return 0.0, 255.0
    low, high = _percentiles(sample(pixels), (0.5, 99.5))
    if low < high:
        return low, high
    low, high = value_range(pixels)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _percentiles(values: NDArray[Any], at: tuple[float, float]) -> tuple[float, float]:
    """As NumPy's, of (n,); small whole numbers are counted, which is ten times faster."""
    if values.dtype not in (np.uint8, np.uint16):
        low, high = (float(v) for v in np.percentile(values, at))
        return low, high
    up_to = np.cumsum(np.bincount(values))
    places = np.array(at) / 100 * (values.size - 1)
    below, above = (np.searchsorted(up_to, rank(places), "right") for rank in (np.floor, np.ceil))
    low, high = (float(v) for v in below + (above - below) * (places % 1))
    return low, high


def sample(pixels: NDArray[Any]) -> NDArray[Any]:
    """At most SAMPLES of the values, (n,), spread evenly over the array."""
    step = max(1, pixels.size // SAMPLES) | 1  # odd, so that it does not run along one column of an even grid
    return pixels.reshape(-1)[::step]


def _check_pixels(pixels: NDArray[Any]) -> None:
    colour = pixels.ndim == 4 and pixels.shape[3] == 3 and pixels.dtype == np.uint8
    grey = pixels.ndim == 3 and pixels.dtype.name in PIXEL_TYPES and pixels.dtype.isnative
    if not (colour or grey):
        raise ValueError(
            f"pixels are (Z, Y, X) of {PIXEL_TYPES} or (Z, Y, X, 3) uint8, got {pixels.dtype} {pixels.shape}"
        )
    if pixels.size == 0:
        raise ValueError(f"the image has no pixels (shape {pixels.shape})")


def _check_channels(scan: Scan) -> None:
    names = [channel.name for channel in scan.named]
    if len(set(names)) != len(names) or len(names) == 1 or len(names) > MAX_CHANNELS:
        raise ValueError(f"channels are 2 to {MAX_CHANNELS}, each with a name of its own, got {names}")
    for channel in scan.named:
        _check_name(channel.name)
        _check_pixels(channel.values)
        if channel.values.shape != scan.shape or scan.pixels.ndim != 4:
            raise ValueError(f"channels have the shape of a colour picture, got {channel.values.shape}")


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise ValueError(f"a name needs readable characters, got {ascii(name)}")


def _check_spacing(spacing_mm: tuple[float, float, float]) -> None:
    if len(spacing_mm) != 3 or not all(math.isfinite(v) and v > 0 for v in spacing_mm):
        raise ValueError(f"spacing is three positive numbers in mm (z, y, x), got {spacing_mm}")
