"""What earlier imports said of an image: what of it a newer mask replaces, and what stands beside it.

A mask replaces all that the same file said, and of other files the classes that its own import names. Their other
classes stay: an organ and its tumour may come from two folders. Where both claim a voxel, the later mask has it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.import_act import AUTHOR
from annotator.exchange.matching import path_parts
from learners.text import count_of
from storage.arrays import BACKGROUND, UNLABELLED
from storage.fold import fold
from storage.rows import ImageRow, LabelRow


@dataclass(frozen=True)
class ImportedMask:
    """A mask on its image's grid, in display order, in the classes of the project."""

    classes: NDArray[np.uint8]  # (Z, Y, X), UNLABELLED where nobody knows
    instances: NDArray[np.uint16] | None  # (Z, Y, X)
    silent: NDArray[np.bool_] | None = None  # (Z, Y, X) where people or other masks spoke for themselves


@dataclass(frozen=True)
class NewerMask:
    """A mask that comes in, and what its import says."""

    mask: ImportedMask
    origin: str
    batch: str  # names the import
    spoken: Collection[int]  # the classes that the import names


@dataclass(frozen=True)
class EarlierMask:
    """The living labels that one import of one file made of an image."""

    origin: str
    batch: str
    labels: tuple[LabelRow, ...]


@dataclass(frozen=True)
class SaidAgain:
    """What is left of an earlier mask beside a newer one, to be said anew."""

    earlier: EarlierMask
    mask: ImportedMask


@dataclass(frozen=True)
class Union:
    """How a newer mask goes together with those before it."""

    mask: ImportedMask  # the newer one: silent where an earlier one keeps a class
    revoked: tuple[LabelRow, ...] = ()
    again: tuple[SaidAgain, ...] = ()
    replaced: tuple[str, ...] = ()  # origins of which anything was taken back for its classes or as a whole
    beside: tuple[str, ...] = ()  # origins of which classes stay
    taken_over: int = 0  # voxels of another class before that are the newer mask's now


def imported_labels(labels: Iterable[LabelRow]) -> list[LabelRow]:
    return [label for label in labels if label.author == AUTHOR and label.source == "imported"]


def origin_of(label: LabelRow) -> str:
    """The place of the mask file that it came from, with as many folders as are known."""
    return str(label.prompts.get("from") or label.prompts.get("file") or "")


def same_origin(first: str, second: str) -> bool:
    """Whether two places of mask files mean one: as far as both name folders, they agree."""
    one, other = path_parts(first), path_parts(second)
    shared = min(len(one), len(other))
    return shared > 0 and one[-shared:] == other[-shared:]


def told(union: Union) -> str:
    """What becomes of earlier masks, for the look; "" where there are none."""
    others = [origin for origin in union.replaced if origin not in union.beside]
    parts = [f"it replaces {', '.join(others)}"] if others else []
    if union.beside:
        parts.append(f"it joins {', '.join(union.beside)}")
    if partly := [origin for origin in union.replaced if origin in union.beside]:
        parts.append(f"its classes replace those of {', '.join(partly)}")
    if union.taken_over:
        parts.append(taken_over(union))
    return "; ".join(parts)


def taken_over(union: Union) -> str:
    return f"{count_of(union.taken_over, 'voxel')} of other classes from {', '.join(union.beside)} become its own"


def unite(image: ImageRow, newer: NewerMask, before: Sequence[LabelRow]) -> Union:
    """`before`: the image's imported labels that live. Masks of two copies of the image in one import add up."""
    groups = _earlier(before)
    same = [group for group in groups if same_origin(group.origin, newer.origin)]
    union = Union(newer.mask, _labels(same), replaced=_origins(same))
    stays: list[ImportedMask] = []
    for group in (group for group in groups if group not in same):
        together = newer.batch != "" and group.batch == newer.batch
        union, left = _with(image, union, group, () if together else newer.spoken)
        stays += left
    return _beside(union, stays)


def _earlier(labels: Iterable[LabelRow]) -> list[EarlierMask]:
    """Oldest first."""
    groups: dict[tuple[str, str], list[LabelRow]] = {}
    for label in labels:
        groups.setdefault((origin_of(label), str(label.prompts.get("import", ""))), []).append(label)
    return [EarlierMask(origin, batch, tuple(rows)) for (origin, batch), rows in groups.items()]


def _with(
    image: ImageRow, union: Union, group: EarlierMask, spoken: Collection[int]
) -> tuple[Union, list[ImportedMask]]:
    """The union with what is left of one more mask of another file; that, if it has anything."""
    folded = fold(image.shape, group.labels)
    known = folded.known()
    left = known.copy()
    left[np.isin(known, sorted(spoken))] = BACKGROUND
    left[(union.mask.classes == UNLABELLED) & (left == BACKGROUND)] = UNLABELLED
    replaced = bool((_is_class(known) & ~_is_class(left)).any())
    if not _is_class(left).any():
        said = replace(union, revoked=union.revoked + group.labels)
        return (replace(said, replaced=(*said.replaced, group.origin)) if replaced else said), []
    mask = ImportedMask(left, folded.instances)
    union = replace(union, beside=(*union.beside, group.origin))
    if not np.array_equal(left, known):
        union = replace(
            union,
            revoked=union.revoked + group.labels,
            again=(*union.again, SaidAgain(group, mask)),
            replaced=(*union.replaced, group.origin) if replaced else union.replaced,
        )
    return union, [mask]


def _beside(union: Union, stays: Sequence[ImportedMask]) -> Union:
    """The newer mask keeps silent where one that stays has a class and it has none, and knows no more than they do."""
    if not stays:
        return union
    before = np.full_like(union.mask.classes, BACKGROUND)
    for mask in stays:
        np.copyto(before, mask.classes, where=mask.classes != BACKGROUND)
    unknown = np.logical_or.reduce([mask.classes == UNLABELLED for mask in stays])
    kept, ours = (
        np.logical_or.reduce([_is_class(mask.classes) for mask in stays]),
        _is_class(union.mask.classes),
    )
    classes = np.where(unknown & ~kept & ~ours, np.uint8(UNLABELLED), union.mask.classes)
    taken = int((ours & kept & (before != classes)).sum())
    return replace(union, mask=replace(union.mask, classes=classes, silent=kept & ~ours), taken_over=taken)


def _is_class(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (values != BACKGROUND) & (values != UNLABELLED)


def _labels(groups: Iterable[EarlierMask]) -> tuple[LabelRow, ...]:
    return tuple(label for group in groups for label in group.labels)


def _origins(groups: Iterable[EarlierMask]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(group.origin for group in groups))
