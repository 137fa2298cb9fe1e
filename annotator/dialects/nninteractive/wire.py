"""Arrays as nnInteractive's clients send them: a head, then blosc2 chunks. They are measured before they are unpacked.

Layout: NNIA, version, codec, number of axes, length of the type's name, the name, the sides as int64, the number of
chunks, and for each chunk its length unpacked and packed (uint64) before its bytes. Little-endian all of it.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from storage.formats.base import check_size

LEASE, META = "X-Lease-Token", "X-Meta"  # headers: whose session it is, and JSON beside an array
MAGIC, VERSION, LZ4 = b"NNIA", 1, 2
CODECS = (1, LZ4)  # zstd, and one that is quick
TYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64".split()
CHUNK, WORD = 1 << 30, 8
LEAST_CHUNK = 32  # bytes: blosc2's own head
BROKEN = "the array that came is cut short or damaged; send it again"


@dataclass(frozen=True)
class Head:
    """What an array says of itself."""

    dtype: np.dtype
    shape: tuple[int, ...]
    chunks: int
    offset: int  # of the first chunk


def unpack(path: Path, shape: Sequence[int] | None = None) -> NDArray:
    """`shape`: what it has to be. Raises ValueError; FileRefused for what is too large."""
    if not path.stat().st_size:
        raise ValueError(BROKEN)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packed:
        return unpacked(packed, shape)


def unpacked(packed: mmap.mmap | bytes, shape: Sequence[int] | None = None) -> NDArray:
    """As `unpack`, of what is in memory."""
    head = _head(packed)
    if shape is not None and head.shape != tuple(shape):
        raise ValueError(f"the array has the shape {head.shape} and has to have {tuple(shape)}")
    check_size(head.shape, head.dtype.itemsize)
    out = np.empty(head.shape, head.dtype)
    into, at = out.reshape(-1).view(np.uint8).data, 0
    for length, chunk in _chunks(packed, head, len(into)):
        try:
            imagecodecs.blosc2_decode(chunk, out=into[at : at + length])
        except imagecodecs.Blosc2Error:
            raise ValueError(BROKEN) from None
        at += length
    return out


def _head(view: mmap.mmap | bytes) -> Head:
    try:
        magic, version, codec, axes, length = struct.unpack_from("<4sBBBB", view)
        name = view[8 : 8 + length].decode("ascii")
        shape = struct.unpack_from(f"<{axes}q", view, 8 + length)
        (chunks,) = struct.unpack_from("<I", view, 8 + length + 8 * axes)
    except (struct.error, UnicodeDecodeError):
        raise ValueError(BROKEN) from None
    if magic != MAGIC or version != VERSION or codec not in CODECS:
        raise ValueError("what came is no packed array of nnInteractive's protocol, version 1")
    if name not in TYPES or not 1 <= axes <= 4 or min(shape) < 1:
        raise ValueError("the array has a type or a shape that no image has")
    return Head(np.dtype(name), shape, chunks, 12 + length + 8 * axes)


def _chunks(view: mmap.mmap | bytes, head: Head, total: int) -> Iterator[tuple[int, bytes]]:
    """Length unpacked, and the packed bytes, whose own head says the same length."""
    at, done = head.offset, 0
    for _ in range(head.chunks):
        if at + 16 > len(view):
            raise ValueError(BROKEN)
        length, packed = struct.unpack_from("<QQ", view, at)
        at += 16
        if packed < LEAST_CHUNK or at + packed > len(view) or done + length > total:
            raise ValueError(BROKEN)
        inside, _, own = struct.unpack_from("<3i", view, at + 4)
        if inside != length or not LEAST_CHUNK <= own <= packed:
            raise ValueError(BROKEN)
        yield length, view[at : at + packed]
        at, done = at + packed, done + length
    if done != total:
        raise ValueError(BROKEN)


def pack(array: NDArray) -> bytes:
    """In the quick codec: an answer is small, and somebody waits."""
    stored = np.ascontiguousarray(array)
    name, raw = stored.dtype.name.encode(), stored.tobytes()
    pieces = list(_pieces(raw))
    parts: list[bytes] = [
        struct.pack("<4sBBBB", MAGIC, VERSION, LZ4, stored.ndim, len(name)),
        name,
        struct.pack(f"<{stored.ndim}q", *stored.shape),
        struct.pack("<I", len(pieces)),
    ]
    for piece in pieces:
        packed = bytes(imagecodecs.blosc2_encode(piece, level=5, compressor="lz4", shuffle="noshuffle"))
        parts += [struct.pack("<QQ", len(piece), len(packed)), packed]
    return b"".join(parts)


def _pieces(raw: bytes) -> Iterator[bytes]:
    """Whole words, and the rest by itself: zeros that are no whole words blosc2 writes so that it cannot read them."""
    words = len(raw) // WORD * WORD
    yield from (raw[start : min(start + CHUNK, words)] for start in range(0, words, CHUNK))
    if len(raw) > words:
        yield raw[words:]
