"""Masks that a list puts with their images: MONAI's data lists, and the store of a MONAI Label server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotator.exchange.import_files import FileListing
from annotator.exchange.masks.folders import Placed
from annotator.exchange.tables import TableFault, read_text

LIST = re.compile(r"data[-_ ]?(list|set).*\.json|.*(datalist|folds?)\.json", re.IGNORECASE)
PARTS = ("training", "train", "validation", "val", "test")
STORE, LABELS = "datastore_v2.json", "labels"


def listed(found: FileListing) -> Iterator[Placed]:
    """Of data lists: {"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}."""
    there = set(found.files)
    seen: set[Path] = set()
    for file in found.files:
        if not LIST.fullmatch(file.name):
            continue
        for image, label in _pairs(file):
            mask = _below(file.parent, label)
            if mask in there and mask not in seen and _below(file.parent, image) in there:
                seen.add(mask)
                yield Placed(mask, Path(image).as_posix(), file.parent, f"by {file.name}")


def stored(found: FileListing) -> set[Path]:
    """Every label in the folder of a MONAI Label server: its store says what each is, so that none is an image."""
    folders = [file.parent / LABELS for file in found.files if file.name == STORE]
    return {file for file in found.files if any(file.is_relative_to(folder) for folder in folders)}


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    """(image, label) of each entry; of an image in several files the first."""
    content = _content(file)
    for part in PARTS:
        entries = content.get(part)
        for one in entries if isinstance(entries, list) else ():
            if not isinstance(one, dict):
                continue
            image, label = one.get("image"), one.get("label")
            image = image[0] if isinstance(image, list) and image else image
            if isinstance(image, str) and isinstance(label, str):
                yield image, label


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except (TableFault, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _below(folder: Path, name: str) -> Path:
    """As the file listing has it: without "." parts."""
    return folder.joinpath(*(part for part in Path(name).parts if part != "."))
