"""Where to work, and what an unfinished slice says about its own rest."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects

from learners.propagate.contract import Bounds3, LabelledSlice, PropagationInput
from storage.arrays import BACKGROUND, UNLABELLED, plane

SMALL = 64**3  # voxels; a volume up to this size is worked on as a whole
SNAP = 8  # corners lie on multiples of this, so that coarse grids of two runs coincide
SEEN, UNSEEN = 0.5, 1.0  # growth of the box as a share of the object's size
MIN_GROWTH = 4  # voxels of growth
NEAR = 0.5  # an object's surroundings on its slice: its box grown by this share of its longer side
RIM = 3  # and by this many pixels at least
WALL = 2  # pixels around a drawn object that are background in any case

Boxes = list[tuple[slice, ...]]  # of each class, from 1 up


def region_of_interest(case: PropagationInput) -> Bounds3:
    """The box around everything drawn, grown where the drawn slices do not show how far the objects reach."""
    if case.known.size <= SMALL:
        return _whole(case.shape)
    boxes = [_bounds(case.known == value) for value in case.classes]
    spans = [(min(b[a][0] for b in boxes), max(b[a][1] for b in boxes)) for a in range(3)]
    sizes = [(high - low) * mm for (low, high), mm in zip(spans, case.spacing_mm)]
    return _box(case.shape, spans, [_growth(case, a, sizes) for a in range(3)])


def cropped(case: PropagationInput, box: Bounds3) -> PropagationInput:
    """The case within a box; slices outside are left out."""
    window = tuple(slice(low, high) for low, high in box)
    inside = [
        replace(s, index=s.index - box[s.axis][0])
        for s in case.slices
        if box[s.axis][0] <= s.index < box[s.axis][1]
    ]
    (z, _), (y, _), (x, _) = box
    return PropagationInput(
        case.image[window], case.known[window], tuple(inside), case.spacing_mm, (z, y, x), case.window
    )


def with_surroundings(case: PropagationInput) -> PropagationInput:
    """The case with background where unfinished slices imply it.

    Who draws an object on a slice draws all of it: unsaid pixels of that slice within the object's box, grown by
    half its longer side, are background. Where a class that is missing on this slice, but drawn near it on others,
    may lie, only the rim around the object is: nobody said that the slice is complete.
    """
    known = case.known.copy()
    boxes = find_objects(np.where(case.known == UNLABELLED, BACKGROUND, case.known))
    for s, drawn in case.drawn.items():
        cut = plane(known, s.axis, s.index)
        unsaid = cut == UNLABELLED
        if drawn and not s.complete and unsaid.any():
            cut[_implied(case, s, drawn, boxes) & unsaid] = BACKGROUND
    return replace(case, known=known)


def _implied(
    case: PropagationInput, s: LabelledSlice, drawn: tuple[int, ...], boxes: Boxes
) -> NDArray[np.bool_]:
    """(rows, columns) of a slice: where its objects' surroundings are."""
    cut = plane(case.known, s.axis, s.index)
    implied = np.zeros(cut.shape, np.bool_)
    for value in drawn:
        implied[_near(cut == value)] = True
    for value in set(case.classes) - set(drawn):
        if _may_be_on(case, s, boxes[value - 1]):
            rows, columns = (side for axis, side in enumerate(boxes[value - 1]) if axis != s.axis)
            implied[_grown(rows), _grown(columns)] = False
    return implied | binary_dilation(np.isin(cut, drawn), iterations=WALL)


def _may_be_on(case: PropagationInput, s: LabelledSlice, box: tuple[slice, ...]) -> bool:
    """Whether a class may lie on a slice, judged by how far and how large it was drawn on others."""
    side = max((b.stop - b.start) * mm for b, mm in zip(box, case.spacing_mm))
    reach = SEEN * side / case.spacing_mm[s.axis]
    return box[s.axis].start - reach <= s.index < box[s.axis].stop + reach


def _grown(side: slice) -> slice:
    return slice(max(0, side.start - RIM), side.stop + RIM)


def _near(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of a mask grown by half its longer side, as an index."""
    spans = _bounds(mask)
    grow = max(RIM, round(NEAR * max(high - low for low, high in spans)))
    return tuple(slice(max(0, low - grow), high + grow) for low, high in spans)


def _bounds(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open extent of a mask that is not empty, per axis."""
    out = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        out.append((int(hit[0]), int(hit[-1]) + 1))
    return out


def _growth(case: PropagationInput, axis: int, sizes: list[float]) -> int:
    """Voxels to grow by along an axis. No slice that contains the axis shows objects: they may be as long as wide."""
    seen = any(s.axis != axis and drawn for s, drawn in case.drawn.items())
    mm = SEEN * sizes[axis] if seen else UNSEEN * max(sizes)
    return max(MIN_GROWTH, round(mm / case.spacing_mm[axis]))


def _box(shape: tuple[int, int, int], spans: list[tuple[int, int]], growth: list[int]) -> Bounds3:
    z, y, x = (
        (max(0, (low - grow) // SNAP * SNAP), min(n, -(-(high + grow) // SNAP) * SNAP))
        for (low, high), grow, n in zip(spans, growth, shape)
    )
    return z, y, x


def _whole(shape: tuple[int, int, int]) -> Bounds3:
    z, y, x = ((0, n) for n in shape)
    return z, y, x
