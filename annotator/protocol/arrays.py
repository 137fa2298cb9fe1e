"""Pixels and masks as they travel: wire types, candidates packed with their boxes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.protocol.frames import MAX_FRAME, MAX_JSON, BadFrame, pack_bits
from annotator.protocol.outgoing import Message
from models.prompt import MaskPrediction
from storage.arrays import Box3

MAX_VOLUME_BYTES = (MAX_FRAME - 2 * MAX_JSON) // 2  # the packed mask of its open slice travels beside it
WIRE_TYPES = {"int32": np.float32, "float64": np.float32}  # browsers slice these; the rest goes as it is


def wire_dtype(dtype: str) -> str:
    """The type in which pixels of this type travel."""
    return np.dtype(WIRE_TYPES.get(dtype, dtype)).name


def for_wire(pixels: NDArray[Any]) -> NDArray[Any]:
    """Little-endian, C-contiguous, one of the wire types; values unchanged."""
    dtype = np.dtype(wire_dtype(pixels.dtype.name)).newbyteorder("<")
    return np.ascontiguousarray(pixels, dtype=dtype)


def pack_labels(classes: NDArray[np.uint8], numbers: NDArray[np.uint16] | None) -> bytes:
    """The payload of a `region` message: classes, then (on an even byte) object numbers where there are some."""
    payload = classes.tobytes()
    if numbers is not None:
        payload += b"\0" * (len(payload) % 2) + numbers.astype("<u2").tobytes()
    return payload


def pack_candidates(prediction: MaskPrediction) -> tuple[list[Message], bytes]:
    """Each mask as its bounding box and packed rows (little bit order), best first; see docs/protocol.md."""
    entries: list[Message] = []
    payload = bytearray()
    for mask, score in zip(prediction.masks, prediction.scores, strict=True):
        box = bounding_box(mask)
        bits = pack_bits(mask[box[0] : box[2], box[1] : box[3]])
        entries.append(
            {"box": box, "score": round(float(score), 4), "offset": len(payload), "bytes": len(bits)}
        )
        payload += bits
    return entries, bytes(payload)


def pack_volume(mask: NDArray[np.bool_], window: Box3, offset: int) -> tuple[Message, bytes]:
    """An object of a (Z, Y, X) mask: its box, and the bits of the box one after another (little bit order). Raises
    ValueError where that is more than a frame holds."""
    part = mask[window]
    if part.size // 8 > MAX_VOLUME_BYTES:
        raise ValueError("the object is too large to be shown as one; draw a box around a part of it")
    bits = np.packbits(part, bitorder="little").tobytes()
    box = [end for one in window for end in (one.start, one.stop)]
    return {"box": box, "offset": offset, "bytes": len(bits), "voxels": int(part.sum())}, bits


def unpack_volume(bits: bytes, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The other way round. Raises BadFrame where the bytes do not fit the shape."""
    voxels = shape[0] * shape[1] * shape[2]
    if len(bits) != -(-voxels // 8):
        raise BadFrame(f"an object of {voxels} voxels is {-(-voxels // 8)} bytes, {len(bits)} came")
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=voxels, bitorder="little")
    return flat.astype(np.bool_).reshape(shape)


def bounding_box(mask: NDArray[np.bool_]) -> list[int]:
    """[r0, c0, r1, c1] half-open; zeros for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1]
