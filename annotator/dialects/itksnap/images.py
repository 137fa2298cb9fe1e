"""Voxels as ITK-SNAP sends and takes them: gzip, as many as the form beside them says, and not one more is unpacked."""

import base64
import json
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from storage.formats import FileRefused
from storage.formats.base import check_size
from storage.formats.packed import QUICK, gzipped_labels

STEP = 1 << 20
GZIP = 31  # of zlib's window bits


def read_volume(file: IO[bytes], metadata: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
    """(Z, Y, X), of which the form says x, y, z; `shape`: what it has to be. Raises ValueError."""
    sides = _sides(metadata)
    if shape is not None and sides != shape:
        raise ValueError(f"the drawing has {sides} voxels (z, y, x) and the image {shape}")
    try:
        check_size(sides)
    except FileRefused as refusal:
        raise ValueError(f"the image is refused: {refusal}") from None
    out = np.empty(sides, np.float32)
    _unpack(file, out.reshape(-1).view(np.uint8))
    return out


def packed(mask: NDArray[np.bool_]) -> str:
    """Base64 of gzip of a byte for each voxel."""
    return base64.b64encode(gzipped_labels(mask.tobytes(), QUICK)).decode("ascii")


def _sides(metadata: str) -> tuple[int, int, int]:
    try:
        told: Any = json.loads(metadata)
        x, y, z = (int(v) for v in told["dimensions"])
        components = int(told.get("components_per_pixel", 1))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the field metadata does not say the three dimensions of the image") from None
    if components != 1:
        raise ValueError(f"the image has {components} components a voxel; choose one, or a grey image")
    return z, y, x


def _unpack(file: IO[bytes], out: NDArray[np.uint8]) -> None:
    """All of (N,), and no byte more."""
    unpacking, at = zlib.decompressobj(GZIP), 0
    try:
        while block := unpacking.unconsumed_tail or file.read(STEP):
            part = unpacking.decompress(block, STEP)
            if at + len(part) > len(out):
                raise ValueError("more voxels came than the field metadata says")
            out[at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)
            if unpacking.eof:
                break
    except zlib.error:
        raise ValueError("the voxels are no gzip, or damaged; send them again") from None
    if at != len(out):
        raise ValueError("fewer voxels came than the field metadata says")
