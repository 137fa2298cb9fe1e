"""A fill after more slices were labelled: anew where they have much to say, the fill before, corrected, elsewhere.

A fill by all labels is better on average than a correction of the fill before, and now and then far worse: a slice
through the rim of an object, or beside it, misleads it about the whole. So a class is taken anew only where the new
slices show a good part of it, and where the new fill changes it no more than they showed the fill before to be wrong.
Each new slice also judges both of what they made of it unseen: twice better in a row, and the new fill stands as it is.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import FilledVolume, LabelledSlice, PropagationInput, RunControl
from learners.propagate.fused import Prior, fuse
from storage.arrays import BACKGROUND, UNLABELLED, plane

SHOWN = (
    0.4  # of a class's largest cross-section that way: a slice with as much of it says what the class is like
)
HARDLY = 0.2  # of it: who saw no more of a class so far knows nothing of it that a further slice could spoil
SIZE = 1.5  # times further than the new slices show it, a new fill may let a class shrink
SPARE = 0.1  # of Dice: by how much more a new fill may differ from the one before than that was found wrong
BETTER = 0.8  # of the other's wrong pixels on the new slices: less is chance
IN_A_ROW = 2
Volume3 = NDArray[np.uint8]


@dataclass(frozen=True)
class Trial:
    """A fill by labels alone, whether or not it was shown, and how often in a row it was the better one."""

    classes: Volume3
    wins: int = 0


@dataclass(frozen=True)
class FillShown:
    """The fill on screen, the slices labelled since, and the trial of before."""

    prior: Prior
    newer: tuple[LabelledSlice, ...]
    trial: Trial | None = None


def next_fill(
    case: PropagationInput, before: FillShown, anew: FilledVolume, run: RunControl | None = None
) -> tuple[FilledVolume, Trial]:
    """The fill of a case over the one on screen, and the trial to hand in next time."""
    shown, newer, trial = before.prior, before.newer, before.trial
    wins = 0 if trial is None else _wins(case, shown.classes, newer, trial)
    if wins >= IN_A_ROW:
        return anew, Trial(anew.classes, IN_A_ROW - 1)
    return renewed(case, shown.classes, fuse(case, shown, run), anew, newer), Trial(anew.classes, wins)


def _wins(case: PropagationInput, before: Volume3, newer: tuple[LabelledSlice, ...], trial: Trial) -> int:
    """How often in a row by now; what was known before the new slices is right in both."""
    tried, shown = (sum(_wrong(case, fill, s) for s in newer) for fill in (trial.classes, before))
    if tried == shown:
        return trial.wins
    return trial.wins + 1 if tried < BETTER * shown else 0


def _wrong(case: PropagationInput, fill: Volume3, s: LabelledSlice) -> int:
    known = plane(case.known, s.axis, s.index)
    return int(((plane(fill, s.axis, s.index) != known) & (known != UNLABELLED)).sum())


def renewed(
    case: PropagationInput,
    before: Volume3,
    corrected: FilledVolume,
    anew: FilledVolume,
    newer: tuple[LabelledSlice, ...],
) -> FilledVolume:
    """The two fills of a case as one. `before` (Z, Y, X): the fill that did not know the slices `newer`."""
    taken = np.zeros(256, np.bool_)
    taken[[BACKGROUND, UNLABELLED]] = True
    taken[_told(case, before, anew.classes, newer)] = True
    where = taken[corrected.classes] & taken[anew.classes] & _nearer(case, newer)
    where &= case.known == UNLABELLED
    classes = np.where(where, anew.classes, corrected.classes)
    confidence = np.where(where, anew.confidence, corrected.confidence)
    finished = corrected.finished and anew.finished
    return replace(anew, classes=classes, confidence=confidence, finished=finished)


def _told(
    case: PropagationInput, before: Volume3, anew: Volume3, newer: tuple[LabelledSlice, ...]
) -> list[int]:
    """The classes that the new slices say enough about."""
    earlier = [s for s in case.slices if s not in newer]
    widest = [np.maximum(_areas(before, axis), _areas(anew, axis)) for axis in range(3)]
    seen, shown = (_most_shown(case, slices, widest) for slices in (earlier, newer))
    enough = (shown >= SHOWN) | ((seen < HARDLY) & (shown >= seen) & (shown > 0))
    found = [int(v) for v in np.flatnonzero(enough) if v not in (BACKGROUND, UNLABELLED)]
    return [
        v
        for v in found
        if dice(before, anew, v) >= _right_before(case, before, newer, v) - SPARE
        and _shrinks_as_shown(case, before, anew, newer, v)
    ]


def _areas(classes: Volume3, axis: int) -> NDArray[np.int64]:
    """(256,) voxels of every class on the slice along an axis that shows most of it."""
    most = np.zeros(256, np.int64)
    for index in range(classes.shape[axis]):
        np.maximum(most, np.bincount(plane(classes, axis, index).ravel(), minlength=256), out=most)
    return most


def _most_shown(
    case: PropagationInput,
    slices: tuple[LabelledSlice, ...] | list[LabelledSlice],
    widest: list[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """(256,) the largest share of its widest cross-section that one of these slices shows of every class."""
    share = np.zeros(256)
    for s in slices:
        here = np.bincount(plane(case.known, s.axis, s.index).ravel(), minlength=256)
        np.maximum(share, (here / np.maximum(widest[s.axis], 1)).clip(0, 1), out=share)
    return share


def dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], value: int) -> float:
    """Overlap of a class; 1 where neither has it."""
    a, b = found == value, truth == value
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0


def _right_before(
    case: PropagationInput, before: Volume3, newer: tuple[LabelledSlice, ...], value: int
) -> float:
    """Dice of a class in the fill before, on the new slices."""
    cuts = [(plane(before, s.axis, s.index), plane(case.known, s.axis, s.index)) for s in newer]
    said = [(b[k != UNLABELLED], k[k != UNLABELLED]) for b, k in cuts]
    return dice(np.concatenate([b for b, _ in said]), np.concatenate([k for _, k in said]), value)


def _shrinks_as_shown(
    case: PropagationInput, before: Volume3, anew: Volume3, newer: tuple[LabelledSlice, ...], value: int
) -> bool:
    """Whether a class loses about as much by the new fill as the new slices show that there was too much of it: a fill
    that loses it between its slices is no better for being right on them."""
    cuts = [(plane(before, s.axis, s.index), plane(case.known, s.axis, s.index)) for s in newer]
    was = sum(int((b == value).sum()) for b, _ in cuts)
    shown = min(1.0, sum(int((k == value).sum()) for _, k in cuts) / max(was, 1))
    return int((anew == value).sum()) * SIZE >= shown * int((before == value).sum())


def _nearer(case: PropagationInput, newer: tuple[LabelledSlice, ...]) -> NDArray[np.bool_]:
    """(Z, Y, X) where one of the new slices is at least as near as every earlier one."""
    earlier = tuple(s for s in case.slices if s not in newer)
    return _distance(case, newer) <= _distance(case, earlier)


def _distance(case: PropagationInput, slices: tuple[LabelledSlice, ...]) -> NDArray[np.float32]:
    """(Z, Y, X) mm to the nearest of some slices."""
    out = np.full(case.shape, np.inf, np.float32)
    for s in slices:
        mm = np.abs(np.arange(case.shape[s.axis], dtype=np.float32) - s.index) * case.spacing_mm[s.axis]
        np.minimum(out, mm.reshape([-1 if axis == s.axis else 1 for axis in range(3)]), out=out)
    return out
