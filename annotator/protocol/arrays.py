"""Pixels and masks as they travel: wire types, candidates packed with their boxes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.protocol.frames import pack_bits
from annotator.protocol.outgoing import Message
from models.prompt import MaskPrediction

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


def bounding_box(mask: NDArray[np.bool_]) -> list[int]:
    """[r0, c0, r1, c1] half-open; zeros for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1]
