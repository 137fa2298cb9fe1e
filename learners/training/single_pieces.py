"""Classes that are one piece, such as an organ: what the labels show of it, and what follows for proposing.

A network that saw two slices of one volume knows little of the corners of the others, and finds pieces of an organ
there. Where labels show a class in one piece, those far smaller than its largest piece are left out. A volume that is
known whole shows its pieces in 3D, any other one on its slices that are known whole: at its end an organ may be two
pieces of a slice. Nothing is left out of a class that labels show in several pieces: lesions, vessels, bones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from learners.spec import Example
from learners.training.tidying import ClassTidying
from storage.arrays import UNLABELLED, TornFile, open_npy, plane

NEARLY_WHOLE = 0.9  # of a volume or slice known: it shows all there is of a class
FEWEST = 2  # slices that show a class, or one whole volume
SEVERAL = 0.1  # of the slices may show several pieces
MOST_VOXELS = 50_000_000  # that are looked at, of the newest volumes: it is done before each round
SPECK = 0.05  # of a class on a slice or in a volume: a smaller piece is a slip of the hand
SHARE = 0.2  # of its largest piece: what is smaller is none of it


@dataclass
class _Seen:
    """How labels show a class."""

    slices: int = 0
    several: int = 0  # of them
    volumes: int = 0
    apart: bool = False  # a whole volume holds several pieces

    @property
    def single(self) -> bool:
        enough = self.volumes > 0 or self.slices >= FEWEST
        return enough and not self.apart and self.several <= SEVERAL * self.slices


def single_pieces(examples: Sequence[Example], class_ids: Sequence[int]) -> Mapping[int, ClassTidying]:
    """By class, those that are one piece; none where pictures are among the images: each shows what it shows."""
    if any(example.shape[0] == 1 for example in examples):
        return {}
    seen = {number: _Seen() for number in class_ids}
    left = MOST_VOXELS
    for example in reversed(examples):
        if example.known is None or example.all_held or left <= 0:
            continue
        try:
            left -= _look(open_npy(example.known), example, seen, left)
        except TornFile:
            continue
    return {number: ClassTidying(share=SHARE) for number, each in seen.items() if each.single}


def _look(known: NDArray[np.uint8], example: Example, seen: Mapping[int, _Seen], most: int) -> int:
    """At so many voxels and a slice at most; how many they were."""
    if not example.held and known.size <= most and _whole(known):
        for number, mask in _classes(known, seen):
            seen[number].volumes += 1
            seen[number].apart |= _pieces(mask) > 1
        return known.size
    looked = 0
    for axis, index in sorted(set(example.slices) - set(example.held)):
        if looked > most:
            break
        at = plane(known, axis, index)
        looked += at.size
        for number, mask in _classes(at, seen) if _whole(at) else ():
            seen[number].slices += 1
            seen[number].several += _pieces(mask) > 1
    return looked


def _whole(known: NDArray[np.uint8]) -> bool:
    return bool((known != UNLABELLED).mean() > NEARLY_WHOLE)


def _classes(known: NDArray[np.uint8], seen: Mapping[int, _Seen]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Those that it shows."""
    for number in sorted(set(np.unique(known).tolist()) & set(seen)):
        yield number, known == number


def _pieces(mask: NDArray[np.bool_]) -> int:
    """Those that are no specks; they may touch at a corner."""
    pieces, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(pieces.ravel())[1:]
    return int((sizes >= SPECK * sizes.sum()).sum())
