"""Pixels for eyes and for prompt models: windowing, wire types, packed masks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.protocol.frames import pack_bits
from models.prompt import MaskPrediction

WIRE_TYPES = {"int32": np.float32, "float64": np.float32}  # browsers slice these; the rest goes as it is


def wire_dtype(dtype: str) -> str:
    """The type in which pixels of this type travel."""
    return np.dtype(WIRE_TYPES.get(dtype, dtype)).name


def for_wire(pixels: NDArray) -> NDArray:
    """Little-endian, C-contiguous, one of the wire types; values unchanged."""
    dtype = np.dtype(wire_dtype(pixels.dtype.name)).newbyteorder("<")
    return np.ascontiguousarray(pixels, dtype=dtype)


def to_rgb(pixels: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    """One slice (H, W) or (H, W, 3) -> (H, W, 3) uint8. Colour stays as it is; grey is windowed."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    low, high = window
    scale = np.float32(255.0 / max(high - low, 1e-12))
    with np.errstate(over="ignore"):  # what is beyond all numbers is beyond the window too
        grey = (np.nan_to_num(pixels.astype(np.float32), nan=low) - np.float32(low)) * scale
    grey8 = np.clip(grey, 0, 255).astype(np.uint8)
    return np.repeat(grey8[..., None], 3, axis=-1)


def pack_candidates(prediction: MaskPrediction) -> tuple[list[dict[str, Any]], bytes]:
    """Each mask as its bounding box and packed rows (little bit order), best first; see docs/protocol.md."""
    entries: list[dict[str, Any]] = []
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
