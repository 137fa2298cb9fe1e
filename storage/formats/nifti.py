"""NIfTI-1 and NIfTI-2: reading in display order, and writing labels on a file's exact grid."""

import gzip
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from storage.arrays import write_bytes
from storage.formats.base import (
    FileRefused,
    check_size,
    check_stored,
    label_values,
    rescale,
    rgb8,
    shown_name,
)
from storage.formats.channels.channelled import ChannelFacts, Origin, channelled
from storage.formats.channels.described import described_channels
from storage.formats.grid import Grid, Look, grid_of, usable
from storage.formats.packed import check_gzip, gzipped_labels
from storage.scan import Scan, robust_window, value_range

nib.imageglobals.logger.setLevel(logging.CRITICAL)  # it prints every header that it mends
UNIT_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # NIfTI's codes for metre, millimetre, micrometre
NUMBERS = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
VECTORS = ("srow_x", "srow_y", "srow_z", "pixdim")
CODES = ("qform_code", "sform_code", "xyzt_units")
SFORM_LOST = "its sform is all zero or flat, so its qform says where it lies"
PLACE_LOST = (
    "its sform and qform are all zero or flat, so nothing says how it lies and where left and right are"
)
FORMS_DIFFER = "its sform and qform place it differently, and the sform is taken"
HALF_A_VOXEL = 0.5
SIZE_MISSING = "its voxel size is missing along an axis, where the largest of the others is taken"
UNKNOWN_UNIT = "its unit of length is none that NIfTI knows, so its sizes are taken as millimetres"


@dataclass(frozen=True)
class Place:
    """How the voxels lie, as far as a header says it in numbers that can be used."""

    affine: NDArray[np.float64] | None  # voxel -> mm
    oriented: bool
    remarks: tuple[str, ...]


def read(path: Path) -> Scan:
    """One volume, nearest to the canonical orientation. Refuses 4-D, but for channels that have names."""
    image, seen, facts = _opened_whole(path)
    if facts is None:
        return read_volume(path, None)
    stored, shape = _stored(path, image), seen.grid.shape
    parts = [_values(image, stored, shape, n) for n in range(len(facts.names))]
    if parts[0].ndim == 4:
        raise FileRefused("its channels are colours; save one channel a file")
    origin = Origin(shown_name(path), seen.grid, seen.remarks)
    return channelled([seen.grid.to_display(part) for part in parts], facts, origin)


def read_volume(path: Path, number: int | None) -> Scan:
    """As `read`; `number` chooses one volume of a 4-D file."""
    values, grid, remarks = _load(path, number)
    pixels = grid.to_display(values)
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
    values, grid, _ = _load(path, None)
    return label_values(grid.to_display(values)), grid


def write_labels(path: Path, labels: NDArray[np.unsignedinteger], grid: Grid) -> None:
    """Labels (Z, Y, X) on the grid's source voxels, gzipped; uint8 where the values fit, uint16 otherwise.

    A NIfTI source's sform, qform, codes and units are repeated bit for bit; from other sources the affine is written
    as both forms, or as spacing alone where the file gave no orientation.
    """
    write_bytes(path, packed_labels(labels, grid, level=6))


def packed_labels(labels: NDArray[np.unsignedinteger], grid: Grid, level: int) -> bytes:
    """As `write_labels`, the file itself. `level` of gzip: 1 is quick, 9 is small."""
    wide = np.uint16 if labels.max(initial=0) > 255 else np.uint8
    return gzipped_labels(_stored_as(grid.to_source(labels).astype(wide, copy=False), grid), level)


def write_image(path: Path, values: NDArray[Any], grid: Grid) -> None:
    """As `write_labels`, for (Z, Y, X) of any type, which is kept."""
    write_bytes(path, packed_image(values, grid, level=6))


def packed_image(pixels: NDArray[Any], grid: Grid, level: int) -> bytes:
    """An image (Z, Y, X[, 3]) as a file, its voxels and their place as they came."""
    axes = tuple(grid.axes.index(s) for s in range(3)) + tuple(range(3, pixels.ndim))
    flipped = np.flip(pixels, tuple(d for d in range(3) if grid.flips[d]))
    source = np.transpose(flipped, axes)
    if source.ndim == 4:
        colours = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        source = np.ascontiguousarray(source).view(colours)[..., 0]
    return gzip.compress(_stored_as(source, grid), compresslevel=level, mtime=0)


