"""OME-Zarr 0.4 and 0.5 (zarr 2 and 3) in a folder, read in place."""

import math
from pathlib import Path
from typing import Any

from storage.channels.named import HEX, RGB
from storage.formats.base import FileRefused
from storage.formats.channels.channelled import ChannelFacts
from storage.formats.units import millimetres
from storage.scenes.pyramid import Level, Pyramid

MARKS = ("zarr.json", ".zgroup", ".zattrs")
PRIMARY = ("#ff0000", "#00ff00", "#0000ff")
NO_IMAGE = "its metadata names no image; give the folder of one image, the one with its multiscales"


def is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: Path) -> Pyramid:
    """Raises FileRefused, or whatever zarr raises on damaged metadata."""
    import zarr  # half a second

    group = zarr.open_group(path, mode="r")
    said: dict[str, Any] = dict(group.attrs)
    said = said.get("ome", said)
    images = said.get("multiscales")
    if not isinstance(images, list) or not images:
        raise FileRefused(NO_IMAGE)
    axes = _axes(images[0])
    arrays: list[Any] = [group[entry["path"]] for entry in images[0]["datasets"]]
    _check_moments(arrays[0], axes)
    keep = [n for n, axis in enumerate(axes) if axis != "T"]
    letters = "".join(axes[n] for n in keep)
    levels = tuple(Level(_Still(one, axes), letters, tuple(one.chunks[n] for n in keep)) for one in arrays)
    facts = _channels(said.get("omero"), levels[0])
    colour = facts is not None and _are_colours(facts, levels[0])
    return Pyramid(levels, _spacing_mm(images[0]), colour, None if colour else facts)


class _Still:
    """An array of one moment without its axis of time."""

    def __init__(self, array: Any, axes: str) -> None:
        self._array, self._at = array, axes.find("T")
        self.dtype = array.dtype
        self.shape = tuple(n for axis, n in enumerate(array.shape) if axis != self._at)

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        at = self._at
        return self._array[key if at < 0 else (*key[:at], 0, *key[at:])]


def _axes(image: dict[str, Any]) -> str:
    """A letter each; files of version 0.3 name them without saying more."""
    named = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", list("tczyx"))]
    axes = "".join(str(name)[:1].upper() for name in named)
    if not set(axes) <= set("TCZYX") or any(len(str(name)) != 1 for name in named):
        raise FileRefused(f"its axes are {', '.join(map(str, named))}; a scene has t, c, z, y and x")
    return axes


def _check_moments(array: Any, axes: str) -> None:
    if "T" in axes and (count := array.shape[axes.index("T")]) > 1:
        raise FileRefused(f"it has {count} moments in time; save one moment a file")


def _channels(omero: Any, level: Level) -> ChannelFacts | None:
    """None for one grey value."""
    count = level.channels
    if count == 1:
        return None
    said = omero.get("channels", []) if isinstance(omero, dict) else []
    said = said if len(said) == count else [{}] * count
    names = tuple(str(one.get("label") or f"Channel {n}") for n, one in enumerate(said, start=1))
    colors = tuple(f"#{str(one.get('color', '')).lower()}" for one in said)
    windows = tuple(_window(one.get("window")) for one in said)
    known = all(HEX.fullmatch(color) for color in colors)
    return ChannelFacts(names, stains=True, colors=colors if known else (), windows=windows)


def _are_colours(facts: ChannelFacts, level: Level) -> bool:
    """Red, green and blue of 8 bits; anything else stays channels, whose values are all kept."""
    named = facts.names in (RGB, ("R", "G", "B")) or facts.colors == PRIMARY
    return len(facts.names) == 3 and named and level.array.dtype.name == "uint8"


def _window(said: Any) -> tuple[float, float] | None:
    try:
        low, high = float(said["start"]), float(said["end"])
    except (KeyError, TypeError, ValueError):
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _spacing_mm(image: dict[str, Any]) -> tuple[float, float, float] | None:
    """Of the full size; a z that the file does not have is taken to be y. None without a unit of length."""
    units = {a["name"]: a.get("unit") for a in image.get("axes", []) if isinstance(a, dict)}
    if not units:
        return None
    scale, told = [1.0] * len(units), "coordinateTransformations"
    for step in (*image["datasets"][0].get(told, []), *image.get(told, [])):
        if step.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
    found = {}
    for (name, unit), value in zip(units.items(), scale, strict=True):
        mm = millimetres(unit) if name in "zyx" and unit else None
        if mm and math.isfinite(value) and value > 0:
            found[name] = value * mm
    if "y" not in found or "x" not in found:
        return None
    return found.get("z", found["y"]), found["y"], found["x"]
