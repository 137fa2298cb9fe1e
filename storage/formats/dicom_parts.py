"""Volumes that share their places, told apart by what their headers say: echo, time, b-value, phase."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from storage.formats.base import FileRefused
from storage.formats.dicom_headers import Slice
from storage.formats.dicom_places import places

ALIKE = "several of its slices lie at the same place and nothing tells them apart; export it without copies"


def split(slices: Sequence[Slice]) -> list[list[Slice]]:
    """One part per volume where places repeat; refuses where nothing tells them apart."""
    return _split(list(slices), dict(zip(map(id, slices), places(slices), strict=True)))


def without_copies(slices: Sequence[Slice]) -> list[Slice]:
    """Of files with the same identity and place, the first."""
    seen: dict[Any, Slice] = {}
    for s in slices:
        own = s.instance[1] or str(s.path)
        seen.setdefault((own, s.frame, s.position), s)
    return list(seen.values())


def by_folder(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Copies of one series under other pixels, each in a folder of its own: a part for each, where that tells apart
    what lies at the same place. A series that is spread over folders stays one."""
    unique, folders = without_copies(slices), defaultdict(list)
    for found in slices:
        folders[found.path.parent].append(found)
    if len(folders) == 1:
        return [list(slices)]
    place = dict(zip(map(id, unique), places(unique), strict=True))
    whole = {place[id(found)] for found in unique}
    parts = [[found for found in part if id(found) in place] for part in folders.values()]
    if all({place[id(found)] for found in part} == whole for part in parts):
        return list(folders.values())
    return [list(slices)]


def _split(slices: list[Slice], place: dict[int, int]) -> list[list[Slice]]:
    deep = _depth(slices, place)
    if deep == 1:
        return [slices]
    for parts in _partings(slices):
        # as many parts as pictures of a place at most: a time of day of its own for each slice is no time point
        if 1 < len(parts) <= deep and max(_depth(part, place) for part in parts) < deep:
            return [volume for part in parts for volume in _split(part, place)]
    raise FileRefused(ALIKE)


def _partings(slices: list[Slice]) -> Iterable[list[list[Slice]]]:
    for trait in range(len(slices[0].traits)):
        parts = defaultdict(list)
        for found in slices:
            parts[found.traits[trait]].append(found)
        yield list(parts.values())


def _depth(slices: list[Slice], place: dict[int, int]) -> int:
    """How many slices lie at the fullest place."""
    return max(Counter(place[id(found)] for found in slices).values())
