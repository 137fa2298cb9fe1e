"""The binary forms between page and server: frames, runs of classes, packed masks. See docs/protocol.md."""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_FRAME = (
    14 << 20
)  # a mask of the largest picture, 100 megapixels at a bit each, and a message; also in frame.js
MAX_JSON = 1 << 20
_LENGTH = struct.Struct("<I")
_BITS: Any = "little"


class BadFrame(ValueError):
    """A frame that breaks the protocol's form."""


def pack(message: dict[str, Any], payload: bytes | memoryview = b"") -> bytes:
    """One frame: u32 length, JSON padded with spaces so that the payload starts on a multiple of 4."""
    text = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(len(text) + _LENGTH.size) % 4)
    return b"".join((_LENGTH.pack(len(text)), text, payload))


def split(frame: bytes) -> tuple[bytes, bytes]:
    """The JSON text and the payload of a frame; raises BadFrame where its form is wrong."""
    if not _LENGTH.size <= len(frame) <= MAX_FRAME:
        raise BadFrame(f"a frame has 4 bytes to {MAX_FRAME >> 20} MB, this one has {len(frame)} bytes")
    (length,) = _LENGTH.unpack_from(frame)
    if length > min(MAX_JSON, len(frame) - _LENGTH.size):
        raise BadFrame(f"the frame announces {length} bytes of JSON and cannot hold them")
    end = _LENGTH.size + length
    return bytes(frame[_LENGTH.size : end]), bytes(frame[end:])


def unpack(frame: bytes) -> tuple[dict[str, Any], bytes]:
    """The message and the payload of a frame; raises BadFrame."""
    text, payload = split(frame)
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadFrame("the frame's JSON cannot be read") from error
    if not isinstance(message, dict):
        raise BadFrame("the frame's JSON is not an object")
    return message, payload


def _refuse_constant(name: str) -> float:
    raise BadFrame(f"{name} is not a number that JSON knows")


def encode_runs(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Row-major (value, count) pairs of u16; a run longer than 65535 is cut in several."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.size == 0:
        return b""
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    counts = np.diff(np.append(starts, flat.size))
    pieces = -(-counts // 0xFFFF)
    pairs = np.full((int(pieces.sum()), 2), 0xFFFF, "<u2")
    pairs[:, 0] = np.repeat(flat[starts], pieces)
    pairs[np.cumsum(pieces) - 1, 1] = counts - (pieces - 1) * 0xFFFF
    return pairs.tobytes()


def decode_runs(data: bytes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w) classes from their runs; the total is checked before anything is allocated. Raises BadFrame."""
    if len(data) % 4:
        raise BadFrame("the runs of a label are pairs of 16-bit numbers; the last pair is cut short")
    pairs = np.frombuffer(data, "<u2").reshape(-1, 2)
    total, wanted = int(pairs[:, 1].sum(dtype=np.int64)), shape[0] * shape[1]
    if total != wanted:
        raise BadFrame(f"the runs cover {total} pixels, the box has {wanted}")
    if len(pairs) and int(pairs[:, 0].max()) > 255:
        raise BadFrame("a class value in the runs is over 255")
    return np.repeat(pairs[:, 0].astype(np.uint8), pairs[:, 1]).reshape(shape)


def pack_bits(mask: NDArray[np.bool_]) -> bytes:
    """(h, w) mask, each row packed on its own, little bit order."""
    return np.packbits(mask, axis=1, bitorder=_BITS).tobytes()


def packed_size(shape: tuple[int, int]) -> int:
    """Bytes that `pack_bits` makes of a mask of this shape."""
    return shape[0] * (-(-shape[1] // 8))


def unpack_bits(data: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) mask; raises BadFrame where the bytes do not fit the shape."""
    if len(data) != packed_size(shape):
        raise BadFrame(f"a mask of {shape[0]} x {shape[1]} is {packed_size(shape)} bytes, {len(data)} came")
    rows = np.frombuffer(data, np.uint8).reshape(shape[0], -1)
    return np.unpackbits(rows, axis=1, count=shape[1], bitorder=_BITS).astype(np.bool_)
