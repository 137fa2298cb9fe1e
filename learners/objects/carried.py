"""Objects keep their numbers from slice to slice: what goes on from a numbered label carries its number.

From each slice with numbers on, objects are matched with the pieces of the next slice, all at once, so that the sum of
their IoU is largest. A piece that several objects lie on is cut between them. In a volume an object that forks stays
one. In a film it divides: both parts get new numbers, and it is their parent. What goes on from no label gets none.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import watershed

from storage.arrays import BACKGROUND, ERASED

MOST = 65_535  # numbers are kept in two bytes
CLAIM = 0.25  # of an object must lie on a piece to have a say in it
OVER = 0.5  # of a piece lies on the object that it came from
JUMP = 1.5  # of its width an object of a film moves at most where it overlaps nothing
JOINED = np.ones((3, 3), bool)
SliceNumbers = NDArray[np.int32]  # (rows, columns) of a slice, 0 where no object is


@dataclass
class CarriedNumbers:
    """The numbers of a whole volume, and which object came from which."""

    numbers: NDArray[np.uint16]  # (Z, Y, X) 0 where no object is, or none that goes on from a label
    parents: dict[int, int] = field(default_factory=dict)  # of objects that came from a division


@dataclass(frozen=True)
class CarriedFrom:
    """What is said of a volume, and what may be made of it."""

    stated: NDArray[np.uint16]  # (Z, Y, X) numbers as people gave them
    first: int  # no object on the image has this number, or a higher one
    film: bool = False  # slices are moments
    apart: NDArray[np.uint16] | None = (
        None  # (Z, Y, X) objects as the producer of the classes told them apart
    )
    check: Callable[[], None] = lambda: None  # asked on every slice; raises where nobody waits any more


def carry(classes: NDArray[np.uint8], said: CarriedFrom) -> CarriedNumbers:
    """`classes`: (Z, Y, X) of the whole volume, labels among them. Two classes never share an object."""
    carried = CarriedNumbers(np.zeros(classes.shape, np.uint16))
    values = np.unique(classes[said.stated > 0])
    for value in values[(values > BACKGROUND) & (values < ERASED)]:
        mask = classes == value
        box = ndimage.find_objects(mask.view(np.uint8))[0]
        _carry(mask, said, box, carried)
    return carried


def axis_of(stated: NDArray[np.uint16]) -> int:
    """The one along which objects are followed: people numbered them on the fewest slices of it, each as a whole."""
    return int(np.argmin([stated.any(tuple(b for b in range(3) if b != axis)).sum() for axis in range(3)]))


def _carry(mask: NDArray[np.bool_], said: CarriedFrom, box: tuple[slice, ...], out: CarriedNumbers) -> None:
    """One class, in place."""
    axis = 0 if said.film else axis_of(np.where(mask, said.stated, 0))
    part, stated = np.moveaxis(mask[box], axis, 0), np.moveaxis(said.stated[box], axis, 0)
    apart = None if said.apart is None else np.moveaxis(said.apart[box], axis, 0)
    said_here = np.where(part, stated, 0).astype(np.int32)
    anchors = np.flatnonzero(said_here.any((1, 2)))
    walk = _Walk(part, said_here, apart, said, out.parents)
    upward = walk.along(range(int(anchors[0]), len(part)), divides=said.film)
    downward = walk.along(range(int(anchors[-1]), -1, -1), divides=False)
    for k, target in enumerate(np.moveaxis(out.numbers[box], axis, 0)):
        below, above = anchors[anchors <= k], anchors[anchors >= k]
        nearer_below = len(above) == 0 or (len(below) > 0 and k - below[-1] <= above[0] - k)
        first, other = (upward, downward) if said.film or nearer_below else (downward, upward)
        found = np.where(first[k] > 0, first[k], other[k])
        target[found > 0] = found[found > 0]


class _Walk:
    """From slice to slice through one class of a volume."""

    def __init__(
        self,
        mask: NDArray[np.bool_],
        stated: NDArray[np.int32],
        apart: NDArray[np.uint16] | None,
        said: CarriedFrom,
        parents: dict[int, int],
    ) -> None:
        self._mask, self._stated, self._apart, self._parents = mask, stated, apart, parents
        self._film, self._first, self._check = said.film, said.first, said.check
        self._next = max([said.first, *(n + 1 for n in parents)])

    def along(self, order: Iterable[int], *, divides: bool) -> NDArray[np.uint16]:
        """(slices, rows, columns) numbers, from the first slice of the order on."""
        out = np.zeros(self._mask.shape, np.uint16)
        before: SliceNumbers = np.zeros(self._mask.shape[1:], np.int32)
        for k in order:
            self._check()
            now = self._go_on(before, k, divides=divides)
            if self._stated[k].any():
                now = self._as_stated(now, k, out)
            out[k], before = now, now
        return out

    def _as_stated(self, found: SliceNumbers, k: int, out: NDArray[np.uint16]) -> SliceNumbers:
        """People's numbers win; what came from a division is called as people call it, also where it was before."""
        stated = self._stated[k]
        for number in np.unique(found[(stated > 0) & (found >= self._first)]):
            name = _most(stated[found == number])
            if name and name not in self._parents:
                self._parents[name] = self._parents.pop(int(number))
                out[out == number] = name
                found = np.where(found == number, name, found)
        return _spread(np.where(stated > 0, stated, found), self._parts(k))

    def _parts(self, k: int) -> SliceNumbers:
        return _pieces(self._mask[k], None if self._apart is None else self._apart[k])

    def _go_on(self, before: SliceNumbers, k: int, *, divides: bool) -> SliceNumbers:
        """The numbers that the objects of the slice before have on this one."""
        mask = self._mask[k]
        if not before.any() or not mask.any():
            return np.zeros(mask.shape, np.int32)
        parts = _cut(self._parts(k), before)
        found = matched(before, parts, moves=self._film)
        names = np.zeros(int(parts.max()) + 1, np.int32)
        names[list(found)] = list(found.values())
        for number, more in _beside(before, parts, found).items():
            main = [part for part, name in found.items() if name == number]
            if divides and (torn := _halves(before == number, parts, more)):
                names[[*main, *torn]] = [self._daughter(number) for _ in (*main, *torn)]
                more = [part for part in more if part not in torn]
            names[more] = number
        return names[parts]

    def _daughter(self, parent: int) -> int:
        number = self._next
        if number > MOST:
            return parent
        self._next += 1
        self._parents[number] = parent
        return number


