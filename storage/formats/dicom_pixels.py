"""The pixels of one DICOM file: decoded by pydicom, or by GDCM (inside SimpleITK) where pydicom has no decoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array

from storage.formats.base import FileRefused, rescale, to_pixel_type
from storage.formats.simple_itk import simple_itk

DECODED_BY_GDCM = (  # JPEG of 12 bit, lossless JPEG, JPEG-LS: pydicom needs GPL packages for them
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
)
MAX_PIXELS_PER_BYTE = 4096  # an empty picture packs far better than deflate, yet not beyond this


@dataclass(frozen=True)
class Frames:
    """All frames of a file and what turns their stored values into real ones."""

    values: NDArray[Any]  # (frames, rows, columns[, 3])
    header: Dataset
    scaled: bool  # the decoder applied slope and intercept already
    inverted: bool  # MONOCHROME1: low values are bright
    bits: int  # of each sample that count, by the header or the palette
    palette: bool  # its colours are those of a table


def decode(path: Path) -> Frames:
    """Raises FileRefused where the pixels are cut short, damaged or of a kind that nothing here decodes."""
    try:
        header = pydicom.dcmread(path, force=True)
        _check_plausible(path, header)
        _check_bits(header)
        values, scaled = _decoded(path, header, _syntax(header))
    except FileRefused:
        raise
    except MemoryError:
        raise FileRefused("its pixels do not fit into memory; crop or downsample it") from None
    except Exception:  # damaged pixels raise anything, and the message may quote the header
        raise FileRefused(
            "its pixels are cut short, damaged or packed in an unusual way; export it again"
        ) from None
    colour = int(header.get("SamplesPerPixel", 1)) == 3 or header.PhotometricInterpretation == "PALETTE COLOR"
    frames = values if values.ndim == (4 if colour else 3) else values[None]
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    palette = header.PhotometricInterpretation == "PALETTE COLOR"
    # of a palette pydicom takes it from the palette's own descriptor
    bits = 8 * values.dtype.itemsize if palette else min(int(header.BitsStored), 8 * values.dtype.itemsize)
    return Frames(frames, header, scaled, inverted, bits, palette)


def frame_scaling(frames: Frames, number: int) -> NDArray[Any]:
    """One frame in real-world units: (rows, columns), or (rows, columns, 3) as stored."""
    values: NDArray[Any] = frames.values[number]
    if values.ndim == 3:
        return values
    if "ModalityLUTSequence" in frames.header:
        values = apply_modality_lut(values, frames.header)
    elif not frames.scaled:
        slope, intercept = _scaling(frames.header, number)
        values = rescale(values, slope, intercept)
    return _turned_round(frames, number, to_pixel_type(values)) if frames.inverted else to_pixel_type(values)


def _check_plausible(path: Path, header: Dataset) -> None:
    voxels = header.Rows * header.Columns * int(header.get("NumberOfFrames") or 1)
    if voxels > path.stat().st_size * MAX_PIXELS_PER_BYTE:
        raise FileRefused("it is cut short: its header declares more pixels than it holds; copy it again")


def _check_bits(header: Dataset) -> None:
    if int(header.get("HighBit") or header.BitsStored - 1) != header.BitsStored - 1:
        raise FileRefused("its values are not in the lowest bits of its pixels; export it again")


def _syntax(header: Dataset) -> str:
    meta = getattr(header, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if not syntax:  # an old file without the preamble: the plainest encoding is the standard's default
        header.ensure_file_meta()
        syntax = header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        if not header.original_encoding[0]:
            syntax = header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return syntax


def _decoded(path: Path, header: Dataset, syntax: str) -> tuple[NDArray[Any], bool]:
    try:
        values = pixel_array(header)
    except Exception:
        if syntax not in DECODED_BY_GDCM:
            raise
        return _by_gdcm(path), True
    if header.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, header)
    return values, False


def _by_gdcm(path: Path) -> NDArray[Any]:
    sitk = simple_itk()
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO")))


def _scaling(header: Dataset, number: int) -> tuple[float, float]:
    """Slope and intercept: the frame's own, the shared ones, the file's."""
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    own = groups[number] if number < len(groups) else None
    for place in (own, shared[0] if shared else None):
        inner: Any = place.get("PixelValueTransformationSequence") if place is not None else None
        if inner:
            return float(inner[0].RescaleSlope), float(inner[0].RescaleIntercept)
    slope = header.get("RescaleSlope")
    intercept = header.get("RescaleIntercept")
    return float(1 if slope in (None, "") else slope) or 1.0, float(
        0 if intercept in (None, "") else intercept
    )


def _turned_round(frames: Frames, number: int, values: NDArray[Any]) -> NDArray[Any]:
    """MONOCHROME1 as MONOCHROME2: mirrored within what the stored bits can say, so all slices agree."""
    bits, signed = int(frames.header.BitsStored), int(frames.header.get("PixelRepresentation", 0))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = _scaling(frames.header, number)
    total = slope * (low + high) + 2 * intercept
    return rescale(values, -1.0, total)
