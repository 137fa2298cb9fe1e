"""A mask file as label events: values become classes of the project, every slice that is known is complete."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.import_act import AUTHOR
from annotator.exchange.masks.codes import take_code
from annotator.exchange.masks.earlier import (
    ImportedMask,
    NewerMask,
    Union,
    imported_labels,
    origin_of,
    same_origin,
    unite,
)
from annotator.exchange.masks.meaning import MaskMeaning, Meaning
from annotator.exchange.masks.object_classes import become_objects
from annotator.exchange.masks.survey import read_mask, values_in
from annotator.exchange.masks.value_names import clean_name
from storage.arrays import BACKGROUND, MAX_CLASS, UNLABELLED, Patch, SliceRef, box_around
from storage.class_values import HIGHEST_VALUE
from storage.events.revoking import member
from storage.fold import fold
from storage.formats import FileRefused, grid_of_image, lay_on
from storage.rows import ImageRow, LabelRow, NewLabel
from storage.store import Store

MOST_OBJECTS = 65535


@dataclass(frozen=True)
class MaskSource:
    """A mask file to import, and how it is told."""

    path: Path
    shown: str
    origin: str  # where it lies, with as many folders as are known
    batch: str = ""  # names the import
    objects: Path | None = None  # a second file with the numbers of its objects
    author: str = ""  # who drew it, where its file says so

    @property
    def prompts(self) -> dict[str, Any]:
        """What its labels keep of where they came from."""
        by = {"by": self.author} if self.author else {}
        return {"file": self.shown, "from": self.origin, "import": self.batch, **by}


@dataclass(frozen=True)
class MaskOutcome:
    events: int  # label events that were added; 0 where all of it was there already
    union: Union | None = None  # what became of earlier masks of this image

    @property
    def replaced(self) -> bool:
        return self.union is not None and bool(self.union.replaced)


@dataclass(frozen=True)
class ImportedBefore:
    """An image that has imported labels, as a look sees it."""

    row: ImageRow
    before: list[LabelRow]  # what imports said of it
    classes: Mapping[str, int]  # the project's, by name


@dataclass(frozen=True)
class _Saying:
    """A mask whose labels are to be written, and what is kept of where they came from."""

    mask: ImportedMask
    prompts: dict[str, Any] = field(default_factory=dict)


def import_mask(store: Store, image: ImageRow, source: MaskSource, meaning: MaskMeaning) -> MaskOutcome:
    """Add the label events of a mask file, in place of what the same file and imports of its classes said before.

    What people drew themselves stays, and so do other classes of other masks. Raises FileRefused.
    """
    read = _read(image, source)
    there = {row.id for row in store.classes()}
    ids = _class_ids(
        store, {v: one for v, one in read.meanings(meaning).items() if one.kind == "class"}, meaning
    )
    mask = read.as_classes(meaning, ids)
    labels = store.labels(image.id)
    before = imported_labels(labels)
    key = _key(image, mask)
    if _is_said(source, key, before, mask):
        return MaskOutcome(0)
    known = {row.name: row.id for row in store.classes()}
    spoken = {known[name] for name in _names(meaning) if name in known}
    union = unite(image, NewerMask(mask, source.origin, source.batch, spoken), before)
    act = next(act for n in range(10_000) if store.find_label(act := f"{key}{n:04}") is None)
    theirs = _drawn_by_people(image, [label for label in labels if label not in before])
    events = [event for said in _sayings(union, source) for event in _events(image, said, theirs)]
    if not events:
        return MaskOutcome(0)
    numbered = [replace(event, client_id=member(act, n)) for n, event in enumerate(events)]
    store.replace_labels(union.revoked, numbered, act=act)
    if mask.instances is not None:
        become_objects(store, there, mask.classes, mask.instances)
    return MaskOutcome(len(events), union)


def foresee(image: ImportedBefore, source: MaskSource, meaning: MaskMeaning) -> Union:
    """What an import of this mask would do to those before it; nothing is written. Raises FileRefused."""
    names = dict(image.classes)
    free = iter(sorted(set(range(1, MAX_CLASS + 1)) - set(names.values())))
    for name in _names(meaning):
        names[name] = names.get(name) or next(free, MAX_CLASS)
    read = _read(image.row, source)
    said = read.meanings(meaning)
    ids = {v: names[clean_name(one.name)] for v, one in said.items() if one.kind == "class"}
    mask = read.as_classes(meaning, ids)
    if _is_said(source, _key(image.row, mask), image.before, mask):
        return Union(mask)
    spoken = {names[name] for name in _names(meaning)}
    return unite(image.row, NewerMask(mask, source.origin, source.batch, spoken), image.before)


@dataclass(frozen=True)
class _ReadMask:
    """A mask file on its image's grid."""

    path: Path
    values: NDArray[np.unsignedinteger]  # (Z, Y, X)
    numbers: NDArray[np.unsignedinteger] | None  # (Z, Y, X) of objects, where a second file has them
    present: tuple[int, ...]

    def meanings(self, meaning: MaskMeaning) -> dict[int, Meaning]:
        return {value: meaning.of(self.path, value) for value in self.present}

    def as_classes(self, meaning: MaskMeaning, ids: Mapping[int, int]) -> ImportedMask:
        """`ids`: the class of each value that means one."""
        kinds = {"void": UNLABELLED, "background": BACKGROUND}
        said = {v: kinds.get(one.kind, ids.get(v, 0)) for v, one in self.meanings(meaning).items()}
        classes = _translated(self.values, said)
        numbers = self.values if self.numbers is None and meaning.objects else self.numbers
        if numbers is None:
            return ImportedMask(classes, None)
        inside = (classes != BACKGROUND) & (classes != UNLABELLED)
        return ImportedMask(classes, _object_numbers(np.where(inside, numbers, 0)))