def matched(before: SliceNumbers, parts: SliceNumbers, *, moves: bool = False) -> dict[int, int]:
    """Part -> the number of the object that it goes on from: one part an object, so that the sum of IoU is largest.

    `moves`: also of objects that overlap nothing any more, where a part lies near."""
    objects, places, shared = _shared(before, parts)
    sizes = np.bincount(before.ravel()), np.bincount(parts.ravel())
    iou = shared / (sizes[0][objects] + sizes[1][places] - shared)
    rows, row_of = np.unique(objects, return_inverse=True)
    columns, column_of = np.unique(places, return_inverse=True)
    worth = np.zeros((len(rows), len(columns)))
    worth[row_of, column_of] = iou
    found: dict[int, int] = {}
    alone = (np.bincount(row_of)[row_of] == 1) & (np.bincount(column_of)[column_of] == 1)
    found |= {int(places[i]): int(objects[i]) for i in np.flatnonzero(alone)}
    open_rows, open_columns = np.unique(row_of[~alone]), np.unique(column_of[~alone])
    rest = worth[np.ix_(open_rows, open_columns)]
    for i, j in zip(*linear_sum_assignment(rest, maximize=True)):
        if rest[i, j] > 0:
            found[int(columns[open_columns[j]])] = int(rows[open_rows[i]])
    if moves:
        lost = np.setdiff1d(np.unique(before[before > 0]), rows)
        new = np.setdiff1d(np.unique(parts[parts > 0]), columns)
        found |= _moved(before, parts, lost, new)
    return found


