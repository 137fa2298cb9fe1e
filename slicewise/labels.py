"""An array of labels as label events of whoever runs this: of each slice, what is said otherwise than before."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.access.accounts import local_user
from annotator.exchange.import_act import as_one_act
from storage.arrays import BACKGROUND, UNLABELLED, Patch, SliceRef, box_around
from storage.events.revoking import member
from storage.fold import Folded, fold
from storage.rows import ImageRow, NewLabel
from storage.store import Store

MOST_OBJECTS = 65535
NOTE = {"tool": "Python"}


@dataclass(frozen=True)
class SpokenLabels:
    """As somebody gives them; see `ProjectImage.add_labels`."""

    classes: NDArray[Any]
    objects: NDArray[Any] | None = None
    names: Mapping[int, str] | None = None


@dataclass(frozen=True)
class _Said:
    """(Z, Y, X) each."""

    classes: NDArray[np.uint8]  # of the project, UNLABELLED where nothing is said
    objects: NDArray[np.uint16] | None


def add_labels(store: Store, image: ImageRow, spoken: SpokenLabels) -> int:
    """How many slices changed. All or nothing; durable when it returns. Raises ValueError."""
    classes, objects = _whole_numbers(image, spoken.classes), None
    if spoken.objects is not None:
        objects = _objects(_whole_numbers(image, spoken.objects))
    with as_one_act(store, image.name, "labels from Python"):
        said = _Said(_as_classes(store, classes, spoken.names), objects)
        events = list(_events(image, said, fold(image.shape, store.labels(image.id))))
        if events:
            store.add_labels(events)
    return len({event.ref for event in events})


def _whole_numbers(image: ImageRow, array: NDArray[Any]) -> NDArray[Any]:
    """(Z, Y, X)."""
    given = np.asarray(array)
    if given.ndim == 2 and image.shape[0] == 1:
        given = given[None]
    if given.shape != image.shape:
        raise ValueError(
            f"{image.name!r} has {image.shape} voxels (z, y, x), and the labels {np.shape(array)}"
        )
    if given.dtype.kind not in "bui":
        raise ValueError(f"labels are whole numbers, got {given.dtype}; convert them first")
    return given


def _objects(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    if numbers.min() < 0 or numbers.max() > MOST_OBJECTS:
        raise ValueError(
            f"object numbers lie between 0 and {MOST_OBJECTS}, got {numbers.min()} to {numbers.max()}"
        )
    return numbers.astype(np.uint16)


def _as_classes(store: Store, values: NDArray[Any], names: Mapping[int, str] | None) -> NDArray[np.uint8]:
    """(Z, Y, X) ids of the project's classes; those of `names` that are missing are added."""
    known = {row.name: row.id for row in store.classes()}
    meant = {BACKGROUND: BACKGROUND, UNLABELLED: UNLABELLED}
    if names is None:
        meant |= {value: value for value in known.values()}
    present = np.unique(values).tolist()
    if unknown := [v for v in present if v not in meant and (names is None or v not in names)]:
        raise ValueError(f"the labels hold {unknown[0]}, which is no class; {_remedy(known)}")
    for value, name in (names or {}).items():
        if value in present:
            known[name] = known.get(name) or store.add_class(name).id
            meant[value] = known[name]
    out = np.empty(values.shape, np.uint8)
    for value in present:
        out[values == value] = meant[value]
    return out


def _remedy(known: Mapping[str, int]) -> str:
    there = ", ".join(f"{value} {name}" for name, value in known.items()) or "none yet"
    return f"say what it is with names={{VALUE: 'NAME'}}, or take the value of a class: {there}"


def _events(image: ImageRow, said: _Said, before: Folded) -> Iterator[NewLabel]:
    """Of each slice along z a patch, and that it is complete where all of it is said."""
    known, act, number = before.known(), secrets.token_hex(12), 0
    for index, classes in enumerate(said.classes):
        whole = not (classes == UNLABELLED).any()
        drawn = (
            np.where(known[index] == UNLABELLED, np.uint8(BACKGROUND), known[index])
            if whole
            else known[index]
        )
        differs = (classes != UNLABELLED) & (classes != drawn)
        objects = None
        if said.objects is not None:
            objects = np.where((classes == BACKGROUND) | (classes == UNLABELLED), 0, said.objects[index])
            had = 0 if before.instances is None else before.instances[index]
            differs |= (classes != UNLABELLED) & (objects != had)
        patches = [_patch(classes, objects, differs)] if differs.any() else []
        if whole and (known[index] == UNLABELLED).any():
            patches.append(None)
        for patch in patches:
            yield NewLabel(
                SliceRef(image.id, 0, index),
                patch,
                member(act, number),
                local_user(),
                source="imported",
                prompts=NOTE,
            )
            number += 1


def _patch(
    classes: NDArray[np.uint8], objects: NDArray[np.uint16] | None, differs: NDArray[np.bool_]
) -> Patch | None:
    """Of (Y, X) what differs, in the smallest rectangle that holds it."""
    box = box_around(differs)
    if box is None:
        return None
    inside = (slice(box.r0, box.r1), slice(box.c0, box.c1))
    said = np.where(differs[inside], classes[inside], np.uint8(UNLABELLED))
    numbers = None if objects is None else np.where(differs[inside], objects[inside], np.uint16(0))
    return Patch(box, said, numbers)
