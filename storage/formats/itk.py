"""NRRD and MetaImage (.mha, .mhd), through SimpleITK."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.formats.base import (
    FileRefused,
    check_size,
    check_stored,
    label_values,
    rgb8,
    shown_name,
    to_pixel_type,
)
from storage.formats.grid import Grid, grid_of
from storage.formats.simple_itk import simple_itk
from storage.scan import Scan, robust_window, value_range

if TYPE_CHECKING:
    from SimpleITK import Image

HEADER_BYTES = 65536
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
INLINE = ("local", "internal")


def read(path: Path) -> Scan:
    """One volume or picture, nearest to the canonical orientation."""
    values, grid = _load(path)
    pixels = grid.to_display(rgb8(values) if values.ndim == 4 else to_pixel_type(values))
    return Scan(
        name=shown_name(path),
        pixels=pixels,
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        window=robust_window(pixels),
        value_range=value_range(pixels),
    )


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers in display order."""
    values, grid = _load(path)
    return label_values(grid.to_display(values)), grid


def _load(path: Path) -> tuple[NDArray[Any], Grid]:
    """Values (i, j, k[, 3]) and their grid."""
    fields = _header_fields(path)
    data = _data_file(path, fields)
    reader = simple_itk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    if sum(n > 1 for n in size[3:]) or channels not in (1, 3, 4):
        raise FileRefused(
            f"it is {len(size)}-D with {channels} values a voxel; save one volume of grey values a file"
        )
    check_size(size, 8)
    item = np.dtype(_numpy_name(reader.GetPixelID())).itemsize
    packed = data != path or any(fields.get(k, "").lower() not in ("", "raw", "false") for k in PACKING)
    check_stored(data, int(np.prod(size)) * channels * item, compressed=packed)
    image = reader.Execute()
    return _source_order(image), _grid(image, _says_orientation(fields))


PACKING = ("encoding", "compresseddata")


def _header_fields(path: Path) -> dict[str, str]:
    """The text header as lower-case keys; both formats write "key: value" or "key = value" lines."""
    with open(path, "rb") as file:
        text = file.read(HEADER_BYTES).split(b"\n\n")[0].decode("latin-1")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"([A-Za-z][A-Za-z ]*?)\s*(?::=|[:=])\s*(.*)", line)
        if match:
            fields.setdefault(match[1].lower().replace(" ", ""), match[2].strip())
        if match and match[1].lower() == "elementdatafile":
            break
    return fields


def _data_file(path: Path, fields: dict[str, str]) -> Path:
    """Where the pixels are: the file itself or one beside it. A header may not point anywhere else."""
    name = fields.get("elementdatafile") or fields.get("datafile") or "local"
    if name.lower() in INLINE:
        return path
    if not re.fullmatch(r"[\w() +,.-]+", name) or name.upper().startswith("LIST") or "%" in name:
        raise FileRefused(
            "its pixels are in files elsewhere; save header and pixels as one .mha or .nrrd file"
        )
    data = path.with_name(name)
    if data.is_symlink() or not data.is_file():
        raise FileRefused("its file of pixels is not beside it; copy both, or save it as one file")
    return data


def _numpy_name(pixel_id: int) -> str:
    name = simple_itk().GetPixelIDValueAsString(pixel_id).removeprefix("vector of ")
    sign = "u" if name.endswith("unsigned integer") else ""
    bits = re.match(r"(\d+)-bit", name)
    return "float32" if bits is None else f"{sign}{'float' if 'float' in name else 'int'}{bits[1]}"


def _says_orientation(fields: dict[str, str]) -> bool:
    """NRRD says it by naming a patient space; MetaImage by writing a matrix, which means LPS."""
    space = fields.get("space", "").lower()
    named = space in ("ras", "las", "lps") or all(w in space for w in ("anterior", "superior"))
    named = named or all(w in space for w in ("posterior", "superior"))
    matrix = any(k in fields for k in ("transformmatrix", "rotation", "orientation"))
    return named or (matrix and "elementdatafile" in fields)


def _source_order(image: "Image") -> NDArray[Any]:
    values: NDArray[Any] = simple_itk().GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        rows_first = values[..., :3]
        rows_first = rows_first.reshape((-1, *rows_first.shape[-3:]))
        return np.transpose(rows_first, (2, 1, 0, 3))
    return values.reshape((-1, *values.shape[-2:])).T


def _grid(image: "Image", oriented: bool) -> Grid:
    i, j, k = (*image.GetSize(), 1)[:3]
    if image.GetDimension() == 2:
        affine = np.diag([*image.GetSpacing(), 1.0, 1.0])
        return grid_of("itk", (i, j, k), affine, oriented=False)
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ direction * image.GetSpacing()[:3]
    affine[:3, 3] = LPS_TO_RAS @ image.GetOrigin()[:3]
    if not oriented:
        affine = np.diag([*image.GetSpacing()[:3], 1.0])
    return grid_of("itk", (i, j, k), affine, oriented=oriented)