def _stored_as(source: NDArray[Any], grid: Grid) -> bytes:
    """(i, j, k) as it is, as the bytes of a file."""
    second = grid.header.get("version") == 2
    header = Nifti2Header() if second else Nifti1Header()
    header.set_data_dtype(source.dtype)
    header.set_data_shape(source.shape)
    _fill(header, grid)
    image = Nifti2Image(source, None, header) if second else Nifti1Image(source, None, header)
    return image.to_bytes()


def _load(path: Path, number: int | None) -> tuple[NDArray[Any], Grid, tuple[str, ...]]:
    """Values (i, j, k[, 3]) with the file's scaling applied, their grid, and what of the header was lost."""
    image = _loaded(path)
    seen = _seen(path, image, number)
    return _values(image, _stored(path, image), seen.grid.shape, number or 0), seen.grid, seen.remarks


def look(path: Path) -> Look:
    _, seen, facts = _opened_whole(path)
    return Look(seen.grid, (*seen.remarks, facts.remark)) if facts else seen


def _opened_whole(path: Path) -> tuple[Nifti1Image, Look, ChannelFacts | None]:
    """What its header says, and what the volumes of one file are where they are channels; no voxel is read."""
    image = _loaded(path)
    facts = _channels(path, image)
    return image, _seen(path, image, None if facts is None else 0), facts


def _channels(path: Path, image: Nifti1Image) -> ChannelFacts | None:
    """A vector says so by its fifth axis; volumes along the fourth have their names in a data set's description."""
    shape = image.shape
    if len(shape) == 5 and shape[3] == 1 and shape[4] > 1:
        count = int(shape[4])
        names = described_channels(path, count) or tuple(f"Component {n + 1}" for n in range(count))
        return ChannelFacts(names, stains=False)
    if len(shape) == 4 and shape[3] > 1 and (names := described_channels(path, int(shape[3]))):
        return ChannelFacts(names, stains=False)
    return None


def _loaded(path: Path) -> Nifti1Image:
    image = nib.load(path, mmap=False)  # a mapped file cannot be deleted on Windows
    if not isinstance(image, Nifti1Image):  # NIfTI-2 is a subclass
        raise FileRefused("it is not a NIfTI file")
    return image


def _seen(path: Path, image: Nifti1Image, number: int | None) -> Look:
    """What the header says, checked."""
    shape = _spatial_shape(image.shape, number)
    header = image.header
    itemsize = header.get_data_dtype().itemsize
    check_size(image.shape, itemsize)
    offset = int(cast(Any, image.dataobj).offset)
    if offset < header.sizeof_hdr:
        raise FileRefused(
            "it says that its pixels begin inside its header; write it anew with another program"
        )
    needed = offset + math.prod(image.shape) * itemsize
    check_stored(path, needed, compressed=path.suffix.lower() == ".gz")
    place = _place(path, header, shape)
    grid = grid_of("nifti", shape, place.affine, oriented=place.oriented, header=_header_facts(header))
    return Look(grid, place.remarks)


def _place(path: Path, header: Nifti1Header, shape: tuple[int, int, int]) -> Place:
    """By the sform, the qform where that is unusable, the voxel size where both are; always in millimetres."""
    unit = int(header["xyzt_units"]) & 7
    remarks = [UNKNOWN_UNIT] if unit not in (0, *UNIT_MM) else []
    forms = [_form(header, name) for name in ("sform", "qform") if header[f"{name}_code"] > 0]
    found = next((form for form in forms if form is not None), None)
    if forms and found is None:
        remarks.append(PLACE_LOST)
    elif forms and forms[0] is None:
        remarks.append(SFORM_LOST)
    elif (
        len(forms) == 2
        and forms[0] is not None
        and forms[1] is not None
        and not _agree(forms[0], forms[1], shape)
    ):
        remarks.append(FORMS_DIFFER)
    affine = found
    if found is None and any(zooms := _zooms(path, header)):
        affine = np.diag([*(v or max(zooms) for v in zooms), 1.0])
        if any(size > 1 and not zoom for size, zoom in zip(shape, zooms, strict=True)):
            remarks.append(SIZE_MISSING)
    if affine is not None:
        affine[:3] *= UNIT_MM.get(unit, 1.0)
    return Place(affine, found is not None, tuple(remarks))


