"""Our own exports among masks: where they hold the same labels in several formats, those count that lost nothing."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from annotator.exchange.masks.value_names import PROVENANCE, export_record

FAITHFUL = ("nifti", "png")  # every voxel with its value, and unknown ones apart from background


def without_repeats(files: Sequence[Path]) -> list[Path]:
    """These files but those of an export that say again, and less well, what its masks say."""
    roots = [file.parent for file in files if file.name == PROVENANCE and _is_covered(file)]
    return [file for file in files if not any(_is_repeat(root, file) for root in roots)]


def _is_covered(record_file: Path) -> bool:
    """Whether every image of an export has a mask that lost nothing."""
    record = export_record(record_file)
    images = record["images"] if record else []
    return bool(images) and all(any(_folder(name) in FAITHFUL for name in image["files"]) for image in images)


def _is_repeat(root: Path, file: Path) -> bool:
    if not file.is_relative_to(root):
        return False
    below = file.relative_to(root).as_posix()
    return "/" in below and _folder(below) not in FAITHFUL


def _folder(name: str) -> str:
    return PurePosixPath(name).parts[0]
