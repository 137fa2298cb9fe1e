"""A large image as its file has it: levels of one picture, of which boxes are read, and what they mean."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storage.arrays import Box3
from storage.formats.base import FileRefused
from storage.formats.channels.channelled import ChannelFacts
from storage.scan import PIXEL_TYPES

AXES = "CZYXS"  # channels, slices, rows, columns, and the colours of one pixel
TAKEN = (*PIXEL_TYPES, "bool", "int8", "float16", "float64")  # what becomes the same type in every region
LARGEST_PIECE = 512_000_000  # bytes: more than one such piece in memory at once is too much


class ChunkedArray(Protocol):
    """A zarr array, or whatever is read like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True)
class ScenePart:
    """Values of a box, and the places in it whose pieces of the file could not be read: they are 0."""

    values: NDArray[Any]  # (C, Z, Y, X)
    lost: tuple[Box3, ...] = ()  # within the box


@dataclass(frozen=True, eq=False)
class Level:
    """One size of the picture. Raises FileRefused where it cannot be read by boxes."""

    array: ChunkedArray
    axes: str  # a letter of AXES for each axis, in order
    chunks: tuple[int, ...]  # what is read and decoded at once, along these axes

    def __post_init__(self) -> None:
        letters = set(self.axes)
        if not {"Y", "X"} <= letters <= set(AXES) or len(letters) != len(self.axes) or letters >= {"C", "S"}:
            raise FileRefused(f"its axes are {self.axes}; a scene has slices, rows, columns and channels")
        if self.array.dtype.name not in TAKEN:
            raise FileRefused(
                f"its values are {self.array.dtype.name}; save it as one of {', '.join(PIXEL_TYPES)}"
            )
        piece = math.prod(self.chunks) * self.array.dtype.itemsize
        if piece > LARGEST_PIECE:
            raise FileRefused(
                f"it is stored in pieces of {piece / 1e6:,.0f} MB; save it in tiles, such as 512 x 512"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self._along("Z"), self._along("Y"), self._along("X")

    @property
    def channels(self) -> int:
        return self._along("C") * self._along("S")

    @property
    def tile(self) -> tuple[int, int, int]:
        """Slices, rows and columns of what is decoded at once."""
        sizes = dict(zip(self.axes, self.chunks, strict=True))
        return sizes.get("Z", 1), sizes["Y"], sizes["X"]

    def read(self, box: Box3, step: int = 1) -> ScenePart:
        """A box of the level with all channels, every `step`-th row and column. Pieces that cannot be decoded are lost,
        and nothing else is."""
        try:
            return ScenePart(self._values(box, step))
        except MemoryError:
            raise  # it says nothing of the file
        except Exception:  # other people's decoders raise anything on damaged pieces
            return self._piece_by_piece(box, step)

    def _piece_by_piece(self, box: Box3, step: int) -> ScenePart:
        z, y, x = (len(range(s.start, s.stop, step if axis else 1)) for axis, s in enumerate(box))
        whole = np.zeros((self.channels, z, y, x), self.array.dtype)
        lost = []
        for piece in pieces(box, self.tile):
            inside = tuple(
                slice(p.start - b.start, p.stop - b.start) for p, b in zip(piece, box, strict=True)
            )
            try:
                values = self._values(piece, 1)
            except MemoryError:
                raise
            except Exception:
                lost.append(inside)
                continue
            _lay(whole, values, inside, step)
        return ScenePart(whole, tuple((z, y, x) for z, y, x in lost))

    def _values(self, box: Box3, step: int) -> NDArray[Any]:
        """(C, Z, Y, X)."""
        rows, columns = (slice(s.start, s.stop, step) for s in box[1:])
        asked = {"Z": box[0], "Y": rows, "X": columns}
        found = np.asarray(self.array[tuple(asked.get(axis, slice(None)) for axis in self.axes)])
        axes = self.axes.replace("S", "C")
        for axis in "CZ":
            if axis not in axes:
                found, axes = found[None], axis + axes
        return np.transpose(found, [axes.index(axis) for axis in "CZYX"])

    def _along(self, axis: str) -> int:
        return int(self.array.shape[self.axes.index(axis)]) if axis in self.axes else 1


@dataclass(frozen=True, eq=False)
class Pyramid:
    """All sizes, the full one first, and what the file says of them."""

    levels: tuple[Level, ...]
    spacing_mm: tuple[float, float, float] | None  # (z, y, x) of the full size
    colour: bool  # three channels are red, green and blue
    facts: ChannelFacts | None = None  # of other channels than colours; None: one grey value
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = self.full.channels
        if self.colour != (count == 3 and self.facts is None) or (self.facts is None) != (
            count == 1 or self.colour
        ):
            raise FileRefused(f"nothing says what its {count} channels are; save it as OME-TIFF or OME-Zarr")
        if any(level.channels != count for level in self.levels):
            raise FileRefused("its sizes differ in their channels; write its pyramid anew")

    @property
    def full(self) -> Level:
        return self.levels[0]


def pieces(box: Box3, tile: tuple[int, int, int]) -> Iterator[Box3]:
    """The parts of a box that lie in one piece of the file each."""
    edges = [
        [(max(at, s.start), min(at + side, s.stop)) for at in range(s.start // side * side, s.stop, side)]
        for s, side in zip(box, tile, strict=True)
    ]
    for (z0, z1), (y0, y1), (x0, x1) in itertools.product(*edges):
        yield slice(z0, z1), slice(y0, y1), slice(x0, x1)


def _lay(whole: NDArray[Any], values: NDArray[Any], inside: tuple[slice, ...], step: int) -> None:
    """One piece at its place, every `step`-th row and column counted from the corner of the whole."""
    z, y, x = inside
    skip_y, skip_x = -y.start % step, -x.start % step
    part = values[..., skip_y::step, skip_x::step]
    top, left = (y.start + skip_y) // step, (x.start + skip_x) // step
    whole[:, z, top : top + part.shape[2], left : left + part.shape[3]] = part
