"""Files in and out. One file and one line in READERS add a format; every reader answers in display order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from storage.formats import dicom, itk, nifti, pictures
from storage.formats.base import COLOUR, FileRefused, label_values
from storage.formats.dicom_headers import is_dicom
from storage.formats.grid import Grid, Look, grid_from_json, grid_of, grid_of_image, lay_on
from storage.formats.tiff import picture as tiff
from storage.scan import Scan

__all__ = [
    "COLOUR",
    "READERS",
    "FileRefused",
    "Grid",
    "Look",
    "grid_from_json",
    "grid_of",
    "grid_of_image",
    "kind_of",
    "lay_on",
    "look",
    "look_at_series",
    "read",
    "read_labels",
    "read_series",
    "stem",
]

Labels = tuple[NDArray[np.unsignedinteger], Grid]  # (Z, Y, X) in display order; see `label_values`


@dataclass(frozen=True)
class Reader:
    """One family of formats. Both functions raise FileRefused with a sentence, or whatever their decoder raises."""

    title: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Scan]
    read_labels: Callable[[Path], Labels]
    look: Callable[[Path], Look] | None = (
        None  # without decoding pixels; None: the file has to be read for it
    )


def _dicom_labels(path: Path) -> Labels:
    scan = dicom.read(path)
    return label_values(scan.pixels), grid_from_json(scan.geometry)


READERS: dict[str, Reader] = {
    "picture": Reader(
        "a PNG, JPEG or BMP picture",
        (".png", ".jpg", ".jpeg", ".bmp"),
        pictures.read,
        pictures.read_labels,
        pictures.look,
    ),
    "tiff": Reader("a TIFF", (".tif", ".tiff"), tiff.read, tiff.read_labels, tiff.look),
    "nifti": Reader("NIfTI", (".nii", ".nii.gz"), nifti.read, nifti.read_labels, nifti.look),
    "itk": Reader(
        "NRRD or MetaImage", (".nrrd", ".nhdr", ".mha", ".mhd"), itk.read, itk.read_labels, itk.look
    ),
    "dicom": Reader("DICOM", (".dcm", ".dicom", ".ima"), dicom.read, _dicom_labels),
}


def kind_of(path: Path) -> str | None:
    """The registry key for a file: by its suffix, DICOM also by content. Raises OSError where it cannot be opened."""
    name = path.name.lower()
    for kind, reader in READERS.items():
        if name.endswith(reader.suffixes):
            return kind
    return "dicom" if is_dicom(path) else None


def read(path: Path) -> Scan:
    """One file as a scan. Raises FileRefused: a sentence that starts with "it"."""
    kind = _known_kind(path)
    with _refusing(kind):
        return READERS[kind].read(path)


def read_labels(path: Path) -> Labels:
    """A mask file's label numbers and its grid. Raises FileRefused."""
    kind = _known_kind(path)
    with _refusing(kind):
        return READERS[kind].read_labels(path)


def look(path: Path) -> Look:
    """What the header of one file says. Raises FileRefused; that it does not is no promise that the pixels can be
    read."""
    kind = _known_kind(path)
    with _refusing(kind):
        if (header := READERS[kind].look) is not None:
            return header(path)
        scan = READERS[kind].read(path)
        return Look(grid_of_image(scan.geometry, scan.shape, scan.spacing_mm), scan.remarks)


def look_at_series(series: dicom.Series) -> list[Look]:
    """Of each scan that `read_series` would make. Raises FileRefused."""
    with _refusing("dicom"):
        return dicom.look(series)


def read_series(series: dicom.Series) -> list[tuple[Scan, str]]:
    """The scans of a DICOM series, each with a remark or "". Raises FileRefused."""
    with _refusing("dicom"):
        return dicom.read_series(series)


def stem(path: PurePath) -> str:
    """The name without the suffix of its format: scan.nii.gz -> scan."""
    suffixes = sorted((s for r in READERS.values() for s in r.suffixes), key=len, reverse=True)
    found = next((s for s in suffixes if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(found)]


def _known_kind(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            raise FileRefused("it is empty (0 bytes)")
        kind = kind_of(path)
    except OSError as error:
        raise FileRefused(f"it cannot be opened ({error.strerror or 'no reason given'})") from None
    if kind is None:
        raise FileRefused("its format is not supported; convert it to PNG, TIFF, NIfTI or NRRD")
    return kind


@contextmanager
def _refusing(kind: str) -> Iterator[None]:
    try:
        yield
    except FileRefused:
        raise
    except MemoryError:
        raise FileRefused("it does not fit into memory; crop or downsample it") from None
    except Exception as error:  # other people's decoders raise anything on damaged files
        reason = getattr(error, "strerror", None)
        if isinstance(error, OSError) and reason:
            raise FileRefused(f"it cannot be opened ({reason})") from None
        title = READERS[kind].title
        raise FileRefused(
            f"it cannot be read as {title}: it is cut short, damaged or of another kind"
        ) from None
