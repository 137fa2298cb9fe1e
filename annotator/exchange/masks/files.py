"""Which files are masks, and which image each of them belongs to. Opens nothing but records of our exports."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from annotator.exchange.import_files import FileListing, companion, find_files, is_one
from annotator.exchange.label_files import is_lonely, kinds_of
from annotator.exchange.masks.folders import placed_beside, voc_objects
from annotator.exchange.masks.listed import listed, stored
from annotator.exchange.masks.own_exports import without_repeats
from annotator.exchange.masks.value_names import TABLES
from annotator.exchange.matching import BY_NAME, AmbiguousName, NamedItem, NameIndex, NameMatch, bare_name
from storage.formats import kind_of

MASKS = re.compile(r"(_cp)?_masks$")  # what Cellpose adds to the name of an image
OBJECTS = "_instances"  # our own exports write object numbers beside the classes
STRANGE = "it is no mask of a kind that is read here; save it as PNG, TIFF or NIfTI"
LIKE_A_MASK = re.compile(r"(^|[-_. ])(masks?|segs?|segmentations?|labels?|labelmap|gt)$", re.IGNORECASE)
LONELY = "no imported image has the name of this mask; rename it or import the image"
TWO_MASKS = "its image has another mask, {other}; keep one of them"
TWO_IMAGES = "it could belong to {first} or {second}; keep masks in the same folders as their images"


@dataclass(frozen=True)
class ItemPlace:
    """Where an image of an import comes from: a file, or the folder of a series."""

    path: Path
    is_folder: bool = False
    modality: str = ""  # of a series: our exports call their files after the folder and this


@dataclass(frozen=True)
class MaskFile:
    """A mask, and where it lies below its folder of masks: that is compared with the images' places."""

    path: Path
    below: str
    origin: str  # the same with the folder of masks, or of the import, in front: by this it is known again
    images: Path | None = None  # the folder whose images it may belong to; None: of all images
    objects: Path | None = None  # a second file with the numbers of its objects
    author: str = ""  # who drew it, where its file says so
    why: str = ""  # it belongs to its image, where its name does not say it


@dataclass(frozen=True)
class LabelPlace:
    """A file that may hold labels of another kind than masks, and where it lies, as of a mask."""

    path: Path
    below: str
    origin: str
    images: Path | None = None
    companion: bool = True  # it may as well be a table or a note: then nothing is said about it


@dataclass(frozen=True)
class FoundMasks:
    """What of an import could say something about its images."""

    masks: list[MaskFile]
    labels: list[LabelPlace]
    apart: set[Path]  # every file that is no image because of its place
    strange: list[Path]  # of these what is no mask, no label file and no note


@dataclass(frozen=True)
class MaskChoice:
    """The mask of an image, and why it is this one."""

    mask: MaskFile
    why: str


@dataclass(frozen=True)
class Naming:
    """How an import calls its files. `shown` hides what would name a person."""

    root: Path
    shown: Callable[[Path], str]


@dataclass
class MaskAssignment:
    """The masks of an import."""

    by_item: dict[int, MaskChoice] = field(default_factory=dict)  # by the number of the image in the import
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def mask_files(found: FileListing, labels: Path | None) -> FoundMasks:
    """The masks and label files given, else those beside their images."""
    kept = stored(found)
    beside = [mask for mask in _beside(found) if mask.path not in kept]
    files = {mask.path for mask in beside} | kept
    beside = _without_repeats(beside)
    if labels is None:
        called = _named_as_masks(found, files)
        only = {file for file in found.files if file not in files and _goes_with_another(found, file)}
        lonely = [
            _lonely(found, file)
            for file in found.files
            if file in called or (file in only and not _has_masks(file, called))
        ]
        return _sorted_out([*beside, *lonely], files | called | only)
    given = [labels] if is_one(labels) else find_files(labels).files
    root = labels.parent if is_one(labels) else labels
    masks = _without_repeats([_mask_below(root, file) for file in given])
    return _sorted_out(masks, files | set(given), alone=is_one(labels))


def _without_repeats(masks: Sequence[MaskFile]) -> list[MaskFile]:
    kept = set(without_repeats([mask.path for mask in masks]))
    return [mask for mask in masks if mask.path in kept]


