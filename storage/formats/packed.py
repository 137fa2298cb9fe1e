"""Voxels packed by gzip. What is read is checked by its own sums: libraries go on with what they could not unpack."""

import zlib
from collections.abc import Callable
from pathlib import Path

from storage.formats.base import FileRefused

DAMAGED = "its packed pixels are damaged; copy the file again"
BLOCK = 1 << 20
ZLIB, GZIP = zlib.MAX_WBITS, zlib.MAX_WBITS | 16
GZIP_MARK = b"\x1f\x8b"
QUICK = 1  # of gzip's levels


def gzipped_labels(voxels: bytes, level: int) -> bytes:
    """A label map as a gzip file. Its voxels come in runs: looking for nothing else takes a third of the time of gzip's
    quickest level, and is smaller too."""
    strategy = zlib.Z_RLE if level == QUICK else zlib.Z_DEFAULT_STRATEGY
    press = zlib.compressobj(level, zlib.DEFLATED, GZIP, zlib.DEF_MEM_LEVEL, strategy)
    return press.compress(voxels) + press.flush()


def check_gzip(path: Path) -> None:
    """Raises FileRefused where a byte of a gzip file is another one than was written. What stands behind is passed."""
    with open(path, "rb") as file:
        rest = _unpacked(file.read(BLOCK), file.read, GZIP)
        while rest.startswith(GZIP_MARK):  # packed in several parts
            rest = _unpacked(rest, file.read, GZIP)


def check_zlib(path: Path, start: int) -> None:
    """The same of a stream that begins inside a file."""
    with open(path, "rb") as file:
        file.seek(start)
        _unpacked(file.read(BLOCK), file.read, ZLIB)


def _unpacked(block: bytes, more: Callable[[int], bytes], kind: int) -> bytes:
    """What comes behind one stream."""
    unpacking = zlib.decompressobj(kind)
    try:
        while not unpacking.eof:
            if not block:
                raise FileRefused(DAMAGED)
            unpacking.decompress(block, BLOCK)
            block = unpacking.unconsumed_tail or (b"" if unpacking.eof else more(BLOCK))
    except zlib.error:
        raise FileRefused(DAMAGED) from None
    return unpacking.unused_data or more(BLOCK)
