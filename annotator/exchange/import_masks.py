"""Existing masks as label events: values become classes of the project, every slice is said to be complete."""

import csv
import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import MAX_CLASS, Box, Patch, SliceRef
from storage.formats import FileRefused, grid_of_image, lay_on, read_labels, stem
from storage.rows import ImageRow, NewLabel
from storage.store import Store

AUTHOR = "import"  # not a person: nobody's undo takes an imported mask apart
NAMESPACE = uuid.UUID("6d5f3f0e-0d0c-4d0b-9a52-51f1c4f0a7f1")
OBJECT = "object"  # the class of masks that number objects and name none
MANY = 20  # more consecutive values than this are object numbers, not classes
TABLES = ("labels.csv", "objects.csv", "dataset.json")


@dataclass(frozen=True)
class Names:
    """What a data set says about its values."""

    classes: dict[int, str] = field(default_factory=dict)  # value -> class, in every mask
    objects: dict[tuple[str, int], str] = field(
        default_factory=dict
    )  # (file stem, value) -> class of that object


@dataclass(frozen=True)
class ImportedMask:
    """A mask on its image's grid, in display order, in the classes of the project."""

    classes: NDArray[np.uint8]  # (Z, Y, X)
    instances: NDArray[np.uint16] | None  # (Z, Y, X)


def import_mask(store: Store, image: ImageRow, path: Path, shown: str, *, objects: bool | None) -> int:
    """Add the label events of a mask file; how many, 0 where they are there already. Raises FileRefused.

    `objects`: whether values number objects instead of naming classes; None decides by the values.
    """
    values, own = read_labels(path)
    values = lay_on(values, own, grid_of_image(image.geometry, image.shape, image.spacing_mm))
    mask = _as_classes(store, values, path, image, objects=objects)
    key = hashlib.blake2b(values.tobytes() + bytes(mask.instances is not None), digest_size=16).hexdigest()
    events = list(_events(image, mask, key, shown))
    if store.find_label(events[0].client_id) is not None:
        return 0
    store.add_labels(events)
    return len(events)


def _as_classes(
    store: Store, values: NDArray[Any], path: Path, image: ImageRow, *, objects: bool | None
) -> ImportedMask:
    present = [int(v) for v in np.unique(values) if v]
    names = _names_near(path)
    own = {v: names.objects[stem(path), v] for v in present if (stem(path), v) in names.objects}
    if objects is None:
        objects = bool(own) or (
            not image.is_volume and not names.classes and _look_like_objects(present, values)
        )
    if objects:
        named = {v: own.get(v, OBJECT) for v in present}
        return ImportedMask(_mapped(values, _class_ids(store, named)), values.astype(np.uint16))
    named = {v: names.classes.get(v, str(v)) for v in present}
    if present == [255] and not names.classes:
        named = {255: OBJECT}  # the usual black and white mask
    return ImportedMask(_mapped(values, _class_ids(store, named)), None)


def _look_like_objects(present: list[int], values: NDArray[Any]) -> bool:
    """16-bit masks number objects; so do more than MANY consecutive values."""
    consecutive = bool(present) and present == list(range(1, len(present) + 1))
    return bool(present) and (values.dtype.itemsize > 1 or (consecutive and len(present) > MANY))


def _class_ids(store: Store, named: dict[int, str]) -> dict[int, int]:
    """Value -> class id; classes that are missing are added under their names."""
    known = {row.name: row.id for row in store.classes()}
    missing = {_clean(name) for name in named.values()} - set(known)
    if len(known) + len(missing) > MAX_CLASS:
        raise FileRefused(
            f"it brings {len(missing)} new classes and a project holds {MAX_CLASS}; "
            "merge classes, or say that its values are object numbers"
        )
    for value in sorted(named):
        name = _clean(named[value])
        if name not in known:
            known[name] = store.add_class(name).id
    return {value: known[_clean(name)] for value, name in named.items()}


def _mapped(values: NDArray[Any], ids: dict[int, int]) -> NDArray[np.uint8]:
    table = np.zeros(65536, np.uint8)
    for value, class_id in ids.items():
        table[value] = class_id
    mapped: NDArray[np.uint8] = table[values]
    return mapped


def _events(image: ImageRow, mask: ImportedMask, key: str, shown: str) -> Iterable[NewLabel]:
    """Per slice of axis 0 a patch around what is drawn, and that the slice is complete: a mask is dense."""
    for index in range(image.shape[0]):
        ref = SliceRef(image.id, 0, index)
        if (patch := _patch(mask, index)) is not None:
            number = 0 if patch.instances is None else int(patch.instances.max())
            yield _event(ref, patch, f"{image.id}/{index}/patch/{key}", shown, instance=number)
        yield _event(ref, None, f"{image.id}/{index}/complete/{key}", shown)


def _event(ref: SliceRef, patch: Patch | None, key: str, shown: str, *, instance: int = 0) -> NewLabel:
    return NewLabel(
        ref=ref,
        patch=patch,
        client_id=uuid.uuid5(NAMESPACE, key).hex,  # the same mask again makes the same events
        author=AUTHOR,
        source="imported",
        prompts={"file": shown} if shown else {},
        instance=instance,
    )


def _patch(mask: ImportedMask, index: int) -> Patch | None:
    classes = mask.classes[index]
    rows, columns = np.flatnonzero(classes.any(axis=1)), np.flatnonzero(classes.any(axis=0))
    if not len(rows):
        return None
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    inside = (slice(box.r0, box.r1), slice(box.c0, box.c1))
    instances = None if mask.instances is None else np.ascontiguousarray(mask.instances[index][inside])
    return Patch(box, np.ascontiguousarray(classes[inside]), instances)


def _names_near(path: Path) -> Names:
    """From labels.csv, objects.csv or dataset.json in the mask's folder or the two above it."""
    for folder in list(path.parents)[:3]:
        tables = [folder / name for name in TABLES if (folder / name).is_file()]
        if tables:
            return _names_in(tuple((table, table.stat().st_mtime_ns) for table in tables))
    return Names()


@lru_cache(maxsize=4)  # every mask of a folder asks for the same tables
def _names_in(tables: tuple[tuple[Path, int], ...]) -> Names:
    """What tables, given with the times of their last change, say."""
    classes: dict[int, str] = {}
    objects: dict[tuple[str, int], str] = {}
    for table, _ in tables:
        try:
            if table.suffix == ".json":
                classes |= _from_dataset_json(json.loads(table.read_text("utf-8")))
            elif table.stem == "labels":
                classes |= {int(row["value"]): row["name"] for row in _rows(table)}
            else:
                rows = _rows(table)
                objects |= {(stem(Path(row["file"])), int(row["value"])): row["class"] for row in rows}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # another program's table of that name: values keep their numbers
    return Names({v: n for v, n in classes.items() if n}, {k: n for k, n in objects.items() if n})


def _from_dataset_json(content: dict[str, Any]) -> dict[int, str]:
    """{"1": "liver"} as the Medical Segmentation Decathlon has it, or {"liver": 1} as nnU-Net has."""
    named = {}
    for key, value in content.get("labels", {}).items():
        number, name = (value, key) if isinstance(value, int) else (int(key), value)
        named[number] = str(name)
    return named


def _rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _clean(name: str) -> str:
    """As the store keeps class names."""
    printable = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(printable.split())[:80].strip() or OBJECT
