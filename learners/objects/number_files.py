"""The numbers of a fill as files: what people numbered goes in, what the fill's objects are called comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learners.objects.carried import MOST, CarriedFrom, carry
from storage.arrays import open_npy, write_npy


@dataclass(frozen=True)
class NumberFiles:
    """Picklable and small: paths, no arrays."""

    stated: Path | None  # .npy (Z, Y, X) uint16 numbers as people gave them; None: nobody numbered anything
    first: int  # no object on the image ever had this number, or a higher one
    film: bool  # slices are moments
    to: Path  # .npy files to write: numbers of the volume's objects
    parents_to: Path  # (N, 2) uint16: of each object that came from a division, and of its parent

    @property
    def made(self) -> tuple[Path, ...]:
        """What is to go when the fill is over."""
        return tuple(path for path in (self.stated, self.to, self.parents_to) if path)


def write_numbers(
    files: NumberFiles, classes: NDArray[np.uint8], objects: Path | None, check: Callable[[], None]
) -> None:
    """`objects`: .npy of what the fill started from, where its producer told objects apart; those that go on from no
    label keep together, with numbers that nothing on the image has. Nothing is written where no object has any."""
    apart = _there(objects, classes.shape)
    carried = np.zeros(classes.shape, np.uint16)
    parents: dict[int, int] = {}
    if files.stated is not None:
        said = CarriedFrom(open_npy(files.stated), files.first, files.film, apart, check)
        found = carry(classes, said)
        carried, parents = found.numbers, found.parents
    if apart is not None:
        first = max([files.first, *(number + 1 for number in parents)])
        carried = np.where(carried > 0, carried, _from(first, np.where(classes > 0, apart, np.uint16(0))))
    if carried.any():
        write_npy(files.to, carried)
        write_npy(files.parents_to, np.array(sorted(parents.items()), np.uint16).reshape(-1, 2))


def _there(objects: Path | None, shape: tuple[int, ...]) -> NDArray[np.uint16] | None:
    """None where it is gone: its producer has just made a newer one."""
    try:
        found = None if objects is None else open_npy(objects)
    except FileNotFoundError:
        return None
    return found if found is not None and found.shape == shape else None


def _from(first: int, numbers: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The same objects, numbered from there on without gaps; 0 where no number is left."""
    found, ranks = np.unique(np.append(np.uint16(0), numbers.ravel()), return_inverse=True)
    names = np.arange(len(found)) + first - 1
    names[0], names[names > MOST] = 0, 0
    return names[ranks[1:]].reshape(numbers.shape).astype(np.uint16)
