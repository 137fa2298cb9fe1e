"""Images of several files that are the channels of one: on one grid, or refused."""

from collections.abc import Sequence

import numpy as np

from storage.formats.base import FileRefused
from storage.formats.channels.channelled import ChannelFacts, Origin, channelled
from storage.formats.grid import Grid, grid_of_image, lay_on
from storage.scan import Scan


class OtherGrid(FileRefused):
    """A channel does not lie where the first does."""


def joined(scans: Sequence[Scan], names: Sequence[str], title: str, *, stains: bool) -> Scan:
    """`title`: the name of the image. `stains`: as of ChannelFacts. Raises FileRefused."""
    for scan, name in zip(scans, names, strict=True):
        if scan.channels > 1:
            raise FileRefused(f"its channel {name} is in colour; a channel is a grey image")
    grids = [grid_of_image(scan.geometry, scan.shape, scan.spacing_mm) for scan in scans]
    same_grid(grids, names)
    values = [lay_on(scan.pixels, grid, grids[0]) for scan, grid in zip(scans, grids, strict=True)]
    remarks = dict.fromkeys(remark for scan in scans for remark in scan.remarks)
    return channelled(values, ChannelFacts(tuple(names), stains), Origin(title, grids[0], tuple(remarks)))


def same_grid(grids: Sequence[Grid], names: Sequence[str]) -> None:
    """Raises FileRefused where a channel lies elsewhere than the first."""
    for grid, name in zip(grids[1:], names[1:], strict=True):
        try:
            lay_on(np.broadcast_to(np.uint8(0), grid.display_shape), grid, grids[0])
        except FileRefused:
            raise OtherGrid(
                f"its channel {name} lies on another grid than {names[0]}; resample it onto that one"
            ) from None
