"""Which image a name means. Masks, tags, groups and tables of objects all ask here, so that they agree."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, TypeVar

from storage.formats import stem

if TYPE_CHECKING:
    from storage.rows import ImageRow

CHANNEL = re.compile(r"_(\d{4})$")  # nnU-Net names the channels of case: case_0000, case_0001, ...
COMPOUND = (
    ".ome.tif",
    ".ome.tiff",
    ".seg.nrrd",
    ".ome.zarr",
)  # endings of two parts, beside those of the readers
EXACT = 0  # the rank of a match of the whole relative path
BY_NAME = 6  # from this rank on only names agree, and no folder contradicts

Item = TypeVar("Item")
NameParts = tuple[str, ...]


class AmbiguousName(LookupError):
    """A name that could mean several things; the message names two of them. `items`: these two."""

    def __init__(self, name: str, paths: tuple[str, str], items: tuple[object, object]) -> None:
        super().__init__(f"{name!r} could mean {paths[0]} or {paths[1]}; name it with its folder")
        self.items = items


@dataclass(frozen=True)
class NamedItem(Generic[Item]):
    """Something with a path. A folder, as of a DICOM series, has no ending: dots in its name are part of it."""

    path: str
    item: Item
    is_folder: bool = False


@dataclass(frozen=True)
class NameMatch(Generic[Item]):
    """What a name means; several items only where they are the channels of one case. A lower rank is surer."""

    items: tuple[Item, ...]
    rank: int


@dataclass(frozen=True)
class _Entry(Generic[Item]):
    named: NamedItem[Item]
    whole: NameParts
    bare: NameParts
    case: NameParts  # without nnU-Net's channel


class NameIndex(Generic[Item]):
    """Finds by the relative path, then by the name within folders that agree; unique, or refused."""

    def __init__(self, named: Iterable[NamedItem[Item]]) -> None:
        self._exact: list[dict[NameParts, list[_Entry[Item]]]] = [defaultdict(list) for _ in range(BY_NAME)]
        self._by_name: list[dict[str, list[_Entry[Item]]]] = [defaultdict(list) for _ in range(3)]
        for one in named:
            entry = _entry(one)
            for rank, key in enumerate((entry.whole, entry.bare, entry.case)):
                if rank == 2 and key == entry.bare:
                    continue
                self._exact[rank][key].append(entry)
                self._exact[rank + 3][_folded(key)].append(entry)
                self._by_name[rank][key[-1].casefold()].append(entry)

    def find(self, name: str) -> NameMatch[Item] | None:
        """What this path or name means; None where nothing has it. Raises AmbiguousName."""
        whole = path_parts(name)
        if not whole:
            return None
        bare = (*whole[:-1], bare_name(whole[-1]))
        for rank, table in enumerate(self._exact):
            key = whole if rank % 3 == 0 else bare
            if found := table.get(_folded(key) if rank >= 3 else key):
                return _only(name, found, rank)
        for rank, names in enumerate(self._by_name):
            key = whole if rank == 0 else bare
            if nearest := _nearest(key, names.get(key[-1].casefold(), [])):
                return _only(name, nearest, BY_NAME + rank)
        return None

    def one(self, name: str) -> Item | None:
        """As `find`, for what means a single item: channels of one case are refused too."""
        match = self.find(name)
        if match is not None and len(match.items) > 1:
            raise LookupError(f"{name!r} names several channels of one case; name one of them")
        return None if match is None else match.items[0]


def image_names(images: Iterable["ImageRow"], copies: Mapping[int, Iterable[str]]) -> NameIndex[int]:
    """The images of a project by where they and files taken as them came from, and by their names there."""
    return NameIndex(
        NamedItem(path, image.id)
        for image in images
        for path in _names_of(image) | set(copies.get(image.id, ()))
    )


def path_parts(name: str) -> NameParts:
    """A path of any system in one spelling: forward slashes, composed Unicode, no "." parts."""
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in plain.split("/") if part not in ("", "."))


def bare_name(name: str) -> str:
    """A file's name without its whole ending: a.nii.gz and a.ome.tif are both a."""
    ending = next((e for e in COMPOUND if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)] if ending else stem(PurePosixPath(name))


def _names_of(image: "ImageRow") -> set[str]:
    """Its path, and its name where the path does not end with it: "a.png" stays open while two folders have one."""
    names = {image.source or image.name}
    if path_parts(image.source)[-1:] != (image.name,):
        names.add(image.name)
    if image.modality and image.name.endswith(f" {image.modality}"):
        names.add(image.name.removesuffix(f" {image.modality}"))  # a series is called after its folder
    return names


def _entry(named: NamedItem[Item]) -> _Entry[Item]:
    whole = path_parts(named.path) or ("",)
    bare = whole if named.is_folder else (*whole[:-1], bare_name(whole[-1]))
    return _Entry(named, whole, bare, (*bare[:-1], CHANNEL.sub("", bare[-1])))


def _nearest(key: NameParts, entries: list[_Entry[Item]]) -> list[_Entry[Item]]:
    """Those whose folders agree with the key's as far as both say them; of these the ones that say most."""
    folders = _folded(key[:-1])
    agreeing = [(_agreement(folders, _folded(entry.whole[:-1])), entry) for entry in entries]
    best = max((count for count, _ in agreeing), default=-1)
    return [entry for count, entry in agreeing if count == best >= 0]


def _agreement(first: NameParts, second: NameParts) -> int:
    """How many folders before the name are the same; -1 where two of them contradict."""
    shared = min(len(first), len(second))
    return shared if first[len(first) - shared :] == second[len(second) - shared :] else -1


def _only(name: str, entries: list[_Entry[Item]], rank: int) -> NameMatch[Item]:
    items = list(dict.fromkeys(entry.named.item for entry in entries))
    channels = [CHANNEL.search(entry.bare[-1]) for entry in entries]
    numbers = sorted(int(found[1]) for found in channels if found)
    is_case = rank % 3 == 2 and numbers == list(range(len(items))) and len({e.case for e in entries}) == 1
    if len(items) > 1 and not is_case:
        first, second = _two(entries)
        raise AmbiguousName(name, (first.path, second.path), (first.item, second.item))
    return NameMatch(tuple(items), rank)


def _two(entries: list[_Entry[Item]]) -> tuple[NamedItem[Item], NamedItem[Item]]:
    first = entries[0].named
    return first, next(entry.named for entry in entries if entry.named.item != first.item)


def _folded(parts: NameParts) -> NameParts:
    return tuple(part.casefold() for part in parts)
