"""From clicks or strokes of another tool to a mask of the whole image: the prompt model draws on slices, and the
project's fill carries that through the volume."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotator.background import Background
from annotator.dialects.pointing import FoundMask, SlicePrompts, masks_of, thinned
from annotator.dialects.subjects import Subject
from annotator.filling.asked_fills import FillQuestion
from annotator.labels.commit import Refused
from annotator.workflow import Workflow
from learners.propagate.contract import LabelledSlice
from storage.arrays import UNLABELLED, plane

VoxelIndex = tuple[int, int, int]
OBJECT = 1
NOTHING = "the prompt model finds no object there; click once more, or draw a box"


@dataclass(frozen=True)
class VolumeClicks:
    """Voxels (z, y, x) in display order."""

    label: str
    foreground: tuple[VoxelIndex, ...]
    background: tuple[VoxelIndex, ...]
    box: tuple[VoxelIndex, VoxelIndex] | None = None  # its lowest and highest voxel


@dataclass(frozen=True)
class VolumeStrokes:
    """(Z, Y, X) each."""

    foreground: NDArray[np.bool_]
    background: NDArray[np.bool_]
    before: NDArray[np.bool_]  # what the strokes correct


def mask_by_clicks(
    workflow: Workflow, background: Background, who: tuple[str, Subject], clicks: VolumeClicks, *, flat: bool
) -> FoundMask:
    """(Z, Y, X). `flat`: on the slices that were clicked on and nowhere else. Raises Refused, PropagationCancelled."""
    subject = who[1]
    asked = _by_slice(subject, clicks)
    found = _drawn(workflow, subject, asked)
    if not flat:
        known = _known(subject, found.mask, asked)
        for voxel in clicks.background:
            known[voxel] = 0
        found = _filled(background, who, _Begun(known, tuple(map(_labelled, asked)), found.ms))
    return replace(found, mask=_within(found.mask, clicks.box)) if clicks.box is not None else found


def mask_by_strokes(
    workflow: Workflow, background: Background, who: tuple[str, Subject], strokes: VolumeStrokes
) -> FoundMask:
    """(Z, Y, X), which corrects what is there already. Raises as `mask_by_clicks`."""
    subject = who[1]
    asked = _stroked_slices(subject, strokes)
    found = _drawn(workflow, subject, asked)
    if subject.shape[0] == 1:
        return found
    known = _known(subject, found.mask, asked)
    known[strokes.background] = 0
    before = strokes.before.astype(np.uint8) if strokes.before.any() else None
    return _filled(background, who, _Begun(known, tuple(map(_labelled, asked)), found.ms, before))


def _drawn(workflow: Workflow, subject: Subject, asked: list[SlicePrompts]) -> FoundMask:
    """(Z, Y, X): what the prompt model draws on the slices on which an object was pointed at."""
    pointed = [one for one in asked if one.says_object]
    voxels, answers = np.zeros(subject.shape, np.bool_), masks_of(workflow, subject, pointed)
    for one, answer in zip(pointed, answers, strict=True):
        plane(voxels, one.axis, one.index)[...] = answer.mask
    return FoundMask(voxels, max((answer.ms for answer in answers), default=0.0))


def _stroked_slices(subject: Subject, strokes: VolumeStrokes) -> list[SlicePrompts]:
    """In the plane that strokes were drawn in: the one of which they touch the fewest slices."""
    marked = strokes.foreground | strokes.background
    slices = [np.flatnonzero(marked.any(tuple(e for e in range(3) if e != d))) for d in range(3)]
    axis = 0 if subject.shape[0] == 1 else min(range(3), key=lambda d: (len(slices[d]), d != subject.axis))
    return [
        SlicePrompts(
            axis,
            int(n),
            thinned(np.argwhere(plane(strokes.foreground, axis, int(n)))),
            thinned(np.argwhere(plane(strokes.background, axis, int(n)))),
            scribbles=True,
        )
        for n in slices[axis]
    ]


def _by_slice(subject: Subject, clicks: VolumeClicks) -> list[SlicePrompts]:
    """What was clicked on each slice of the file; a box without clicks asks on its middle one."""
    axis = subject.axis
    box = _flat_box(clicks.box, axis)
    marked = [*clicks.foreground, *clicks.background]
    numbers = sorted({voxel[axis] for voxel in marked})
    if not clicks.foreground and clicks.box is not None:
        numbers = sorted({*numbers, (clicks.box[0][axis] + clicks.box[1][axis]) // 2})
    middle = (
        None if clicks.foreground or clicks.box is None else (clicks.box[0][axis] + clicks.box[1][axis]) // 2
    )
    return [
        SlicePrompts(
            axis,
            n,
            _on(clicks.foreground, axis, n),
            _on(clicks.background, axis, n),
            box if n == middle or _on(clicks.foreground, axis, n) else None,
        )
        for n in numbers
    ]


def _on(voxels: Iterable[VoxelIndex], axis: int, number: int) -> tuple[tuple[float, float], ...]:
    """Rows and columns of those on this slice."""
    there = (
        tuple(float(v) for d, v in enumerate(each) if d != axis) for each in voxels if each[axis] == number
    )
    return tuple((r, c) for r, c in there)


def _flat_box(
    box: tuple[VoxelIndex, VoxelIndex] | None, axis: int
) -> tuple[float, float, float, float] | None:
    if box is None:
        return None
    (r0, c0), (r1, c1) = ([float(v) for d, v in enumerate(end) if d != axis] for end in box)
    return r0, c0, r1 + 1, c1 + 1


def _known(subject: Subject, found: NDArray[np.bool_], asked: list[SlicePrompts]) -> NDArray[np.uint8]:
    """(Z, Y, X): slices with an object are known wholly. Raises Refused where the model found nothing on them."""
    if not found.any():
        raise Refused(NOTHING)
    known = np.full(subject.shape, UNLABELLED, np.uint8)
    for one in asked:
        if one.says_object:
            plane(known, one.axis, one.index)[...] = plane(found, one.axis, one.index)
    return known


def _labelled(one: SlicePrompts) -> LabelledSlice:
    return LabelledSlice(one.axis, one.index, one.says_object, (OBJECT,) if one.says_object else ())


@dataclass(frozen=True)
class _Begun:
    """What slices say of a volume."""

    known: NDArray[np.uint8]
    slices: tuple[LabelledSlice, ...]
    ms: float  # that the prompt model took
    before: NDArray[np.uint8] | None = None


def _filled(background: Background, who: tuple[str, Subject], begun: _Begun) -> FoundMask:
    user, subject = who
    question = FillQuestion(
        asker=f"{user} {subject.path.name}",
        pixels=subject.path,
        known=begun.known,
        slices=begun.slices,
        spacing_mm=subject.spacing_mm,
        window=subject.window,
        before=begun.before,
    )
    classes, seconds = background.asked.fill(background.fills.propagator, question)
    return FoundMask(classes == OBJECT, begun.ms + 1000 * seconds)


def _within(found: NDArray[np.bool_], box: tuple[VoxelIndex, VoxelIndex]) -> NDArray[np.bool_]:
    window = tuple(slice(low, high + 1) for low, high in zip(*box, strict=True))
    kept = np.zeros_like(found)
    kept[window] = found[window]
    return kept
