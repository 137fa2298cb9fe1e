"""Arrays on disk and what they mean. NumPy only: workers import this and never meet the database.

Axes are (Z, Y, X[, C]); a 2D image has Z = 1. A slice of axis 0 has rows y and columns x, of axis 1 rows z
and columns x, of axis 2 rows z and columns y. Every array is stored in display order: rows go down the screen
and columns to the right (known anatomy runs x to the patient's left, y to the back, z to the feet).
"""

import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0
MAX_CLASS = 253
ERASED = 254  # in a patch only: what was said here before is taken back, the voxel is unknown again
UNLABELLED = 255  # nothing is said here; losses and metrics ignore it

Box3 = tuple[slice, slice, slice]  # a part of a volume: z, y, x

SYNCS = 8  # files that wait for the disk side by side: it writes them together

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
# NumPy reads headers with `ast`, and in Python 3.11 two threads in it at once raise SystemError (python/cpython#106905)
_header = threading.Lock()


class TornFile(OSError):
    """A file of the project is missing, cut short or damaged."""


@dataclass(frozen=True, order=True)
class SliceRef:
    """The unit of annotation. A 2D image is a volume of one slice: axis 0, index 0."""

    image_id: int
    axis: int  # 0 z, 1 y, 2 x
    index: int

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2):
            raise ValueError(f"an axis is 0 (z), 1 (y) or 2 (x), got {self.axis}")
        if self.index < 0:
            raise ValueError(f"a slice index counts from 0, got {self.index}")


@dataclass(frozen=True)
class Box:
    """Half-open pixel rectangle on a slice: rows r0 <= r < r1, columns c0 <= c < c1."""

    r0: int
    c0: int
    r1: int
    c1: int

    def __post_init__(self) -> None:
        if not (0 <= self.r0 < self.r1 and 0 <= self.c0 < self.c1):
            raise ValueError(
                f"a box needs 0 <= r0 < r1 and 0 <= c0 < c1, got {(self.r0, self.c0, self.r1, self.c1)}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.r1 - self.r0, self.c1 - self.c0


@dataclass(frozen=True)
class Patch:
    """What one label event says about a rectangle of one slice."""

    box: Box
    classes: NDArray[
        np.uint8
    ]  # (h, w): 0 background, 1..253 a class, 254 ERASED, 255 UNLABELLED (says nothing)
    instances: NDArray[np.uint16] | None = None  # (h, w) object number within its class, 0 = none

    def __post_init__(self) -> None:
        if self.classes.dtype != np.uint8 or self.classes.shape != self.box.shape:
            raise ValueError(
                f"a patch of box {self.box.shape} needs uint8 classes of that shape, "
                f"got {self.classes.dtype} {self.classes.shape}"
            )
        if self.instances is not None and (
            self.instances.dtype != np.uint16 or self.instances.shape != self.box.shape
        ):
            raise ValueError(f"instances are uint16 of shape {self.box.shape}, got {self.instances.dtype}")


def box_around(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box of a slice that holds every pixel of a (rows, columns) mask; None without any."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def plane(volume: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """The slice as a view of the volume: (Z, Y, X[, C]) -> (rows, columns[, C])."""
    return volume[(slice(None),) * axis + (index,)]


def slice_shape(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    """Rows and columns of a slice of a (Z, Y, X[, C]) volume."""
    rows, columns = (n for i, n in enumerate(shape[:3]) if i != axis)
    return rows, columns


def write_bytes(path: Path, data: bytes) -> None:
    """Durable and all-or-nothing: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a rename in this directory survive a power cut. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """As `write_bytes`, streaming: the array is not copied in memory."""
    write_npys([(path, array)])


def write_npys(files: Sequence[tuple[Path, NDArray[Any]]]) -> None:
    """Several of one folder, durable when it returns. The disk is waited for once, not for each in turn."""
    write_files([(path, partial(_write_array, array=array)) for path, array in files])


def write_files(files: Sequence[tuple[Path, Callable[[IO[bytes]], object]]]) -> None:
    """As `write_bytes`, of several files of one folder: all of them, or an error and no half one."""
    temporaries = [path.with_name(path.name + ".tmp") for path, _ in files]
    try:
        if len(files) == 1:
            _write_durable(temporaries[0], files[0][1])
        else:
            with ThreadPoolExecutor(SYNCS) as pool:
                list(pool.map(_write_durable, temporaries, [write for _, write in files]))
        for temporary, (path, _) in zip(temporaries, files, strict=True):
            os.replace(temporary, path)
    except OSError:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path, _ in files}:
        sync_directory(folder)


def _write_durable(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _write_array(file: IO[bytes], array: NDArray[Any]) -> None:
    np.lib.format.write_array(file, array, allow_pickle=False)


def open_npy(path: Path) -> NDArray[Any]:
    """The array memory-mapped and read-only; raises TornFile where the file is missing or cut short."""
    try:
        with _header:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
    except (OSError, ValueError, EOFError) as error:
        raise TornFile(
            f"the pixels in {path.name} cannot be read ({error}); import the image again"
        ) from error


def read_npz(path: Path, what: str = "the file") -> dict[str, NDArray[Any]]:
    """Every array of a .npz; each has a checksum. Raises TornFile where one is missing, cut short or damaged."""
    try:
        with _header, np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _DAMAGED as error:
        raise TornFile(f"{what} {path.name} cannot be read ({error})") from error


def write_patch(path: Path, patch: Patch) -> None:
    """One .npz with a checksum per array; any NumPy reads it."""
    write_patches([(path, patch)])


def write_patches(files: Sequence[tuple[Path, Patch]]) -> None:
    """As `write_patch`, of several in one folder; the disk is waited for once."""
    write_files([(path, partial(_write_bytes, data=_packed(patch))) for path, patch in files])


def _packed(patch: Patch) -> bytes:
    arrays: dict[str, Any] = {"classes": patch.classes}
    if patch.instances is not None:
        arrays["instances"] = patch.instances
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write_bytes(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def read_patch(path: Path, box: Box) -> Patch:
    """Raises TornFile where the file is missing, damaged or not a patch of this box."""
    arrays = read_npz(path, "the label file")
    try:
        return Patch(box, arrays["classes"], arrays.get("instances"))
    except (ValueError, KeyError) as error:
        raise TornFile(f"the label file {path.name} cannot be read ({error})") from error