def _agree(sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, int, int]) -> bool:
    """Whether no corner of the image lies more than half a voxel from where the other says: headers are rounded."""
    between = np.linalg.solve(sform, qform) - np.eye(4)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    return bool(np.abs(between @ corners.T).max() <= HALF_A_VOXEL)


def _form(header: Nifti1Header, name: str) -> NDArray[np.float64] | None:
    """(4, 4); None where an axis collapses, or the quaternion is longer than 1."""
    try:
        form = np.array(header.get_sform() if name == "sform" else header.get_qform(), float)
    except ValueError:
        return None
    return form if usable(form) else None


def _spatial_shape(shape: tuple[int, ...], number: int | None) -> tuple[int, int, int]:
    volumes = math.prod(shape[3:])
    if volumes != 1 and number is None:
        raise FileRefused(f"it is {len(shape)}-D ({volumes} volumes in one file); save one volume a file")
    if number is not None and not 0 <= number < volumes:
        raise FileRefused(f"it holds {volumes} volumes, so there is no volume {number}")
    i, j, k = (*shape, 1, 1)[:3]
    return int(i), int(j), int(k)


def _stored(path: Path, image: Nifti1Image) -> NDArray[Any]:
    if path.suffix.lower() == ".gz":
        check_gzip(path)
    proxy: Any = image.dataobj
    return np.asarray(proxy.get_unscaled())


def _values(
    image: Nifti1Image, whole: NDArray[Any], shape: tuple[int, int, int], number: int
) -> NDArray[Any]:
    """One volume of what is stored, with the file's scaling applied."""
    proxy: Any = image.dataobj
    stored = whole.reshape((*shape, -1), order="F")[..., number]
    if stored.dtype.names:  # RGB24 and RGBA32 come as records
        if set("RGB") - set(stored.dtype.names):
            raise FileRefused(
                f"its pixels are records of {stored.dtype.names}; save it as grey values or RGB"
            )
        return rgb8(np.stack([stored[c] for c in "RGB"], axis=-1))
    return rescale(stored, float(proxy.slope), float(proxy.inter))


def _zooms(path: Path, header: Nifti1Header) -> list[float]:
    """Voxel sizes; 0 where one is missing."""
    with ImageOpener(str(path)) as file:
        raw = type(header).from_fileobj(file, check=False)  # nibabel mends a size of 0 into 1
    return [abs(float(v)) if math.isfinite(v) else 0.0 for v in raw["pixdim"][1:4]]


def _header_facts(header: Nifti1Header) -> dict[str, Any]:
    """The geometry fields and nothing else: no text, no dates. Floats are exact in JSON; NaN becomes 0."""
    fields: dict[str, Any] = {name: _finite(header[name]) for name in NUMBERS}
    fields |= {name: [_finite(v) for v in header[name]] for name in VECTORS}
    fields |= {name: int(header[name]) for name in CODES}
    return fields | {"version": 2 if isinstance(header, Nifti2Header) else 1}


def _finite(value: Any) -> float:
    return float(value) if math.isfinite(value) else 0.0


def _fill(header: Nifti1Header, grid: Grid) -> None:
    if grid.format == "nifti" and grid.header:  # nobody said since that it lies otherwise
        for name in (*NUMBERS, *CODES):
            header[name] = grid.header[name]
        for name in VECTORS:
            header[name] = grid.header[name]
        header["pixdim"][4:] = 1
        return
    header.set_xyzt_units("mm" if grid.affine else "unknown")
    if grid.affine is None:
        return
    affine = np.array(grid.affine)
    header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
    if grid.oriented:
        header.set_sform(affine, code="scanner")
        if _without_shear(affine):
            header.set_qform(affine, code="scanner")


def _without_shear(affine: NDArray[np.float64]) -> bool:
    """Whether the axes are at right angles, which is all that a qform can say."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(directions.T @ directions, np.eye(3), atol=1e-5))
