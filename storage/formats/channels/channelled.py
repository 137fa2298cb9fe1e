"""A scan made of channels: what they are called, in which colours and windows they are shown at first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.channels.named import (
    COLORS,
    MAX_CHANNELS,
    RGB,
    WHITE,
    Channel,
    ChannelLook,
    names_made_good,
    picture_of,
)
from storage.formats.base import FileRefused, rgb8, to_pixel_type
from storage.formats.grid import Grid
from storage.scan import Scan, robust_window

TOGETHER = 4  # channels that are shown at first; of more the first ones
MOST_TOLD = 8
PRIMARY = ("#ff0000", "#00ff00", "#0000ff")


@dataclass(frozen=True)
class ChannelFacts:
    """What a file says about its channels; empty where it says nothing. `stains`: they are shown together in colours;
    else the first alone, in grey."""

    names: tuple[str, ...]
    stains: bool
    colors: tuple[str, ...] = ()
    windows: tuple[tuple[float, float] | None, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) > MAX_CHANNELS:
            raise FileRefused(
                f"it has {len(self.names)} channels and the limit is {MAX_CHANNELS}; save some of them a file"
            )

    @property
    def remark(self) -> str:
        return told(names_made_good(self.names))


@dataclass(frozen=True)
class Origin:
    """What a scan says beside its values."""

    name: str
    grid: Grid
    remarks: tuple[str, ...] = ()


def told(names: Sequence[str]) -> str:
    """That these channels are one image."""
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"its {len(names)} channels are one image: {', '.join(names[:MOST_TOLD])}{more}"


def channelled(values: Sequence[NDArray[Any]], facts: ChannelFacts, origin: Origin) -> Scan:
    """Of (Z, Y, X) of each channel."""
    whole = [np.ascontiguousarray(to_pixel_type(one)) for one in values]
    names = names_made_good(facts.names)
    looks = channel_looks(names, facts, lambda n: robust_window(whole[n]))
    channels = tuple(Channel(*one) for one in zip(names, whole, looks, strict=True))
    return _scan(picture_of(channels), channels, origin, (told(names),))


def channel_looks(
    names: Sequence[str], facts: ChannelFacts, found: Callable[[int], tuple[float, float]]
) -> tuple[ChannelLook, ...]:
    """How channels are shown at first; `found` is asked for a window where the file says none."""
    shown = _shown(names, facts)
    return tuple(
        ChannelLook(_color(n, names, facts), _said(n, facts) or found(n), shown=n in shown)
        for n in range(len(names))
    )


def deep_colour(values: NDArray[Any], bits: int | None, origin: Origin) -> Scan:
    """Of (Z, Y, X, 3) colours of more than 8 bits: the picture has the upper 8, the channels all."""
    picture = np.ascontiguousarray(rgb8(values, bits))
    whole = 255.0 * 2 ** ((bits or 8 * values.dtype.itemsize) - 8)  # shows just the upper 8 bits
    high = 1.0 if values.dtype.kind == "f" else whole
    channels = tuple(
        Channel(name, np.ascontiguousarray(to_pixel_type(values[..., n])), ChannelLook(color, (0.0, high)))
        for n, (name, color) in enumerate(zip(RGB, PRIMARY, strict=True))
    )
    return _scan(picture, channels, origin, ())


def _scan(
    picture: NDArray[np.uint8], channels: tuple[Channel, ...], origin: Origin, said: tuple[str, ...]
) -> Scan:
    grid = origin.grid
    return Scan(
        name=origin.name,
        pixels=picture,
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        remarks=(*origin.remarks, *said),
        named=channels,
    )


def _shown(names: Sequence[str], facts: ChannelFacts) -> range:
    if not facts.stains:
        return range(1)
    return range(3 if tuple(names[:3]) == RGB or len(names) > TOGETHER else len(names))


def _color(number: int, names: Sequence[str], facts: ChannelFacts) -> str:
    if number < len(facts.colors):
        return facts.colors[number]
    if not facts.stains:
        return WHITE
    if tuple(names[:3]) == RGB:
        return (*PRIMARY, *COLORS)[number % (len(PRIMARY) + len(COLORS))]
    return COLORS[number % len(COLORS)]


def _said(number: int, facts: ChannelFacts) -> tuple[float, float] | None:
    return facts.windows[number] if number < len(facts.windows) else None
