"""Which slice of a volume to label next, in any plane, and why: sums of the fill's doubt over whole slices.

The sum of a propagator's entropy over a slice comes close to choosing by the true error; means pick the tips of an
object, where little is at stake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from learners.propagate.contract import LabelledSlice
from storage.arrays import BACKGROUND, plane

CERTAIN = 0.95  # voxels more certain than this are not counted: there are too many of them
REACH = 0.1  # of the slices of an axis: how far a labelled one tells about its neighbours, falling to nothing there
OPEN_SECONDS = 6.0  # to go to a slice and look at it
OUTLINE_SECONDS = 0.24  # to draw one pixel of an outline
CORRECTED = 0.5  # of a proposed outline that is certain: accepting it still takes a look
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class Volume:
    """A fill and what it started from."""

    classes: NDArray[np.uint8]  # (Z, Y, X)
    confidence: NDArray[np.uint8]  # (Z, Y, X) 255 certain
    slices: tuple[LabelledSlice, ...] = ()
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @cached_property
    def doubt(self) -> NDArray[np.float32]:
        """(Z, Y, X) entropy in bits of right against wrong; 0 where it is certain enough."""
        right = np.arange(256) / 255
        wrong = 1 - right
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = -np.nan_to_num(right * np.log2(right)) - np.nan_to_num(wrong * np.log2(wrong))
        bits[right < 0.5] = 1.0
        bits[right > CERTAIN] = 0.0
        return bits.astype(np.float32)[self.confidence]

    @cached_property
    def along(self) -> tuple[NDArray[np.float64], ...]:
        """Per axis (n,) the doubt on each slice; 0 on slices that are labelled."""
        sums = tuple(
            self.doubt.sum(tuple(b for b in range(3) if b != axis), dtype=np.float64) for axis in range(3)
        )
        for s in self.slices:
            sums[s.axis][s.index] = 0
        return sums

    def areas(self, axis: int) -> NDArray[np.int64]:
        """(n, 256) voxels of each class on each slice, none of background."""
        slices = (plane(self.classes, axis, k).ravel() for k in range(self.classes.shape[axis]))
        out = np.stack([np.bincount(values, minlength=256) for values in slices])
        out[:, BACKGROUND] = 0
        return out

    def labelled(self, axis: int) -> list[int]:
        return sorted({s.index for s in self.slices if s.axis == axis})


@dataclass(frozen=True)
class Proposal:
    """A slice worth labelling."""

    axis: int
    index: int
    gain: float  # voxels that are expected to become right, in bits
    seconds: float  # that drawing it is expected to take
    reason: str  # for a person


Rule = Callable[[Volume], tuple[int, int] | None]


def by_entropy(volume: Volume) -> tuple[int, int] | None:
    """Across the axis whose slice with most doubt is worth most, the slice with most doubt on and around it.

    That doubt counts once for each class that the fill shows there: of all of them the slice tells how they go on. A
    labelled slice settles its neighbours too, and the fill is as unsure of the last slice of a volume as of the one in
    the middle of a gap, of which it learns more.
    """
    axis = max(range(3), key=lambda a: _worth(volume, a))
    along = volume.along[axis]
    if not along.any():
        return None
    reach = len(along) * REACH
    steps = np.arange(-int(reach), int(reach) + 1)
    around = convolve1d(along, 1 - np.abs(steps) / max(reach, 1), mode="constant")
    return axis, int(np.where(along > 0, around, 0).argmax())


def _worth(volume: Volume, axis: int) -> float:
    """The most doubt on a slice across this axis, times the classes that the fill shows on it.

    A class counts as far as its cross-section is as large there as on the average slice that shows it: a few strayed
    voxels of a class are no sight of it.
    """
    index, areas = int(volume.along[axis].argmax()), volume.areas(axis)
    shown = areas[index] > 0
    usual = areas.sum(0)[shown] / np.count_nonzero(areas, 0)[shown]
    seen = float(np.minimum(1, areas[index][shown] / usual).sum())
    return float(volume.along[axis][index]) * max(1.0, seen)


def by_entropy_per_second(volume: Volume) -> tuple[int, int] | None:
    """The slice of any plane with most doubt for the time that drawing it takes."""
    rates = tuple(
        along / [_seconds(volume, axis, k) for k in range(len(along))]
        for axis, along in enumerate(volume.along)
    )
    return _highest(volume, (0, 1, 2), rates)


def by_axis(volume: Volume) -> tuple[int, int] | None:
    """The slice with most doubt among those parallel to most of the slices labelled so far."""
    axis = max(range(3), key=lambda a: (len(volume.labelled(a)), -a))
    return _highest(volume, (axis,), volume.along)


def by_turns(volume: Volume) -> tuple[int, int] | None:
    """Orthogonal slices: most doubt among the planes that have fewest labelled slices."""
    counts = [len(volume.labelled(axis)) if volume.classes.shape[axis] > 1 else np.inf for axis in range(3)]
    return _highest(volume, tuple(a for a in range(3) if counts[a] == min(counts)), volume.along)


def by_gap(volume: Volume) -> tuple[int, int] | None:
    """The middle of the largest gap along the axis with most labelled slices, within the object; ignores the image."""
    axis = max(range(3), key=lambda a: (len(volume.labelled(a)), -a))
    hit = np.flatnonzero((volume.classes != BACKGROUND).any(tuple(b for b in range(3) if b != axis)))
    if not len(hit):
        return None
    at = volume.labelled(axis)
    ends = sorted({int(hit[0]) - 1, *at, int(hit[-1]) + 1})
    low, high = max(zip(ends, ends[1:]), key=lambda pair: pair[1] - pair[0])
    middle = (low + high) // 2
    return (axis, middle) if middle not in at and 0 <= middle < volume.classes.shape[axis] else None


SLICE_RULES: dict[str, Rule] = {
    "entropy": by_entropy,
    "entropy_per_second": by_entropy_per_second,
    "orthogonal": by_turns,
    "axis": by_axis,
    "gap": by_gap,
}
DEFAULT_RULE = "entropy"


def next_slice(volume: Volume, rule: str = DEFAULT_RULE) -> Proposal | None:
    """The slice to label next, None where nothing is left in doubt."""
    chosen = SLICE_RULES[rule](volume)
    if chosen is None:
        return None
    axis, index = chosen
    gain = float(volume.along[axis][index])
    seconds = _seconds(volume, axis, index)
    return Proposal(axis, index, gain, seconds, _reason(volume, axis, index))


def _highest(
    volume: Volume, axes: tuple[int, ...], values: tuple[NDArray[np.float64], ...]
) -> tuple[int, int] | None:
    axis = max(axes, key=lambda a: float(values[a].max()))
    index = int(values[axis].argmax())
    return (axis, index) if volume.along[axis][index] > 0 else None


def _seconds(volume: Volume, axis: int, index: int) -> float:
    """Expected time to label a slice: the outlines shown there, less where they are certain."""
    classes, doubt = plane(volume.classes, axis, index), plane(volume.doubt, axis, index)
    pixels = 0.0
    for across in (0, 1):
        edge = np.diff(classes, axis=across) != 0
        unsure = np.delete(doubt, -1, across)
        pixels += float((edge * (CORRECTED + (1 - CORRECTED) * unsure)).sum())
    return OPEN_SECONDS + OUTLINE_SECONDS * pixels


def _reason(volume: Volume, axis: int, index: int) -> str:
    """One sentence for a person."""
    unsure = int((plane(volume.doubt, axis, index) > 0).sum())
    share = volume.along[axis][index] / max(sum(float(a.sum()) for a in volume.along) / 3, 1e-6)
    here = f"This slice has {unsure:,} uncertain voxels, {share:.0%} of all doubt in the volume."
    if not volume.labelled(axis):
        return f"{here} No {PLANES[axis]} slice is labelled yet."
    distance = min(abs(index - k) for k in volume.labelled(axis)) * volume.spacing_mm[axis]
    return f"{here} The nearest labelled slice of this plane is {distance:.3g} mm away."