def _sorted_out(files: Sequence[MaskFile], apart: set[Path], *, alone: bool = False) -> FoundMasks:
    """`alone`: somebody named this one file, so that it is told where it holds nothing."""
    labels = [
        LabelPlace(
            one.path, one.below, one.origin, one.images, companion=not alone and not is_lonely(one.path)
        )
        for one in files
        if one.path.name.lower() not in TABLES and kinds_of(one.path)
    ]
    taken = {label.path for label in labels}
    masks = [one for one in files if one.path not in taken and _is_mask(one.path)]
    seen = taken | {mask.path for mask in masks}
    strange = [one.path for one in files if one.path not in seen and _is_strange(one.path)]
    return FoundMasks(_paired(masks), labels, apart, strange)


def _is_strange(path: Path) -> bool:
    return not companion(path) and path.name.lower() not in TABLES


def _lonely(found: FileListing, file: Path) -> MaskFile:
    shown = found.shown(file)
    return MaskFile(file, shown, f"{found.root.name}/{shown}", images=found.root)


def _named_as_masks(found: FileListing, placed: set[Path]) -> set[Path]:
    """Files that are called like another beside them but for `_masks`, as Cellpose's are."""
    bare = {(file.parent, bare_name(file.name)) for file in found.files}
    return {
        file
        for file in found.files
        if file not in placed
        and MASKS.search(name := bare_name(file.name))
        and (file.parent, MASKS.sub("", name)) in bare
    }


def _has_masks(file: Path, masks: set[Path]) -> bool:
    """A further file of Cellpose's, of an image whose masks lie there."""
    name = file.name.removesuffix("_seg.npy")
    return name != file.name and any(
        (file.parent, name) == (m.parent, MASKS.sub("", bare_name(m.name))) for m in masks
    )


def called_like_masks(items: Iterable[ItemPlace]) -> list[Path]:
    """Of files that come in as images, those that may have been meant as masks."""
    return [item.path for item in items if LIKE_A_MASK.search(bare_name(item.path.name))]


def label_beside(found: FileListing, file: Path) -> LabelPlace:
    """A file among images that says what it is about by itself."""
    one = _lonely(found, file)
    return LabelPlace(one.path, one.below, one.origin, one.images, companion=False)


def _goes_with_another(found: FileListing, file: Path) -> bool:
    """A file that only holds labels, and is not all that was chosen."""
    return len(found.files) > 1 and is_lonely(file)


def _mask_below(root: Path, file: Path) -> MaskFile:
    below = file.relative_to(root).as_posix()
    return MaskFile(file, below, f"{root.name}/{below}")


def _is_mask(path: Path) -> bool:
    try:
        return not companion(path) and kind_of(path) is not None
    except OSError:
        return True  # its line says that it cannot be opened


def assign_masks(
    masks: Sequence[MaskFile], places: Sequence[ItemPlace], names: Naming, *, alone: bool
) -> MaskAssignment:
    """Each mask to its image. `alone`: one mask was named, so that it belongs to the only image whatever its name."""
    assignment = MaskAssignment()
    if alone and len(places) == 1 and len(masks) == 1:
        assignment.by_item[0] = MaskChoice(masks[0], "the only mask for the only image")
        return assignment
    wanted: dict[int, list[_Rival]] = defaultdict(list)
    indices = {base: index_of_places(names.root, places, base) for base in {mask.images for mask in masks}}
    for mask in _parted(masks, indices):
        try:
            index = indices[mask.images]
            match = index.find(mask.below) or index.find(_without_masks(mask.below))
        except AmbiguousName as error:
            first, second = (names.shown(places[int(str(item))].path) for item in error.items)
            assignment.left_out.append((mask.path, TWO_IMAGES.format(first=first, second=second)))
            continue
        if match is None:
            assignment.left_out.append((mask.path, LONELY))
            continue
        for item in match.items:
            wanted[item].append(_Rival(match, mask))
    for item, rivals in wanted.items():
        _choose(assignment, item, rivals, names)
    return assignment


