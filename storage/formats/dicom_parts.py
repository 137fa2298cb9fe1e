"""Volumes that share their places, told apart by what their headers say: echo, time, b-value, phase."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from storage.formats.base import FileRefused
from storage.formats.dicom_headers import Slice
from storage.formats.dicom_places import places

ALIKE = "several of its slices lie at the same place and nothing tells them apart; export it without copies"


def split(slices: Sequence[Slice]) -> list[list[Slice]]:
    """One part per volume where places repeat; refuses where nothing tells them apart."""
    return _split(list(slices), dict(zip(map(id, slices), places(slices), strict=True)))


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