def _moved(
    before: SliceNumbers, parts: SliceNumbers, lost: NDArray[np.int32], new: NDArray[np.int32]
) -> dict[int, int]:
    """Of objects and parts that overlap nothing: the nearest, no further than a person would follow."""
    if not len(lost) or not len(new):
        return {}
    here = np.array(ndimage.center_of_mass(before > 0, before, lost))
    there = np.array(ndimage.center_of_mass(parts > 0, parts, new))
    far = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1))
    width = np.sqrt(np.bincount(before.ravel())[lost] * 4 / np.pi)
    cost = np.minimum(far, 2 * width[:, None])
    pairs = zip(*linear_sum_assignment(cost))
    return {int(new[j]): int(lost[i]) for i, j in pairs if far[i, j] <= JUMP * width[i]}


def _pieces(mask: NDArray[np.bool_], apart: NDArray[np.uint16] | None) -> SliceNumbers:
    """Connected pieces, 1, 2, ...; what a producer told apart is never one piece."""
    pieces, _ = ndimage.label(mask, JOINED)
    if apart is None:
        return np.asarray(pieces, np.int32)
    codes = np.where(mask, pieces.astype(np.int64) * (MOST + 1) + apart, 0)
    _, ranks = np.unique(np.append(0, codes), return_inverse=True)
    return np.asarray(ranks[1:].reshape(mask.shape), np.int32)


def _cut(pieces: SliceNumbers, before: SliceNumbers) -> SliceNumbers:
    """Pieces that several objects have a say in, cut between these."""
    objects, places, shared = _shared(before, pieces)
    says = shared >= CLAIM * np.bincount(before.ravel())[objects]
    objects, places = objects[says], places[says]
    several = np.unique(places)[np.unique(places, return_counts=True)[1] > 1]
    if not len(several):
        return pieces
    out, last = pieces.copy(), int(pieces.max())
    boxes = ndimage.find_objects(pieces)
    for piece in several:
        box = boxes[piece - 1]
        mask = pieces[box] == piece
        seeds = np.where(mask & np.isin(before[box], objects[places == piece]), before[box], 0)
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        cut = watershed(-depth, seeds, mask=mask)
        _, ranks = np.unique(cut[mask], return_inverse=True)
        out[box][mask] = last + 1 + ranks
        last += 1 + int(ranks.max())
    return out


def _spread(numbers: SliceNumbers, pieces: SliceNumbers) -> SliceNumbers:
    """SliceNumbers of parts of a piece, such as a line of labels across it, for the whole piece."""
    rest = (pieces > 0) & (numbers == 0)
    open_pieces = np.intersect1d(pieces[rest], pieces[numbers > 0])
    for piece in open_pieces[open_pieces > 0]:
        mask = pieces == piece
        numbers = np.where(mask, watershed(mask, np.where(mask, numbers, 0), mask=mask), numbers)
    return np.asarray(numbers, np.int32)


def _beside(before: SliceNumbers, parts: SliceNumbers, found: dict[int, int]) -> dict[int, list[int]]:
    """Number -> parts without a number that lie mostly on that object of the slice before."""
    objects, places, shared = _shared(before, parts)
    sizes = np.bincount(parts.ravel())
    out: dict[int, list[int]] = {}
    for number, part, pixels in zip(objects.tolist(), places.tolist(), shared.tolist()):
        if part not in found and pixels >= OVER * sizes[part]:
            out.setdefault(number, []).append(part)
    return out


def _halves(was: NDArray[np.bool_], parts: SliceNumbers, more: list[int]) -> list[int]:
    """Those parts that are too large for crumbs of one object."""
    sizes, least = np.bincount(parts.ravel()), CLAIM * np.count_nonzero(was)
    return [part for part in more if sizes[part] >= least]


def _shared(
    a: SliceNumbers, b: SliceNumbers
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that overlap: number of one, number of the other, pixels in common."""
    width, both = int(b.max(initial=0)) + 1, (a > 0) & (b > 0)
    codes, shared = np.unique(a[both].astype(np.int64) * width + b[both], return_counts=True)
    return codes // width, codes % width, shared


def _most(numbers: SliceNumbers) -> int:
    """The commonest above 0; 0 without any."""
    values, counts = np.unique(numbers[numbers > 0], return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0
