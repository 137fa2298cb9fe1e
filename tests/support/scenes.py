"""Small and sparse large scenes, written by zarr and tifffile themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

MM = {"type": "space", "unit": "micrometer"}


def picture(rows: int, columns: int) -> NDArray[np.uint8]:
    """(Y, X, 3) without two equal corners."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([y % 251, x % 241, (y + 3 * x) % 239], axis=-1).astype(np.uint8)


def write_zarr(
    path: Path,
    values: NDArray[Any],
    axes: str,
    *,
    version: Literal[2, 3] = 2,
    chunk: int = 128,
    levels: int = 1,
    omero: Any = None,
) -> Path:
    """Levels take every second row and column; `omero`: its channels."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    sets = []
    for n in range(levels):
        part = values[..., :: 2**n, :: 2**n]
        chunks = tuple(
            min(side, chunk) if axis in "yx" else 1 for axis, side in zip(axes, part.shape, strict=True)
        )
        array = group.create_array(str(n), shape=part.shape, chunks=chunks, dtype=part.dtype)
        array[...] = part
        scale = [0.5 * 2**n if axis in "yx" else 1.0 for axis in axes]
        sets.append({"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    named = [{"name": axis, **(MM if axis in "zyx" else {"type": "channel"})} for axis in axes]
    said: dict[str, Any] = {"multiscales": [{"axes": named, "datasets": sets, "version": "0.4"}]}
    if omero:
        said["omero"] = {"channels": omero}
    group.attrs.update(said if version == 2 else {"ome": {"version": "0.5", **said}})
    return path


def write_sparse_tiff(path: Path, side: int, corner: NDArray[np.uint8]) -> Path:
    """A BigTIFF of `side` x `side` x 3 in tiles of 512, of which only the first holds something: `corner`."""
    tile = corner.shape[0]

    def tiles() -> Iterator[NDArray[np.uint8] | None]:
        yield corner
        for _ in range((-(-side // tile)) ** 2 - 1):
            yield None

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            tiles(),
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(tile, tile),
            photometric="rgb",
            compression="zlib",
        )
    return path
