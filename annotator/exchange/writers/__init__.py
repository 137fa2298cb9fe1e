"""Formats of exported labels. One file and one line in WRITERS add one; importing this loads no library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.lazy import LazyFunction

if TYPE_CHECKING:
    from annotator.exchange.writers.contract import ExportFolder, Writer
    from storage.formats import Grid

# A volume; one slice whose file says where it lies in the body; a picture.
ImageKind = Literal["volume", "slice", "picture"]


def kind_of_image(slices: int, grid: "Grid") -> ImageKind:
    if slices > 1:
        return "volume"
    return "slice" if grid.oriented else "picture"


@dataclass(frozen=True)
class WriterEntry:
    """A format that can be chosen. Images of other kinds than it fits are left to the other formats."""

    title: str
    fits: tuple[ImageKind, ...]
    make: "Callable[[ExportFolder], Writer]"  # called once an export


WRITERS: dict[str, WriterEntry] = {
    "nifti": WriterEntry(
        "NIfTI volumes", ("volume", "slice"), LazyFunction("annotator.exchange.writers.nifti:NiftiWriter")
    ),
    "png": WriterEntry(
        "PNG masks", ("slice", "picture"), LazyFunction("annotator.exchange.writers.png:PngWriter")
    ),
    "coco": WriterEntry(
        "COCO JSON", ("slice", "picture"), LazyFunction("annotator.exchange.writers.coco:CocoWriter")
    ),
}


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once. Raises ValueError for one that nobody writes, and where none is given."""
    unknown = sorted(set(names) - set(WRITERS))
    if unknown or not names:
        raise ValueError(f"export formats are {', '.join(WRITERS)}; got {', '.join(unknown) or 'none'}")
    return tuple(dict.fromkeys(names))


def formats_for(kind: ImageKind) -> str:
    """The formats that fit images of a kind, in words: "png or coco"."""
    return " or ".join(name for name, entry in WRITERS.items() if kind in entry.fits)
