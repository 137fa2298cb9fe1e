"""A proposal and what people said about its image, as one: labels are kept, and correct the proposal where they can.

The random walker with a prior (L. Grady, CVPR 2005), solved only around what a label contradicts. Labels are its seeds.
The proposal before (of a model, of atlases, of a fill) pulls every voxel: weakly beside a contradiction, and more
strongly with the distance from it. An error is expected to go on through the volume for about as far as it is wide on
the labelled slice. Beyond that, and wherever labels agree with the proposal, nothing changes, not by a bit.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components

from learners.propagate import intensity_model as looks
from learners.propagate.contract import FilledVolume, LabelledSlice, PropagationInput, RunControl, grey
from learners.propagate.random_walker import SHARPNESS, normalised, one_hot
from learners.propagate.region import with_surroundings
from learners.propagate.voxel_graph import Edges, solve, system_of
from storage.arrays import BACKGROUND, UNLABELLED, plane

PULL = 0.1  # of the proposal beside a contradiction, against 1 for an edge inside an even region
REACH = 0.5  # of an error's width: the distance over which the pull grows to e times as much
NEAREST, FURTHEST = 1.5, 8.0  # of the finest voxels' sides: that distance at least, and at most
ENDS = 2.0  # of those distances: beyond, nothing changes
LOOK = 0.5  # power of what brightness says, against 1 for the proposal
DOUBT = 0.1  # of the proposal's class, for brightness to have a say
IMPLIED = 242  # confidence at most, where nobody said it
TRUST = 0.75  # of a proposal nobody has measured
CropSlices = tuple[slice, ...]


@dataclass(frozen=True)
class Prior:
    """What is proposed for a volume before people's labels are laid over it."""

    classes: NDArray[np.uint8]  # (Z, Y, X), UNLABELLED where it proposes nothing
    confidence: NDArray[np.uint8]  # (Z, Y, X) 255 certain
    trust: float = TRUST  # 0..1, its expected Dice: how strongly it pulls

    def __post_init__(self) -> None:
        if self.classes.shape != self.confidence.shape or self.classes.ndim != 3:
            raise ValueError(
                f"classes and confidence must be (Z, Y, X), got {self.classes.shape} and {self.confidence.shape}"
            )


def fuse(case: PropagationInput, prior: Prior, run: RunControl | None = None) -> FilledVolume:
    """The proposal as corrected by the labels. Quick where they agree. Raises ValueError, PropagationCancelled."""
    if prior.classes.shape != case.shape:
        raise ValueError(f"the proposal is {prior.classes.shape}, the volume {case.shape}; propose it anew")
    started, run = time.monotonic(), run or RunControl()
    classes, confidence = np.array(prior.classes), np.array(prior.confidence)
    stated = case if case.shape[0] == 1 else _with_implied(case, prior)  # a picture shows many objects
    known = stated.known != UNLABELLED
    classes[known] = stated.known[known]
    width = _widths(stated, prior.classes)
    finished = True
    if width.any():
        finished = _correct(stated, prior, (classes, confidence), width, run)
    implied = known & (case.known == UNLABELLED) & (classes != prior.classes)
    confidence[implied] = IMPLIED
    confidence[case.known != UNLABELLED] = 255
    return FilledVolume(classes, confidence, time.monotonic() - started, finished)


def _with_implied(case: PropagationInput, prior: Prior) -> PropagationInput:
    """The case with what open slices imply: background, save for proposed objects that nobody has touched there; and
    that classes which nobody has drawn there yet are where they were proposed: their turn comes."""
    known = with_surroundings(case).known
    for s in case.slices:
        said, now = plane(case.known, s.axis, s.index), plane(known, s.axis, s.index)
        if s.complete or not case.drawn[s]:
            continue
        proposed, unsaid = plane(prior.classes, s.axis, s.index), said == UNLABELLED
        now[unsaid & (now == BACKGROUND) & _untouched(proposed, said)] = UNLABELLED
        to_come = unsaid & ~np.isin(proposed, (BACKGROUND, UNLABELLED, *case.drawn[s]))
        now[to_come] = proposed[to_come]
    return replace(case, known=known)


