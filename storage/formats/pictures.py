"""PNG, JPEG and BMP pictures, through Pillow; PNG of 16 bits through libpng, because Pillow halves its colours."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.arrays import write_bytes
from storage.formats.base import FileRefused, check_size, label_values, shown_name, to_pixel_type
from storage.formats.channels.channelled import Origin, deep_colour
from storage.formats.grid import Grid, Look
from storage.formats.tiff import picture as tiff
from storage.formats.turning import TAG, swaps_sides, turned
from storage.scan import Scan, robust_window, value_range

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
PNG_START = b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_DEPTH = 24  # where its header says how many bits a sample has
ALPHA = (2, 4)  # samples a pixel of grey and of RGB with alpha


def read(path: Path) -> Scan:
    """One picture, turned as its EXIF says; alpha is dropped, a palette becomes its colours."""
    if _is_tiff(path):
        return tiff.read(path)
    with _open(path) as image:
        if _png_depth(path) == 16 and (values := _stored(image, path)).shape[2:] > (2,):
            volume = turned(values[..., :3], _orientation(image))[None]
            return deep_colour(volume, None, Origin(shown_name(path), _grid(volume)))
        return picture(shown_name(path), turned(_grey_or_rgb(image, path), _orientation(image)))


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers (1, Y, X): grey values as they are stored, or the indices of a palette."""
    if _is_tiff(path):
        return tiff.read_labels(path)
    with _open(path) as image:
        values = turned(_stored(image, path), _orientation(image))
    if values.ndim == 3 and values.shape[2] in ALPHA:
        values = values[..., :-1]
    labels = label_values(values[None, ..., 0] if values.shape[2:] == (1,) else values[None])
    return labels, _grid(labels)


def write_labels(path: Path, labels: NDArray[np.unsignedinteger]) -> None:
    """Label numbers (1, Y, X) as a grey PNG, uint8 or uint16 as they are."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(labels[0])).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def look(path: Path) -> Look:
    """By the header alone, but for the PNG that keep their EXIF behind the pixels."""
    if _is_tiff(path):
        return tiff.look(path)
    with _header(path) as image:
        if image.format == "PNG":
            image.load()
        columns, rows = image.size[::-1] if swaps_sides(_orientation(image)) else image.size
    return Look(Grid("picture", (columns, rows, 1)))


def picture(name: str, pixels: NDArray[Any]) -> Scan:
    """A scan of one slice without any geometry, of (Y, X) or (Y, X, 3) pixels."""
    volume = np.ascontiguousarray(pixels)[None]
    return Scan(
        name=name,
        pixels=volume,
        spacing_mm=None,
        marks=None,
        geometry=_grid(volume).json(),
        window=robust_window(volume),
        value_range=value_range(volume),
    )


def _grey_or_rgb(image: Image.Image, path: Path) -> NDArray[Any]:
    """(Y, X) grey of any depth or (Y, X, 3) uint8."""
    if _png_depth(path) == 16:
        values = _stored(image, path)
        return values if values.ndim == 2 else values[..., 0]
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    if image.mode == "L" or image.mode.startswith(("I", "F")):
        return to_pixel_type(_stored(image, path))
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _stored(image: Image.Image, path: Path) -> NDArray[Any]:
    """(Y, X[, samples]) as the file has them: Pillow stretches grey of 2 and 4 bits to 255 and halves 16 bits."""
    depth = _png_depth(path)
    if depth == 16:
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    values = np.asarray(image)
    return values // (255 // (2**depth - 1)) if depth in (2, 4) and image.mode == "L" else values


def _png_depth(path: Path) -> int | None:
    with open(path, "rb") as file:
        start = file.read(PNG_DEPTH + 1)
    return start[PNG_DEPTH] if start.startswith(PNG_START) and len(start) > PNG_DEPTH else None


def _is_tiff(path: Path) -> bool:
    """Whatever its name says: TIFF has one decoder."""
    with open(path, "rb") as file:
        return file.read(4) in TIFF_STARTS


def _open(path: Path) -> Image.Image:
    image = _header(path)
    image.load()  # only then are all of its EXIF and its palette known
    return image


def _header(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise FileRefused(
            "it declares more than 178 megapixels and the limit is 100; downsample it"
        ) from None
    check_size(image.size, bytes_per_voxel=4)
    if image.format in ("PNG", "WEBP") and (frames := getattr(image, "n_frames", 1)) > 1:
        raise FileRefused(f"it is an animation of {frames} pictures; save each as a file")
    return image


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(TAG, 1)
    return value if isinstance(value, int) else 1


def _grid(volume: NDArray[Any]) -> Grid:
    _, rows, columns = volume.shape[:3]
    return Grid("picture", (columns, rows, 1))
