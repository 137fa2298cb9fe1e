"""OME-Zarr (NGFF 0.4): each image with its labels in it, for napari and other viewers of large images.

Zarr 2 is written here, not by a library: JSON beside chunks of zlib. Levels take every second row and column, so that
no value of a label is mixed with another and voxels stay where they were.
"""

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers.contract import LabelledImage, Writer
from storage.arrays import open_npy, write_bytes
from storage.rows import ClassRow, ImageRow

NGFF = "0.4"
CHUNK = (16, 256, 256)  # z, y, x
SMALL, MOST_LEVELS = 256, 6  # a level with no longer side than this is the last
ZLIB = 4


class OmeZarrWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        if not image.unknown:
            image.tell_unknown("OME-Zarr without --ignore")
        root = self.folder.at(f"{image.name}.zarr")
        about = self.folder.place(f"{image.name}.zarr/labels/classes/.zattrs", image)
        pixels = _pixels(image.row)
        levels = _written(root, pixels)
        _group(root, {**_Scales(image, pixels.ndim == 4, levels).json(image.row.name), **_shown(image.row)})
        _group(
            root / "labels", {"labels": ["classes", *(["objects"] if image.instances is not None else [])]}
        )
        self._labels(about.parent, image, image.values, _class_facts(image))
        if image.instances is not None:
            self._labels(root / "labels" / "objects", image, image.instances, {})

    def _labels(
        self, folder: Path, image: LabelledImage, values: NDArray[Any], facts: Mapping[str, Any]
    ) -> None:
        levels = _written(folder, values)
        label = {"version": NGFF, "source": {"image": "../../"}, **facts}
        ours = {
            "slicewise": {"order": "as displayed", "image": image.row.source}
        }  # NGFF has no word for anatomy
        _group(folder, {**_Scales(image, False, levels).json(folder.name), "image-label": label, **ours})


def _pixels(row: ImageRow) -> NDArray[Any]:
    """([C, ]Z, Y, X): its channels as they are kept, else its colours or its one grey value."""
    if row.named:
        return np.stack([open_npy(channel.path) for channel in row.named])
    pixels = open_npy(row.path)
    return np.moveaxis(pixels, 3, 0) if pixels.ndim == 4 else pixels


def _shown(row: ImageRow) -> dict[str, Any]:
    """How viewers are to show the channels, and what they are called."""
    channels = [
        {
            "label": one.name,
            "color": one.look.color.removeprefix("#"),
            "active": one.look.shown,
            "window": {
                "min": one.value_range[0],
                "max": one.value_range[1],
                "start": one.look.window[0],
                "end": one.look.window[1],
            },
        }
        for one in row.named
    ]
    return {"omero": {"version": NGFF, "channels": channels}} if channels else {}


@dataclass(frozen=True)
class _Scales:
    """The levels of an image, and how wide a voxel is in each."""

    image: LabelledImage
    colour: bool
    levels: int

    def json(self, name: str) -> dict[str, Any]:
        spacing = self.image.row.spacing_mm
        unit = {"unit": "millimeter"} if spacing else {}
        axes = [{"name": axis, "type": "space", **unit} for axis in "zyx"]
        z, y, x = spacing or (1.0, 1.0, 1.0)
        first = [1.0] if self.colour else []
        scales = [[*first, z, y * 2**n, x * 2**n] for n in range(self.levels)]
        sets = [
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for n, scale in enumerate(scales)
        ]
        axes = [*([{"name": "c", "type": "channel"}] if self.colour else []), *axes]
        return {"multiscales": [{"version": NGFF, "name": name, "axes": axes, "datasets": sets}]}


def _class_facts(image: LabelledImage) -> dict[str, Any]:
    rows = {image.numbers[c.id]: c for c in image.classes}
    return {
        "colors": [{"label-value": v, "rgba": _rgba(rows[v].color)} for v in sorted(rows)],
        "properties": [{"label-value": v, **_said(rows[v])} for v in sorted(rows)]
        + ([{"label-value": image.unknown, "class": "unlabelled"}] if image.unknown else []),
    }


def _said(row: ClassRow) -> dict[str, str]:
    code = row.code
    return {"class": row.name, **({"scheme": code.scheme, "code": code.value} if code else {})}


def _rgba(color: str) -> list[int]:
    return [*(int(color[n : n + 2], 16) for n in (1, 3, 5)), 255]


def _written(folder: Path, array: NDArray[Any]) -> int:
    """Every level of ([C, ]Z, Y, X) below a folder; how many there are."""
    level, number = array, 0
    while True:
        _array(folder / str(number), level)
        number += 1
        if max(level.shape[-2:]) <= SMALL or number == MOST_LEVELS:
            return number
        level = level[..., ::2, ::2]


def _array(folder: Path, array: NDArray[Any]) -> None:
    """One level. A chunk of zeros alone is left out, which is what its absence means."""
    chunk = (1,) * (array.ndim - 3) + tuple(min(n, side) for n, side in zip(array.shape[-3:], CHUNK))
    facts = {
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": chunk,
        "dtype": array.dtype.newbyteorder("<").str,
        "compressor": {"id": "zlib", "level": ZLIB},
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / ".zarray", facts)
    for at, part in _chunks(array, chunk):
        path = folder.joinpath(*map(str, at))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.compress(part.tobytes(), ZLIB))


def _chunks(array: NDArray[Any], chunk: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Numbers and values, filled up to the full size at the ends."""
    little = array.dtype.newbyteorder("<")
    for at in itertools.product(*(range(-(-n // side)) for n, side in zip(array.shape, chunk, strict=True))):
        window = tuple(slice(i * side, (i + 1) * side) for i, side in zip(at, chunk, strict=True))
        part = array[window]
        if part.any():
            whole = np.zeros(chunk, little)
            whole[tuple(slice(0, n) for n in part.shape)] = part
            yield at, whole


def _group(folder: Path, attributes: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / ".zgroup", {"zarr_format": 2})
    _write_json(folder / ".zattrs", attributes)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