def _untouched(proposed: NDArray[np.uint8], said: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(rows, columns) proposed objects of a slice on which nobody drew anything."""
    drawn = (said != UNLABELLED) & (said != BACKGROUND)
    out = np.zeros(proposed.shape, np.bool_)
    for value in np.unique(proposed):
        if value not in (BACKGROUND, UNLABELLED):
            numbered, _ = components(proposed == value)
            out |= (numbered > 0) & ~np.isin(numbered, np.unique(numbered[drawn]))
    return out


def _widths(case: PropagationInput, proposed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(Z, Y, X) mm: how wide the error is that a known voxel is part of; 0 where it agrees or nothing is known."""
    width = np.zeros(case.shape, np.float32)
    wrong = (case.known != UNLABELLED) & (case.known != proposed)
    wrong &= ~((proposed == UNLABELLED) & (case.known == BACKGROUND))
    if not wrong.any():
        return width
    strays = tuple(LabelledSlice(0, int(k)) for k in np.flatnonzero(wrong.any((1, 2))))
    for s in (*case.slices, *strays):
        rows, columns = (mm for axis, mm in enumerate(case.spacing_mm) if axis != s.axis)
        here = plane(wrong, s.axis, s.index)
        if not here.any() or (s in strays and not (here & (plane(width, s.axis, s.index) == 0)).any()):
            continue
        numbered, count = components(here, np.ones((3, 3)))
        pixels = np.bincount(numbered.ravel(), minlength=count + 1)
        pixels[0] = 0
        found = np.sqrt(pixels * (rows * columns)).astype(np.float32)[numbered]
        np.maximum(plane(width, s.axis, s.index), found, out=plane(width, s.axis, s.index))
    return width


def _correct(
    case: PropagationInput,
    prior: Prior,
    out: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    width: NDArray[np.float32],
    run: RunControl,
) -> bool:
    """Solve around the errors and write, in place, what changes. Whether it was finished."""
    classes, confidence = out
    unit = min(case.spacing_mm)
    window = _around(width > 0, [math.ceil(ENDS * FURTHEST * unit / mm) + 1 for mm in case.spacing_mm])
    width = width[window]
    distance, nearest = distance_transform_edt(width == 0, case.spacing_mm, return_indices=True)
    scale = (REACH * width[tuple(nearest)]).clip(NEAREST * unit, FURTHEST * unit)
    steps = (distance / scale).astype(np.float32)
    free = (steps <= ENDS) & (case.known[window] == UNLABELLED)
    if not free.any():
        return True
    run.check()
    hard, before = classes[window], prior.classes[window][free]
    values = tuple(int(v) for v in np.unique(hard) if v not in (BACKGROUND, UNLABELLED))
    if not values:
        hard[free] = BACKGROUND
        return True
    part = _part(replace(case, known=_looked_at(case, classes)), window, values)
    pull = PULL * (prior.trust / TRUST) * np.exp(steps[free])
    pull[before == UNLABELLED] = 1e-3
    soft, finished = _walked(part, free, hard, before, pull.astype(np.float32), values, run)
    every = np.concatenate([1 - soft.sum(1, keepdims=True), soft], 1).clip(0, 1)
    found = np.array([BACKGROUND, *values], np.uint8)[every.argmax(1)]
    changed = found != before
    sure = np.rint(every.max(1) * 255).clip(1, IMPLIED).astype(np.uint8)
    hard[free] = found
    confidence[window][free] = np.where(changed, sure, prior.confidence[window][free])
    return finished


def _walked(
    part: PropagationInput,
    free: NDArray[np.bool_],
    hard: NDArray[np.uint8],
    before: NDArray[np.uint8],
    pull: NDArray[np.float32],
    values: tuple[int, ...],
    run: RunControl,
) -> tuple[NDArray[np.float32], bool]:
    """(N, K) the chance of each class at the free voxels, and whether it was solved to the end."""
    index = np.zeros(256, np.uint8)
    index[list(values)] = np.arange(1, len(values) + 1)
    lean = _with_looks(part, free, one_hot(index[before], len(values)))
    edges = Edges(part.image, part.spacing_mm, SHARPNESS)
    system, held = system_of(free, edges, lambda places: one_hot(index[hard.ravel()[places]], len(values)))
    system = replace(system, diagonal=system.diagonal + pull)
    soft, finished, _ = solve(system, held + pull[:, None] * lean, lean, run)
    return soft.clip(0, 1), finished


def _with_looks(
    part: PropagationInput, free: NDArray[np.bool_], proposed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, K) the proposal, as brightness makes it likelier or less likely; what no label shows keeps its chance."""
    said = [bool((part.known == value).any()) for value in (BACKGROUND, *part.classes)]
    if not said[0]:
        return proposed
    ratios = looks.local_likelihood_ratio(part, background=True)
    none = np.ones(len(proposed), np.float32)
    say = np.stack([np.power(r[free], LOOK) if shown else none for r, shown in zip(ratios, said[1:])], -1)
    chance = (1 - DOUBT) * proposed + DOUBT / (proposed.shape[1] + 1)
    odds = chance / (1 - chance.sum(1, keepdims=True)) * say
    return (odds / (1 + odds.sum(1, keepdims=True))).astype(np.float32)


def _looked_at(case: PropagationInput, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(Z, Y, X) what is known, and the proposal of slices on which a person mended a part: the rest was left as right.

    Without it brightness would have no say there: a part that is missing says nothing about the background.
    """
    mended = [s for s in case.slices if s.classes == () and not s.complete]
    if not mended:
        return case.known
    known = case.known.copy()
    for s in mended:
        cut = plane(known, s.axis, s.index)
        np.copyto(cut, plane(classes, s.axis, s.index), where=cut == UNLABELLED)
    return known


def _part(case: PropagationInput, window: CropSlices, values: tuple[int, ...]) -> PropagationInput:
    """What is known in the window, its brightness normalised."""
    image = normalised(grey(np.asarray(case.image[window]), case.window))
    return PropagationInput(image, case.known[window], (), case.spacing_mm, named=values)


def _around(mask: NDArray[np.bool_], grow: list[int]) -> CropSlices:
    """The box of a mask, grown by so many voxels an axis."""
    out = []
    for axis, more in enumerate(grow):
        hit = np.flatnonzero(mask.any(tuple(b for b in range(3) if b != axis)))
        out.append(slice(max(0, int(hit[0]) - more), int(hit[-1]) + 1 + more))
    return tuple(out)
