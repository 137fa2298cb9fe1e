"""Formats of exported labels. One file and one line in WRITERS add one; importing this loads no library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
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
    usual: bool = False  # written where nobody chose
    of_series: bool = (
        False  # laid onto the DICOM files that an image came from, which the project does not keep
    )


HAS_PARQUET = find_spec("pyarrow") is not None  # 55 MB, and so no part of the app

WRITERS: dict[str, WriterEntry] = {
    "nifti": WriterEntry(
        "NIfTI volumes",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.nifti:NiftiWriter"),
        usual=True,
    ),
    "png": WriterEntry(
        "PNG masks",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.png:PngWriter"),
        usual=True,
    ),
    "coco": WriterEntry(
        "COCO JSON",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.coco:CocoWriter"),
        usual=True,
    ),
    "coco-polygons": WriterEntry(
        "COCO polygons, slices too",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.coco_polygons:CocoPolygonWriter"),
    ),
    "yolo": WriterEntry(
        "YOLO segmentation",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.yolo:YoloWriter"),
    ),
    "yolo-boxes": WriterEntry(
        "YOLO boxes",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.yolo:YoloBoxWriter"),
    ),
    "qupath": WriterEntry(
        "GeoJSON for QuPath",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.qupath:QuPathWriter"),
    ),
    "imagej": WriterEntry(
        "ImageJ regions (zip)",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.imagej:ImageJWriter"),
    ),
    "cvat": WriterEntry(
        "CVAT XML",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.cvat:CvatWriter"),
    ),
    "labelstudio": WriterEntry(
        "Label Studio JSON",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.label_studio:LabelStudioWriter"),
    ),
    "labelme": WriterEntry(
        "labelme JSON",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.labelme:LabelmeWriter"),
    ),
    "voc": WriterEntry(
        "Pascal VOC palette PNG",
        ("slice", "picture"),
        LazyFunction("annotator.exchange.writers.voc:VocWriter"),
    ),
    "cellpose": WriterEntry(
        "Cellpose files",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.label_images:CellposeWriter"),
    ),
    "stardist": WriterEntry(
        "StarDist data set",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.label_images:StarDistWriter"),
    ),
    "nnunet": WriterEntry(
        "nnU-Net data set",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.nnunet:NnunetWriter"),
    ),
    "dicomseg": WriterEntry(
        "DICOM-SEG",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.dicom.segmentation:SegWriter"),
        of_series=True,
    ),
    "dicomseg-labelmap": WriterEntry(
        "DICOM-SEG label map",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.dicom.segmentation:LabelmapSegWriter"),
        of_series=True,
    ),
    "rtstruct": WriterEntry(
        "RTSTRUCT contours",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.dicom.contours:ContourWriter"),
        of_series=True,
    ),
    "measurements": WriterEntry(
        "Table of measurements (CSV and Parquet)"
        if HAS_PARQUET
        else "Table of measurements (CSV; for Parquet too: pip install pyarrow)",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.measurements:MeasurementWriter"),
    ),
    "itksnap": WriterEntry(
        "NIfTI and names for ITK-SNAP",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.itksnap:ItkSnapWriter"),
    ),
    "bids": WriterEntry(
        "BIDS derivatives",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.research.bids:BidsWriter"),
    ),
    "omezarr": WriterEntry(
        "OME-Zarr with labels",
        ("volume", "slice", "picture"),
        LazyFunction("annotator.exchange.writers.research.ome_zarr:OmeZarrWriter"),
    ),
    "slicer": WriterEntry(
        "Segmentations for 3D Slicer",
        ("volume", "slice"),
        LazyFunction("annotator.exchange.writers.slicer:SegmentWriter"),
    ),
}


def usual_formats() -> tuple[str, ...]:
    return tuple(name for name, entry in WRITERS.items() if entry.usual)


def usual_for(kind: ImageKind) -> str:
    """The usual formats that fit images of a kind, in words: "PNG masks or COCO JSON"."""
    return " or ".join(entry.title for entry in WRITERS.values() if entry.usual and kind in entry.fits)


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once. Raises ValueError for one that nobody writes, and where none is given."""
    unknown = sorted(set(names) - set(WRITERS))
    if unknown or not names:
        raise ValueError(f"export formats are {', '.join(WRITERS)}; got {', '.join(unknown) or 'none'}")
    return tuple(dict.fromkeys(names))


def formats_for(kind: ImageKind) -> str:
    """The formats that fit images of a kind, in words: "png or coco"."""
    return " or ".join(name for name, entry in WRITERS.items() if kind in entry.fits)
