"""NRRD and MetaImage (.mha, .mhd), through SimpleITK."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.formats.base import (
    FileRefused,
    check_size,
    check_stored,
    label_values,
    shown_name,
    to_pixel_type,
)
from storage.formats.channels.channelled import ChannelFacts, Origin, channelled, deep_colour
from storage.formats.grid import Grid, Look, grid_of
from storage.formats.itk_header import data_file, header_fields, openable, pixels_start
from storage.formats.packed import check_zlib
from storage.formats.simple_itk import simple_itk
from storage.formats.units import millimetres
from storage.scan import Scan, robust_window, value_range

if TYPE_CHECKING:
    from SimpleITK import Image

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
UNKNOWN_UNIT = "its unit of length is none that is known here, so its sizes are taken as millimetres"


def read(path: Path) -> Scan:
    """One volume or picture, nearest to the canonical orientation."""
    values, grid, remarks, colours = _load(path)
    origin = Origin(shown_name(path), grid, remarks)
    if values.ndim == 4 and not colours:
        parts = [grid.to_display(values[..., n]) for n in range(values.shape[3])]
        return channelled(parts, _components(len(parts)), origin)
    if values.ndim == 4 and values.dtype != np.uint8:
        return deep_colour(grid.to_display(values), None, origin)
    pixels = grid.to_display(values if values.ndim == 4 else to_pixel_type(values))
    return Scan(
        name=shown_name(path),
        pixels=pixels,
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        window=robust_window(pixels),
        value_range=value_range(pixels),
        remarks=remarks,
    )


def read_labels(path: Path) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Label numbers in display order."""
    values, grid, _, colours = _load(path)
    if values.ndim == 4 and not colours:
        raise FileRefused(f"it has {values.shape[3]} values a voxel and a mask has one; save one a file")
    return label_values(grid.to_display(values)), grid


def look(path: Path) -> Look:
    """By the header alone."""
    fields = header_fields(path)
    with openable(path, data_file(path, fields)) as file, _flat_told():
        reader = simple_itk().ImageFileReader()
        reader.SetFileName(str(file))
        reader.ReadImageInformation()
    scale, remarks = _units(fields)
    count, pixel = reader.GetNumberOfComponents(), _numpy_name(reader.GetPixelID())
    if count > 1 and not _are_colours(fields, count, pixel):
        remarks = (*remarks, _components(count).remark)
    return Look(_grid(reader, fields, scale), remarks)


def _components(count: int) -> ChannelFacts:
    return ChannelFacts(tuple(f"Component {n + 1}" for n in range(count)), stains=False)


def _load(path: Path) -> tuple[NDArray[Any], Grid, tuple[str, ...], bool]:
    """Values (i, j, k[, components]), their grid, what of the header was lost, and whether components are colours."""
    fields = header_fields(path)
    data = data_file(path, fields)
    with openable(path, data) as file, _flat_told():
        reader = simple_itk().ImageFileReader()
        reader.SetFileName(str(file))
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
        if sum(n > 1 for n in size[3:]):
            raise FileRefused(f"it is {len(size)}-D; save one volume a file")
        check_size((*size, channels) if channels > 4 else size, 8)
        pixel = _numpy_name(reader.GetPixelID())
        item = np.dtype(pixel).itemsize
        packed = data != path or any(fields.get(k, "").lower() not in ("", "raw", "false") for k in PACKING)
        check_stored(data, int(np.prod(size)) * channels * item, compressed=packed)
        if fields.get("compresseddata", "").lower() == "true":
            _check_packed(path, data, fields)
        image = reader.Execute()
    colours = channels > 1 and _are_colours(fields, channels, pixel)
    scale, remarks = _units(fields)
    values = _source_order(image)
    return values[..., :3] if colours else values, _grid(image, fields, scale), remarks, colours


def _check_packed(path: Path, data: Path, fields: dict[str, str]) -> None:
    """Of a MetaImage."""
    if data != path:
        check_zlib(data, max(0, int(fields.get("headersize", 0))))
        return
    if int(fields.get("compresseddatasize", 0)) <= 0:
        raise FileRefused("its header does not say how long its packed pixels are; save it anew")
    check_zlib(data, pixels_start(path))


PACKING = ("encoding", "compresseddata")


@contextmanager
def _flat_told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "spacing" in str(error) or "direction" in str(error):
            raise FileRefused("its spacing is zero or its directions are flat; mend its header") from None
        raise


def _are_colours(fields: dict[str, str], channels: int, pixel: str) -> bool:
    """Three or four values a voxel are colours where NRRD says so, or says nothing against it and they are no
    fractions or signed numbers; else they are channels."""
    kind = next(
        (k for k in fields.get("kinds", "").lower().split() if k not in ("domain", "space", "none")), ""
    )
    if channels not in (3, 4) or not pixel.startswith("uint"):
        return channels in (3, 4) and "color" in kind
    if channels == 4 and kind and "rgba" not in kind and kind not in ("4-color", "vector"):
        return False
    return not kind or "color" in kind or kind in ("vector", "???")


def _units(fields: dict[str, str]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Millimetres in one unit of each axis: of space where directions are given, of the array otherwise."""
    names = [
        a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', fields.get("spaceunits") or fields.get("units", ""))
    ]
    names = names[:3] if "spaceunits" in fields else names[-3:]
    names = [fields["distanceunits"]] * 3 if "distanceunits" in fields else names
    found = [millimetres(name) for name in names]
    odd = [n for n, mm in zip(names, found, strict=True) if mm is None and n not in ("", "???", "none")]
    scale = np.array([*(mm or 1.0 for mm in found), 1.0, 1.0, 1.0][:3])
    return scale, (UNKNOWN_UNIT,) if odd else ()


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
        return np.transpose(values.reshape((-1, *values.shape[-3:])), (2, 1, 0, 3))
    return values.reshape((-1, *values.shape[-2:])).T


def _grid(image: Any, fields: dict[str, str], scale: NDArray[np.float64]) -> Grid:
    """Of an image, or of a reader that has seen its header. `scale`: millimetres in one unit of each axis."""
    i, j, k = (*image.GetSize(), 1)[:3]
    if image.GetDimension() == 2:
        x, y = np.array(image.GetSpacing()) * scale[:2]
        affine = np.diag([x, y, y, 1.0])  # as elsewhere, the depth of a picture is taken to be that of a row
        return grid_of("itk", (i, j, k), affine if _says_spacing(fields) else None, oriented=False)
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    oriented = _says_orientation(fields)
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ direction * image.GetSpacing()[:3]
    affine[:3, 3] = LPS_TO_RAS @ image.GetOrigin()[:3]
    affine[:3] *= scale[:, None]
    if not oriented:
        affine = np.diag([*np.linalg.norm(affine[:3, :3], axis=0), 1.0])
    return grid_of("itk", (i, j, k), affine if oriented or _says_spacing(fields) else None, oriented=oriented)


def _says_spacing(fields: dict[str, str]) -> bool:
    """Whether there is a number for every axis; ITK takes 1 for those that are missing."""
    said = [
        fields[key]
        for key in ("spacings", "spacedirections", "elementspacing", "elementsize")
        if key in fields
    ]
    return bool(said) and "nan" not in said[0].lower().split()
