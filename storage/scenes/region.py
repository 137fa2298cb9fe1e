"""A region as a scan: its pixels with the margin, shown in the windows of the whole scene."""

from dataclasses import replace

import numpy as np

from storage.arrays import Box3
from storage.channels.named import WHITE, ChannelLook
from storage.formats.base import to_pixel_type
from storage.formats.channels.channelled import ChannelFacts, Origin, channel_looks, channelled, deep_colour
from storage.formats.grid import Grid, grid_of
from storage.scan import Scan, value_range
from storage.scenes.pyramid import Pyramid, ScenePart
from storage.scenes.rows import SceneLook


def facts_of(look: SceneLook) -> ChannelFacts:
    return ChannelFacts(look.names, True, look.colors, look.windows)


def channels_of(look: SceneLook) -> tuple[ChannelLook, ...]:
    """Its channels as they are shown at first; of grey values one."""
    if not look.names:
        return (ChannelLook(WHITE, look.windows[0]),)
    return channel_looks(look.names, facts_of(look), lambda n: look.windows[n])


def region_scan(pyramid: Pyramid, box: Box3, look: SceneLook, name: str) -> Scan:
    """Of a box of the full size. Pieces of the file that cannot be read are 0, and a remark says so."""
    part = pyramid.full.read(box)
    origin = Origin(name, _grid(pyramid, box), _remarks(part))
    if pyramid.facts is not None:
        return channelled(list(part.values), facts_of(look), origin)
    if pyramid.colour:
        colours = np.ascontiguousarray(np.moveaxis(part.values, 0, 3))
        scan = deep_colour(colours, None, origin)
        return scan if colours.dtype != np.uint8 else replace(scan, named=())
    grey = np.ascontiguousarray(to_pixel_type(part.values[0]))
    spacing = origin.grid.spacing_mm
    whole = Scan(
        name, grey, spacing, None, origin.grid.json(), window=look.windows[0], remarks=origin.remarks
    )
    return replace(whole, value_range=value_range(grey))


def _remarks(part: ScenePart) -> tuple[str, ...]:
    count = len(part.lost)
    if not count:
        return ()
    what = "1 piece of the file" if count == 1 else f"{count} pieces of the file"
    return (f"its scene is damaged here: {what} cannot be read and {'is' if count == 1 else 'are'} black",)


def _grid(pyramid: Pyramid, box: Box3) -> Grid:
    """Where the region lies in the scene, where the file says how large voxels are."""
    z, y, x = (s.stop - s.start for s in box)
    affine = None
    if pyramid.spacing_mm is not None:
        steps = pyramid.spacing_mm[::-1]
        affine = np.diag([*steps, 1.0])
        affine[:3, 3] = [step * s.start for step, s in zip(steps, box[::-1], strict=True)]
    return grid_of("made", (x, y, z), affine, oriented=False)
