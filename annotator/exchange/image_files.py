"""Which files are images, and how DICOM series of them are placed: for imports, and for exported models alike."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotator.exchange.import_files import companion
from storage import formats
from storage.formats import dicom

EMPTY = "it is empty (0 bytes)"
ZARR = (
    "images of OME-Zarr do not come in here; import it by itself on the command line to read it in place, "
    "or choose it with the image that its labels are of"
)
UNKNOWN_KIND = "its format is not supported; convert it to PNG, TIFF, NIfTI or NRRD"


@dataclass
class ImageFiles:
    """Files sorted by what becomes of them, each in the order in which they came."""

    kinds: dict[Path, str] = field(default_factory=dict)  # of what can be read
    refused: list[tuple[Path, str]] = field(default_factory=list)  # with the reason
    passed: list[Path] = field(default_factory=list)  # what goes with images and is none


def image_files(files: Iterable[Path], *, alone: bool) -> ImageFiles:
    """`alone`: somebody named this one file, so that it is told even where it is a note or a table."""
    found = ImageFiles()
    for path in files:
        try:
            kind = formats.kind_of(path) if path.stat().st_size else "empty"
        except IsADirectoryError:
            found.refused.append((path, ZARR))
            continue
        except OSError as error:
            found.refused.append((path, f"it cannot be opened ({error.strerror})"))
            continue
        if kind and kind != "empty":
            found.kinds[path] = kind
        elif alone or not companion(path):
            found.refused.append((path, EMPTY if kind == "empty" else UNKNOWN_KIND))
        else:
            found.passed.append(path)
    return found


def by_first_file(series: Iterable[dicom.Series]) -> dict[Path, list[dicom.Series]]:
    found: dict[Path, list[dicom.Series]] = defaultdict(list)
    for one in series:
        found[one.slices[0].path].append(one)
    return found


def files_of(series: dicom.Series) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(one.path for one in series.slices))


def nearest_place(files: Sequence[Path]) -> Path:
    """One file itself; of several the nearest folder that holds all of them."""
    if len(files) == 1:
        return files[0]
    folder = files[0].parent
    while not all(file.is_relative_to(folder) for file in files):
        folder = folder.parent
    return folder