def _translated(values: NDArray[np.unsignedinteger], said: Mapping[int, int]) -> NDArray[np.uint8]:
    """Every value of (Z, Y, X) as `said`, which knows all of them."""
    keys = np.array(sorted(said), values.dtype)
    table = np.array([said[int(key)] for key in keys], np.uint8)
    if values.dtype.itemsize > 2:
        return table[np.searchsorted(keys, values)]
    whole = np.zeros(65536, np.uint8)
    whole[keys] = table
    return whole[values]


def _object_numbers(numbers: NDArray[np.unsignedinteger]) -> NDArray[np.uint16]:
    """As they are; counted anew from 1 where they are larger than an image's can be. Raises FileRefused."""
    if numbers.max() <= MOST_OBJECTS:
        return numbers.astype(np.uint16)
    there, ranks = np.unique(np.append(numbers.ravel(), numbers.dtype.type(0)), return_inverse=True)
    if len(there) - 1 > MOST_OBJECTS:
        raise FileRefused(
            f"it numbers {len(there) - 1:,} objects and an image holds {MOST_OBJECTS:,}; cut the image into parts"
        )
    return ranks[:-1].reshape(numbers.shape).astype(np.uint16)


def _read(image: ImageRow, source: MaskSource) -> _ReadMask:
    numbers = _on_grid(image, source.objects) if source.objects else None
    values = _on_grid(image, source.path)
    return _ReadMask(source.path, values, numbers, tuple(int(v) for v in values_in(values)))


def _on_grid(image: ImageRow, path: Path) -> NDArray[np.unsignedinteger]:
    """(Z, Y, X) values of a mask file on the image's own grid."""
    mask = read_mask(path)
    return lay_on(mask.values, mask.grid, grid_of_image(image.geometry, image.shape, image.spacing_mm))


def _key(image: ImageRow, mask: ImportedMask) -> str:
    """The same for the same mask of the same image; 24 digits, so that a count and a slice still fit behind it."""
    digest = hashlib.blake2b(f"{image.id}".encode() + mask.classes.tobytes(), digest_size=12)
    digest.update(b"" if mask.instances is None else mask.instances.tobytes())
    return f"i{digest.hexdigest()}"


def _is_said(source: MaskSource, key: str, before: list[LabelRow], mask: ImportedMask) -> bool:
    """Whether this very mask is what its file said last, and nothing of it was replaced, merged or deleted since."""
    own = [label for label in before if label.client_id.startswith(key)]
    place = [label for label in before if same_origin(origin_of(label), source.origin)]
    changed = {value for label in own for value, _ in label.relabelled}
    untouched = not changed or not np.isin(mask.classes, sorted(changed)).any()
    return bool(own) and untouched and (len(own) == len(before) or own == place)


def _names(meaning: MaskMeaning) -> set[str]:
    """Of the classes that masks of one meaning say, in any of the files."""
    own = {name for names in meaning.own.values() for name in names.values()}
    named = {one.name for one in meaning.values.values() if one.kind == "class"}
    return {clean_name(name) for name in own | named}


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
        take_code(store, known[named[value]], said[value].code)
        if meaning.fixed and not meaning.objects and 0 < value <= HIGHEST_VALUE:
            store.class_values.fix(known[named[value]], value)
    return {value: known[name] for value, name in named.items()}


def _drawn_by_people(image: ImageRow, labels: list[LabelRow]) -> NDArray[np.bool_] | None:
    """(Z, Y, X) where people drew something themselves, and imports keep silent; None where they drew nothing."""
    drawn = [label for label in labels if label.kind == "patch"]
    return fold(image.shape, drawn).classes != UNLABELLED if drawn else None


def _sayings(union: Union, source: MaskSource) -> Iterator[_Saying]:
    """What is said anew of earlier masks, then the newer one, which lies on top."""
    for again in union.again:
        yield _Saying(again.mask, again.earlier.labels[0].prompts)
    yield _Saying(union.mask, source.prompts)


def _events(image: ImageRow, said: _Saying, theirs: NDArray[np.bool_] | None) -> Iterable[NewLabel]:
    """Per slice of axis 0 a patch, and that the slice is complete where nothing of it is unknown. Not numbered yet."""
    silent = said.mask.silent
    both = theirs if silent is None else silent if theirs is None else silent | theirs
    mask = replace(said.mask, silent=both)
    for index, patch in _patches(image, mask):
        objects = 0 if patch is None or patch.instances is None else int(patch.instances.max())
        yield NewLabel(
            ref=SliceRef(image.id, 0, index),
            patch=patch,
            client_id="-",
            author=AUTHOR,
            source="imported",
            prompts=said.prompts,
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
    box = box_around(spoken)
    if box is None:
        return None
    inside = (slice(box.r0, box.r1), slice(box.c0, box.c1))
    classes = np.ascontiguousarray(mask.classes[index][inside])
    instances = None if mask.instances is None else np.ascontiguousarray(mask.instances[index][inside])
    if mask.silent is not None:
        classes = np.where(mask.silent[index][inside], np.uint8(UNLABELLED), classes)
    return Patch(box, classes, instances)
