"""Label Studio's own run lengths of a brush mask: bits over the four channels of every pixel, not those of COCO.

A head of 53 bits (how many values; bits of a value less 1; four sizes of counts less 1), then runs: one bit (1: a value
repeated, 0: values in a row), two bits that choose the size of the count, the count less 1, the value or values.
https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

import numpy as np
from numpy.typing import NDArray

CHANNELS, ALPHA = 4, 3
WORD, SIZES = 8, (3, 4, 8, 16)  # as Label Studio's own converter writes them
HEAD_BITS = 32 + 5 + 4 * 4
ODD = "a brush mask of Label Studio is cut short or damaged; save the annotation again"


def encode(
    mask: NDArray[np.bool_], at: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None
) -> list[int]:
    """(rows, columns) as the bytes of the annotation. `at`: the row and column of its corner in a picture of `shape`,
    which is never made: pictures of thousands of objects may be large."""
    rows, columns = shape or mask.shape
    size = rows * columns * CHANNELS
    changes = CHANNELS * _changes(mask, at, columns)
    first = 255 if changes.size and changes[0] == 0 else 0
    starts = changes if first else np.concatenate(([0], changes))
    starts = starts[starts < size]
    lengths = np.diff(np.append(starts, size))
    longest = 1 << SIZES[-1]
    pieces = -(-lengths // longest)
    counts = np.full(int(pieces.sum()), longest, np.int64)
    counts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    values = np.repeat((np.arange(starts.size) % 2 * 255) ^ first, pieces)
    which = np.searchsorted([1 << size for size in SIZES], counts)
    sizes = np.array(SIZES)[which]
    codes = ((((1 << 2 | which) << sizes) | (counts - 1)) << WORD) | values
    head = _bits(np.array([size, WORD - 1, *(s - 1 for s in SIZES)]), np.array([32, 5, 4, 4, 4, 4]))
    bits = np.concatenate((head, _bits(codes, 3 + sizes + WORD)))
    spare = np.zeros(
        8 - len(bits) % 8, np.uint8
    )  # a whole byte where none is needed, as the converter has it
    return np.packbits(np.concatenate((bits, spare))).tolist()


def _changes(mask: NDArray[np.bool_], at: tuple[int, int], columns: int) -> NDArray[np.int64]:
    """Where runs begin and end, in pixels of the whole picture, row by row."""
    edges = np.pad(mask, ((0, 0), (1, 1)))
    steps = edges[:, 1:] != edges[:, :-1]
    row, column = np.divmod(np.flatnonzero(steps), steps.shape[1])
    places = (row + at[0]) * columns + column + at[1]
    # a run that ends at the right border goes on where the next row begins with one
    same = np.flatnonzero(places[1:] == places[:-1])
    return np.delete(places, np.concatenate((same, same + 1)))


def _bits(codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each code in so many bits, the highest first, one after another."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    places = ends - 1 - np.arange(int(lengths.sum()))
    return ((np.repeat(codes, lengths) >> places) & 1).astype(np.uint8)


def decode(rle: list[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns): where the mask is not transparent. Nothing is made before its size was compared. Raises
    ValueError."""
    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise ValueError(ODD) from error
    wanted = shape[0] * shape[1] * CHANNELS
    reader = _Reader(data)
    if len(data) * 8 < HEAD_BITS or reader.take(32) != wanted:
        raise ValueError("a brush mask of Label Studio has another size than its image; is it of this image?")
    word = reader.take(5) + 1
    sizes = [reader.take(4) + 1 for _ in range(4)]
    out, at = np.empty(wanted, np.uint8), 0
    while at < wanted:
        repeated, count = reader.take(1), 0
        count = reader.take(sizes[reader.take(2)]) + 1
        if at + count > wanted:
            raise ValueError(ODD)
        if repeated:
            out[at : at + count] = min(reader.take(word), 255)
        else:
            out[at : at + count] = [min(reader.take(word), 255) for _ in range(count)]
        at += count
    return out.reshape(*shape, CHANNELS)[..., ALPHA] > 0


class _Reader:
    """Bits from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, bits: int) -> int:
        """Raises ValueError behind the end."""
        first, last = self._at >> 3, (self._at + bits + 7) >> 3
        if last > len(self._data):
            raise ValueError(ODD)
        value = int.from_bytes(self._data[first:last], "big") >> ((last << 3) - self._at - bits)
        self._at += bits
        return value & ((1 << bits) - 1)
