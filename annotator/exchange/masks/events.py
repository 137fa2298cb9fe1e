"""A mask file as label events: values become classes of the project, every slice that is known is complete."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.import_act import AUTHOR
from annotator.exchange.masks.meaning import MaskMeaning, Meaning
from annotator.exchange.masks.survey import read_mask
from annotator.exchange.masks.value_names import clean_name
from storage.arrays import BACKGROUND, MAX_CLASS, UNLABELLED, Box, Patch, SliceRef
from storage.fold import fold
from storage.formats import FileRefused, grid_of_image, lay_on
from storage.rows import ImageRow, LabelRow, NewLabel
from storage.store import Store


@dataclass(frozen=True)
class ImportedMask:
    """A mask on its image's grid, in display order, in the classes of the project."""

    classes: NDArray[np.uint8]  # (Z, Y, X), UNLABELLED where nobody knows
    instances: NDArray[np.uint16] | None  # (Z, Y, X)
    silent: NDArray[np.bool_] | None = None  # (Z, Y, X) where people spoke for themselves


@dataclass(frozen=True)
class MaskSource:
    """A mask file to import, and how it is told."""

    path: Path
    shown: str
    batch: str  # names the import
    objects: Path | None = None  # a second file with the numbers of its objects


@dataclass(frozen=True)
class MaskOutcome:
    events: int  # label events that were added; 0 where all of it was there already
    replaced: bool = False  # whether an earlier import of this image was taken back for it


def import_mask(store: Store, image: ImageRow, source: MaskSource, meaning: MaskMeaning) -> MaskOutcome:
    """Add the label events of a mask file in place of those that an earlier import made for this image.

    What people drew themselves stays. Raises FileRefused.
    """
    values = _on_grid(image, source.path)
    numbers = _on_grid(image, source.objects) if source.objects else None
    mask = _as_classes(store, values, numbers, source.path, meaning)
    labels = store.labels(image.id)
    before = [label for label in labels if label.author == AUTHOR and label.source == "imported"]
    key = _key(image, mask)
    if before and all(label.client_id.startswith(key) for label in before):
        return MaskOutcome(0)
    mask = _without_peoples(mask, image, [label for label in labels if label not in before])
    act = next(act for n in range(10_000) if store.find_label(act := f"{key}{n:04}") is None)
    events = list(_events(image, mask, act, source))
    if not events:
        return MaskOutcome(0)
    store.replace_labels(before, events, act=act)
    return MaskOutcome(len(events), replaced=bool(before))


def _on_grid(image: ImageRow, path: Path) -> NDArray[np.unsignedinteger]:
    """(Z, Y, X) values of a mask file on the image's own grid."""
    mask = read_mask(path)
    return lay_on(mask.values, mask.grid, grid_of_image(image.geometry, image.shape, image.spacing_mm))


def _key(image: ImageRow, mask: ImportedMask) -> str:
    """The same for the same mask of the same image; 24 digits, so that a count and a slice still fit behind it."""
    digest = hashlib.blake2b(f"{image.id}".encode() + mask.classes.tobytes(), digest_size=12)
    digest.update(b"" if mask.instances is None else mask.instances.tobytes())
    return f"i{digest.hexdigest()}"


def _as_classes(
    store: Store,
    values: NDArray[np.unsignedinteger],
    numbers: NDArray[np.unsignedinteger] | None,
    path: Path,
    meaning: MaskMeaning,
) -> ImportedMask:
    present = [int(v) for v in np.unique(values)]
    meanings = {v: meaning.of(path, v) for v in present}
    ids = _class_ids(store, {v: said for v, said in meanings.items() if said.kind == "class"}, meaning)
    table = np.zeros(65536, np.uint8)
    for value, said in meanings.items():
        table[value] = {"class": ids.get(value, 0), "void": UNLABELLED, "background": BACKGROUND}[said.kind]
    classes: NDArray[np.uint8] = table[values]
    if numbers is None and meaning.objects:
        numbers = values
    if numbers is None:
        return ImportedMask(classes, None)
    inside = (classes != BACKGROUND) & (classes != UNLABELLED)
    return ImportedMask(classes, np.where(inside, numbers, 0).astype(np.uint16))


def _class_ids(store: Store, said: dict[int, Meaning], meaning: MaskMeaning) -> dict[int, int]:
    """Value -> class id; classes that are missing are added, and keep the values that the data set fixes."""
    named = {value: clean_name(one.name) for value, one in said.items()}
    known = {row.name: row.id for row in store.classes()}
    missing = set(named.values()) - set(known)
    if len(known) + len(missing) > MAX_CLASS:
        raise FileRefused(
            f"it brings {len(missing)} new classes and a project holds {MAX_CLASS}; "
            "merge classes, or say that its values are object numbers"
        )
    for value in sorted(named):
        if named[value] not in known:
            known[named[value]] = store.add_class(named[value], said[value].color).id
        if meaning.fixed and not meaning.objects and value:
            store.class_values.fix(known[named[value]], value)
    return {value: known[name] for value, name in named.items()}


def _without_peoples(mask: ImportedMask, image: ImageRow, labels: list[LabelRow]) -> ImportedMask:
    """A mask that is silent wherever people drew something themselves."""
    drawn = [label for label in labels if label.kind == "patch"]
    if not drawn:
        return mask
    theirs = fold(image.shape, drawn).classes != UNLABELLED
    return replace(mask, silent=theirs)


def _events(image: ImageRow, mask: ImportedMask, act: str, source: MaskSource) -> Iterable[NewLabel]:
    """Per slice of axis 0 a patch, and that the slice is complete where nothing of it is unknown."""
    for number, (index, patch) in enumerate(_patches(image, mask)):
        objects = 0 if patch is None or patch.instances is None else int(patch.instances.max())
        yield NewLabel(
            ref=SliceRef(image.id, 0, index),
            patch=patch,
            client_id=act if number == 0 else f"{act}--{number}",
            author=AUTHOR,
            source="imported",
            prompts={"file": source.shown, "import": source.batch},
            instance=objects,
        )


def _patches(image: ImageRow, mask: ImportedMask) -> Iterator[tuple[int, Patch | None]]:
    """(slice, patch) of what is drawn, and (slice, None) of slices on which all else is background.

    A mask is dense: what it leaves at 0 is background. Where it is unknown somewhere, the patch has to say so.
    """
    for index in range(image.shape[0]):
        classes = mask.classes[index]
        unknown = classes == UNLABELLED
        spoken = ~unknown if unknown.any() else classes != BACKGROUND
        if (patch := _patch(mask, index, spoken)) is not None:
            yield index, patch
        if not unknown.any():
            yield index, None


def _patch(mask: ImportedMask, index: int, spoken: NDArray[np.bool_]) -> Patch | None:
    """What a mask says within the box around `spoken` (Y, X)."""
    spoken = spoken if mask.silent is None else spoken & ~mask.silent[index]
    rows, columns = np.flatnonzero(spoken.any(axis=1)), np.flatnonzero(spoken.any(axis=0))
    if not len(rows):
        return None
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    inside = (slice(box.r0, box.r1), slice(box.c0, box.c1))
    classes = np.ascontiguousarray(mask.classes[index][inside])
    instances = None if mask.instances is None else np.ascontiguousarray(mask.instances[index][inside])
    if mask.silent is not None:
        classes = np.where(mask.silent[index][inside], np.uint8(UNLABELLED), classes)
    return Patch(box, classes, instances)
