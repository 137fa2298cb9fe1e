"""Folders of masks: those beside a folder of images, and those among images of the same names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from annotator.exchange.import_files import FileListing, companion
from annotator.exchange.matching import bare_name

IMAGE_FOLDERS = {
    **dict.fromkeys(("labels", "masks", "label", "mask"), ("images", "image")),
    "labelstr": ("imagestr",),
    "labelsts": ("imagests",),
    **dict.fromkeys(("segmentationclass", "segmentationobject"), ("jpegimages", "images", "image")),
}
VOC_CLASSES, VOC_OBJECTS = "SegmentationClass", "SegmentationObject"


@dataclass(frozen=True)
class Placed:
    """A file in a folder of masks."""

    file: Path
    below: str  # its path below that folder
    images: Path  # the folder of the images that it may belong to
    why: str = ""  # it belongs there, where its name does not say it


def placed_beside(found: FileListing) -> Iterator[Placed]:
    """Files in a folder labels (masks, labelsTr) that has a folder images (imagesTr) beside it, or that lies among
    images of the same names."""
    real, around = _folders(found), _among_images(found)
    for file in found.files:
        parts = file.parent.relative_to(found.root).parts
        lowered = tuple(part.lower() for part in parts)
        for at in reversed(range(len(parts))):
            beside = (real.get((*lowered[:at], name)) for name in IMAGE_FOLDERS.get(lowered[at], ()))
            images = next(filter(None, beside), around.get(found.root.joinpath(*parts[: at + 1])))
            if images is not None:
                below = PurePosixPath(*parts[at + 1 :], file.name).as_posix()
                yield Placed(file, below, images)
                break


def voc_objects(masks: Iterable[Path]) -> dict[Path, Path]:
    """Of Pascal VOC's folders: the mask of classes -> that of object numbers, which has the same name."""
    there = set(masks)
    pairs = ((mask, mask.parent.with_name(VOC_OBJECTS) / mask.name) for mask in there)
    return {mask: other for mask, other in pairs if mask.parent.name == VOC_CLASSES and other in there}


def _among_images(found: FileListing) -> dict[Path, Path]:
    """Folders called as those of masks -> the folder around them, where it holds a file of the same bare name."""
    names = {(file.parent, bare_name(file.name)) for file in found.files if not companion(file)}
    folders = {
        file.parent
        for file in found.files
        if file.parent != found.root
        and file.parent.name.lower() in IMAGE_FOLDERS
        and (file.parent.parent, bare_name(file.name)) in names
    }
    return {folder: folder.parent for folder in folders}


def _folders(found: FileListing) -> dict[tuple[str, ...], Path]:
    """Every folder that holds something, by its path in small letters."""
    folders: dict[tuple[str, ...], Path] = {}
    for folder in {file.parent for file in found.files}:
        while folder != found.root and folder.is_relative_to(found.root):
            folders[tuple(part.lower() for part in folder.relative_to(found.root).parts)] = folder
            folder = folder.parent
    return folders
