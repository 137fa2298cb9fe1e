"""The overview of a scene: one small picture for each slab of regions, read piece by piece."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.arrays import Box3
from storage.channels.named import composite, names_made_good
from storage.formats.base import rgb8, to_pixel_type
from storage.formats.channels.channelled import channel_looks
from storage.scan import robust_window
from storage.scenes.pyramid import Level, Pyramid, ScenePart, pieces
from storage.scenes.region import channels_of
from storage.scenes.regions import RegionGrid
from storage.scenes.rows import SceneLook

SIDE, DEEP_SIDE = 2048, 1024  # pixels of the longer side at most: of a picture, and of each slab of a volume
AT_ONCE = 1 << 24  # values in memory at once
HATCH, DARK, LIGHT = 8, 40, 110  # of what cannot be read

Told = Callable[[int, int], None]  # slabs done, slabs in all


@dataclass(frozen=True)
class Overview:
    pictures: tuple[bytes, ...]  # a WebP for each slab
    look: SceneLook
    lost: int  # pieces that could not be read


def make_overview(pyramid: Pyramid, grid: RegionGrid, told: Told = lambda done, count: None) -> Overview:
    """Reads the smallest level that is large enough; the full one, once, where the file has no other."""
    slabs, side = grid.counts[0], SIDE if grid.shape[0] == 1 else DEEP_SIDE
    level = _level(pyramid, side)
    some = {slab: _plane(level, grid, slab, side) for slab in {0, slabs // 2, slabs - 1}}
    look = _look(pyramid, [part.values for part in some.values()])
    pictures, lost = [], 0
    for slab in range(slabs):
        told(slab, slabs)
        part = some[slab] if slab in some else _plane(level, grid, slab, side)
        pictures.append(_webp(_hatched(_picture(pyramid, part, look), part)))
        lost += len(part.lost)
    return Overview(tuple(pictures), look, lost)


def _level(pyramid: Pyramid, side: int) -> Level:
    """The smallest that need not be enlarged much."""
    enough = [one for one in pyramid.levels if max(one.shape[1:]) >= side // 2]
    return min(enough or pyramid.levels[:1], key=lambda one: max(one.shape[1:]))


def _plane(level: Level, grid: RegionGrid, slab: int, side: int) -> ScenePart:
    """The middle slice of a slab, made smaller: (C, 1, h, w)."""
    deep, rows, columns = level.shape
    inner = grid.inner((slab, 0, 0))[0]
    z = min(deep - 1, (inner.start + inner.stop) // 2 * deep // grid.shape[0])
    step = math.ceil(max(rows, columns) / side)
    size = (level.channels, 1, math.ceil(rows / step), math.ceil(columns / step))
    whole, lost = np.zeros(size, level.array.dtype), []
    for block in _blocks(level, z, step):
        part = level.read(block, step)
        top, left = block[1].start // step, block[2].start // step
        h, w = part.values.shape[2:]
        whole[:, :, top : top + h, left : left + w] = part.values
        lost += [_smaller(one, block, step) for one in part.lost]
    return ScenePart(whole, tuple(lost))


def _blocks(level: Level, z: int, step: int) -> Iterator[Box3]:
    """The plane in parts that begin at steps and at pieces of the file, and fit into memory."""
    most = math.isqrt(max(1, AT_ONCE // level.channels))
    _, rows, columns = level.shape
    tall, wide = (max(1, most // math.lcm(side, step)) * math.lcm(side, step) for side in level.tile[1:])
    if max(tall, wide) > 4 * most:  # pieces and steps that do not fit together
        tall = wide = max(1, most // step) * step
    yield from pieces((slice(z, z + 1), slice(0, rows), slice(0, columns)), (1, tall, wide))


def _smaller(lost: Box3, block: Box3, step: int) -> Box3:
    rows, columns = (
        slice((b.start + s.start) // step, -(-(b.start + s.stop) // step))
        for s, b in zip(lost[1:], block[1:], strict=True)
    )
    return slice(0, 1), rows, columns


def _look(pyramid: Pyramid, planes: Sequence[NDArray[Any]]) -> SceneLook:
    """Of some slabs: windows that fit all regions."""
    values = _finite(np.concatenate(planes, axis=1))
    found = tuple(robust_window(to_pixel_type(channel)) for channel in values)
    if pyramid.facts is None:
        return SceneLook(found)
    names = names_made_good(pyramid.facts.names)
    looks = channel_looks(names, pyramid.facts, lambda n: found[n])
    return SceneLook(tuple(one.window for one in looks), names, tuple(one.color for one in looks))


def _picture(pyramid: Pyramid, part: ScenePart, look: SceneLook) -> NDArray[np.uint8]:
    """(h, w, 3)."""
    values = _finite(part.values[:, 0])
    if pyramid.colour:
        return rgb8(np.moveaxis(values, 0, 2))
    return composite(list(zip(values, channels_of(look), strict=True)))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return np.nan_to_num(values, posinf=0, neginf=0) if values.dtype.kind == "f" else values


def _hatched(picture: NDArray[np.uint8], part: ScenePart) -> NDArray[np.uint8]:
    """Stripes where nothing could be read."""
    shown = picture.copy()
    for _, rows, columns in part.lost:
        place = shown[rows, columns]
        across = np.add.outer(np.arange(place.shape[0]), np.arange(place.shape[1]))
        place[:] = np.where(across // HATCH % 2, LIGHT, DARK)[..., None]
    return shown


def _webp(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=85, method=2)
    return out.getvalue()
