"""PNG, JPEG and BMP pictures, through Pillow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from storage.arrays import write_bytes
from storage.formats.base import FileRefused, check_size, label_values, shown_name, to_pixel_type
from storage.formats.grid import Grid
from storage.scan import Scan, robust_window, value_range

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


def read(path: Path) -> Scan:
    """One picture, turned as its EXIF says; alpha is dropped, a palette becomes its colours."""
    with _open(path) as image:
        pixels = grey_or_rgb(_turned(image))
    return picture(shown_name(path), pixels)


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers (1, Y, X): grey values, or the indices of a palette."""
    with _open(path) as image:
        values = np.asarray(_turned(image))
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = values[..., :-1]
    labels = label_values(values[None])
    return labels, _grid(labels)


def write_labels(path: Path, labels: NDArray[np.unsignedinteger]) -> None:
    """Label numbers (1, Y, X) as a grey PNG, uint8 or uint16 as they are."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(labels[0])).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


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


def grey_or_rgb(image: Image.Image) -> NDArray[Any]:
    """(Y, X) grey of any depth or (Y, X, 3) uint8."""
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    if image.mode == "L" or image.mode.startswith(("I", "F")):
        return to_pixel_type(np.asarray(image))
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise FileRefused(
            "it declares more than 178 megapixels and the limit is 100; downsample it"
        ) from None
    check_size(image.size, bytes_per_voxel=4)
    return image


def _turned(image: Image.Image) -> Image.Image:
    image.load()
    return ImageOps.exif_transpose(image)


def _grid(volume: NDArray[Any]) -> Grid:
    _, rows, columns = volume.shape[:3]
    return Grid("picture", (columns, rows, 1))
