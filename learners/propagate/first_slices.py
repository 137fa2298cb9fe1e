"""How to begin a volume: two or three slices at right angles, each where it shows most of the object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import LabelledSlice
from storage.arrays import BACKGROUND, UNLABELLED

PLANES = (2, 3)  # how many may be asked for
STRETCHED = 8.0  # times as long as wide: planes of longer pixels are hard to draw on and mislead the fill


@dataclass(frozen=True)
class GuideStep:
    axis: int
    index: int
    done: bool
    reason: str  # for a person


def steps(
    known: NDArray[np.uint8],
    slices: tuple[LabelledSlice, ...],
    spacing_mm: tuple[float, float, float],
    planes: int,
) -> tuple[GuideStep, ...]:
    """The slices to label first, those that are labelled before the others; at most `planes`, fewer for a thin volume
    and for one of thick slices.

    `known`: (Z, Y, X) classes, UNLABELLED where nobody spoke. The first lies in the middle of the plane with the finest
    pixels; each further one, across another axis, where most of what was labelled so far lies on it. Only the step that
    comes next has its place for certain: those after it move with what is labelled meanwhile.
    """
    if planes not in PLANES:
        raise ValueError(f"a volume is begun with {' or '.join(map(str, PLANES))} slices, not with {planes}")
    done = [_done(axis, slices) for axis in range(3)]
    begun = [step for step in done if step is not None]
    fit = _drawable(known.shape, spacing_mm)
    left = [axis for axis in fit if done[axis] is None]
    objects = (known != UNLABELLED) & (known > BACKGROUND)
    rest = _around(objects, left, spacing_mm) if objects.any() else _middle(known.shape, left, spacing_mm)
    return tuple([*begun, *rest][: max(planes, len(begun))])


def _drawable(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> list[int]:
    """The axes whose slices are no more stretched than is good to draw on; the least stretched one always."""
    stretched = {}
    for axis in (a for a in range(3) if shape[a] > 1):
        sides = [spacing_mm[a] for a in range(3) if a != axis]
        stretched[axis] = max(sides) / min(sides)
    most = max(STRETCHED, min(stretched.values(), default=0.0))
    return [axis for axis, by in stretched.items() if by <= most]


def _done(axis: int, slices: tuple[LabelledSlice, ...]) -> GuideStep | None:
    """A slice across this axis on which an object was drawn, if there is one."""
    drawn = [s.index for s in slices if s.axis == axis and s.classes]
    return GuideStep(axis, drawn[0], True, "An object is labelled on this slice.") if drawn else None


def _middle(
    shape: tuple[int, ...], axes: list[int], spacing_mm: tuple[float, float, float]
) -> list[GuideStep]:
    """Nothing is known yet: the finest pixels first, each in the middle."""
    reasons = [
        "This plane has the finest pixels. Go to where your object is large, and label all of it.",
        "This slice crosses the first one at a right angle and shows how far the object reaches.",
        "This slice crosses both others.",
    ]
    order = sorted(axes, key=lambda axis: (-spacing_mm[axis], axis))
    return [GuideStep(axis, shape[axis] // 2, False, reason) for axis, reason in zip(order, reasons)]


def _around(
    objects: NDArray[np.bool_], axes: list[int], spacing_mm: tuple[float, float, float]
) -> list[GuideStep]:
    """The plane on which the longest cut lies comes first; its slice is where the object is widest."""
    found = []
    for axis in axes:
        others = [a for a in range(3) if a != axis]
        voxels = objects.sum(tuple(others))
        index = int(voxels.argmax())
        cut = np.take(objects, index, axis)
        lengths = [
            int(cut.any(across).sum()) * spacing_mm[a] for across, a in ((1, others[0]), (0, others[1]))
        ]
        found.append((max(lengths), axis, index))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [GuideStep(axis, index, False, _reason(length)) for length, axis, index in found]


def _reason(length_mm: float) -> str:
    return (
        f"Your object is widest here ({length_mm:.3g} mm). "
        "This slice crosses it at a right angle and shows how far it reaches."
    )