def _parted(masks: Sequence[MaskFile], indices: dict[Path | None, NameIndex[int]]) -> Iterator[MaskFile]:
    """What looks like numbers of objects is a mask of its own where an image has its very name."""
    for mask in masks:
        if (
            mask.objects is None or mask.objects.parent != mask.path.parent
        ):  # its folder says that it is numbers
            yield mask
            continue
        own = _own_mask(mask, mask.objects)
        try:
            has_image = indices[mask.images].find(own.below) is not None
        except AmbiguousName:
            has_image = True
        yield replace(mask, objects=None) if has_image else mask
        if has_image:
            yield own


def _own_mask(mask: MaskFile, objects: Path) -> MaskFile:
    """The file of numbers beside a mask as a mask of its own."""
    below = PurePosixPath(mask.below).with_name(objects.name).as_posix()
    origin = PurePosixPath(mask.origin).with_name(objects.name).as_posix()
    return MaskFile(objects, below, origin, mask.images)


def _without_masks(below: str) -> str:
    """NAME of NAME_masks.tif."""
    folder, slash, name = below.rpartition("/")
    return folder + slash + MASKS.sub("", bare_name(name))


def _choose(assignment: MaskAssignment, item: int, rivals: list["_Rival"], names: Naming) -> None:
    """The surest of the masks that want one image; none where two are as sure."""
    rivals.sort(key=lambda rival: rival.match.rank)
    best = rivals[0]
    tied = [rival for rival in rivals if rival.match.rank == best.match.rank]
    if len(tied) == 1:
        assignment.by_item[item] = MaskChoice(best.mask, best.mask.why or _reason(best.match))
    for rival in rivals if len(tied) > 1 else rivals[1:]:
        other = next(r for r in rivals if r is not rival)
        line = TWO_MASKS.format(other=names.shown(other.mask.path))
        assignment.left_out.append((rival.mask.path, line))


@dataclass(frozen=True)
class _Rival:
    match: NameMatch[int]
    mask: MaskFile


def _reason(match: NameMatch[int]) -> str:
    if len(match.items) > 1:
        return "every channel of the case"
    same = "the same path" if match.rank < BY_NAME else "the same name"
    return (same, "the same name", "the case's name")[match.rank % 3]


def index_of_places(root: Path, places: Sequence[ItemPlace], base: Path | None) -> NameIndex[int]:
    root = base or root
    inside = [
        (n, one, _below(root, one.path)) for n, one in enumerate(places) if one.path.is_relative_to(root)
    ]
    named = [NamedItem(below, number, one.is_folder) for number, one, below in inside]
    taken = {below.casefold() for _, _, below in inside}
    exported = [(f"{below}_{one.modality}", number) for number, one, below in inside if one.modality]
    also = [NamedItem(name, number, True) for name, number in exported if name.casefold() not in taken]
    return NameIndex([*named, *also])


def _below(root: Path, path: Path) -> str:
    """The path below a root; of the root itself, a series, its name."""
    return path.name if path == root else PurePosixPath(*path.relative_to(root).parts).as_posix()


def _beside(found: FileListing) -> Iterator[MaskFile]:
    named = {one.file: one for one in listed(found)}
    for one in [*named.values(), *(one for one in placed_beside(found) if one.file not in named)]:
        origin = f"{found.root.name}/{found.shown(one.file)}"
        yield MaskFile(one.file, one.below, origin, images=one.images, why=one.why)


def _paired(masks: Sequence[MaskFile]) -> list[MaskFile]:
    """Files of object numbers put with the masks of the same name."""
    by_name = {(mask.path.parent, bare_name(mask.path.name)): mask for mask in masks}
    numbers = voc_objects(mask.path for mask in masks)
    for (folder, name), mask in by_name.items():
        base = name.removesuffix(OBJECTS)
        classes = by_name.get((folder, base)) if base != name else None
        # numbers have no numbers: of a chain of such names the rest are masks of their own, and told
        if classes is not None and (
            base == (less := base.removesuffix(OBJECTS)) or (folder, less) not in by_name
        ):
            numbers[classes.path] = mask.path
    taken = set(numbers.values())
    return [replace(m, objects=numbers.get(m.path)) for m in masks if m.path not in taken]
