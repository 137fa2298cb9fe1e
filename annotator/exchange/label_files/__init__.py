"""Labels of other programs that are no masks: outlines, run lengths, segments. One file and one line in LABEL_FILES
add a kind; importing this loads no library."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.lazy import LazyFunction

if TYPE_CHECKING:
    from annotator.exchange.label_files.contract import LabelFile


@dataclass(frozen=True)
class LabelFileEntry:
    """A kind of label file. `open` answers None for a file that only ends like one."""

    title: str
    endings: tuple[str, ...]  # of names, in small letters
    open: "Callable[[Path], LabelFile | None]"  # raises FileRefused
    fits: "Callable[[Path], bool] | None" = None  # by content, where the ending does not say it
    lonely: bool = False  # by its name it is nothing else, so that it counts beside its image too
    starts: str = ""  # how names start besides, in small letters


LABEL_FILES: dict[str, LabelFileEntry] = {
    "bids": LabelFileEntry(
        "a BIDS derivative",
        ("_dseg.nii", "_dseg.nii.gz", "_mask.nii", "_mask.nii.gz"),
        LazyFunction("annotator.exchange.label_files.bids:open_bids"),
        lonely=True,
        starts="sub-",
    ),
    "monailabel": LabelFileEntry(
        "a studies folder of MONAI Label",
        ("datastore_v2.json",),
        LazyFunction("annotator.exchange.label_files.monai_label:open_datastore"),
        lonely=True,
    ),
    "seg.nrrd": LabelFileEntry(
        "a segmentation of 3D Slicer",
        (".seg.nrrd",),
        LazyFunction("annotator.exchange.label_files.slicer:open_segments"),
        lonely=True,
    ),
    "omezarr": LabelFileEntry(
        "labels of OME-Zarr",
        (".zarr",),
        LazyFunction("annotator.exchange.label_files.ome_zarr:open_labels"),
        lonely=True,
    ),
    "coco": LabelFileEntry(
        "COCO JSON", (".json",), LazyFunction("annotator.exchange.label_files.coco:open_coco")
    ),
    "labelme": LabelFileEntry(
        "labelme JSON", (".json",), LazyFunction("annotator.exchange.label_files.labelme:open_labelme")
    ),
    "labelstudio": LabelFileEntry(
        "Label Studio JSON",
        (".json",),
        LazyFunction("annotator.exchange.label_files.label_studio:open_tasks"),
    ),
    "cvat": LabelFileEntry(
        "CVAT XML", (".xml",), LazyFunction("annotator.exchange.label_files.cvat:open_cvat")
    ),
    "yolo": LabelFileEntry(
        "YOLO text files", (".txt",), LazyFunction("annotator.exchange.label_files.yolo:open_yolo")
    ),
    "geojson": LabelFileEntry(
        "GeoJSON of QuPath",
        (".geojson",),
        LazyFunction("annotator.exchange.label_files.geojson:open_geojson"),
    ),
    "imagej": LabelFileEntry(
        "regions of ImageJ",
        (".zip", ".roi"),
        LazyFunction("annotator.exchange.label_files.imagej:open_regions"),
    ),
    "cellpose": LabelFileEntry(
        "a file of Cellpose",
        ("_seg.npy",),
        LazyFunction("annotator.exchange.label_files.cellpose:open_cellpose"),
        lonely=True,
    ),
    "dicom-seg": LabelFileEntry(
        "DICOM-SEG",
        ("",),
        LazyFunction("annotator.exchange.label_files.dicom_seg:open_segmentation"),
        fits=LazyFunction("annotator.exchange.label_files.dicom_kind:is_segmentation"),
    ),
    "rtstruct": LabelFileEntry(
        "RTSTRUCT",
        ("",),
        LazyFunction("annotator.exchange.label_files.rtstruct:open_structure_set"),
        fits=LazyFunction("annotator.exchange.label_files.dicom_kind:is_structure_set"),
    ),
}


def kinds_of(path: Path) -> list[str]:
    """What a file could be by its name, DICOM by its content; the surest first."""
    name = path.name.lower()
    found = [
        kind
        for kind, entry in LABEL_FILES.items()
        if name.endswith(entry.endings) and name.startswith(entry.starts) and not entry.fits
    ]
    if found or not _like_dicom(name):
        return found
    return [kind for kind, entry in LABEL_FILES.items() if entry.fits and entry.fits(path)]


def _like_dicom(name: str) -> bool:
    return name.endswith((".dcm", ".dicom", ".ima")) or "." not in name


def is_about_series(path: Path) -> bool:
    """DICOM that says something about a series, instead of being one."""
    return any(LABEL_FILES[kind].fits is not None for kind in kinds_of(path))


def is_lonely(path: Path) -> bool:
    return any(LABEL_FILES[kind].lonely for kind in kinds_of(path))
