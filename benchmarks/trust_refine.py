"""Mending proposals by one click: actions and minutes to a good volume, against drawing, and how long a click takes.

A simulated person mends by Shift+click: it goes to the slice with the widest error, clicks the middle of it, looks at
up to three parts on offer, takes the first of which more than half is right and that makes the volume better, and
presses Enter. Where none is, it paints the error with the brush. Proposals are `bent`, wrong everywhere along their
outlines as an atlas is, or `torn`: pieces are missing, and others too much. `drawn over` corrects the proposal by
whole slices, each drawn and completed where the app asks for one; `drawn anew` does so without the proposal.
`redrawn` begins with Shift+O: the prompt model draws all outlines anew, and the person waits as long as that took of
one core. It is measured on volumes that the prompt model was not trained on.
Seconds of an action are those of `benchmarks/simulated.py`, and CLICK, LOOK and KEY.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as components

from annotator.prompting.wrong_part import wrong_parts
from annotator.windowing import to_rgb
from benchmarks.clicks import depth
from benchmarks.common import Row
from benchmarks.simulated import DRAW_PER_PIXEL, DRAW_SECONDS, SLICE_SECONDS, contour
from benchmarks.sparse import SlicePlace, SparseSubject, case_of
from benchmarks.trust_cases import bent, classes_of, mean_dice, place, prior_of, with_balls
from learners.propagate import FilledVolume, LabelledSlice, PropagationInput, fill
from learners.propagate.fused import Prior, fuse
from learners.propagate.next_slice import Volume, next_slice
from learners.propagate.redrawn import redraw
from learners.propagate.renewed import FillShown, Trial, next_fill
from models import BUILT_IN, PROMPT_MODELS
from models.prompt import PromptModel, Prompts
from storage.arrays import BACKGROUND, UNLABELLED, plane

GOAL = 0.90  # mean Dice over classes
STARTS = (0.6, 0.7, 0.8)  # Dice of the proposals
CLICK, LOOK, KEY = 2.4, 1.5, 1.0  # seconds: to point, to look at what is on offer, to press Enter
MOST_MENDS, MOST_SLICES = 40, 12
SIDE = 128  # voxels of the volume that latencies are of
CLICKS = 7  # that are timed
MEND, OVER, ANEW = "mended by clicks", "drawn over", "drawn anew"
REDRAWN = "redrawn"
Bits = NDArray[np.bool_]


@dataclass
class Effort:
    """What it took, and how good the volume is."""

    dice: float
    actions: int = 0
    seconds: float = 0.0
    painted: int = 0  # errors that no click mended

    def act(self, seconds: float) -> None:
        self.actions += 1
        self.look(seconds)

    def look(self, seconds: float) -> None:
        """Takes time, and is no action."""
        self.seconds += seconds


@dataclass
class Mender:
    """One person at one volume with a proposal."""

    subject: SparseSubject
    prior: Prior
    known: NDArray[np.uint8] = field(init=False)
    shown: NDArray[np.uint8] = field(init=False)
    places: list[SlicePlace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = np.full(self.subject.truth.shape, UNLABELLED, np.uint8)
        self.shown = np.asarray(self.prior.classes)

    @cached_property
    def axis(self) -> int:
        """The plane with the finest pixels."""
        return max(range(3), key=lambda a: (self.subject.spacing_mm[a], -a))

    def fused(self, axis: int, index: int, part: Bits, value: int) -> NDArray[np.uint8]:
        """The volume once a part of a slice was said to be of a class."""
        known = self.known.copy()
        plane(known, axis, index)[part & (plane(known, axis, index) == UNLABELLED)] = value
        at = dict.fromkeys([*self.places, (axis, index)])
        slices = tuple(LabelledSlice(a, i, False, ()) for a, i in at)
        case = PropagationInput(
            self.subject.image, known, slices, self.subject.spacing_mm, window=self.subject.window
        )
        return fuse(case, self.prior).classes

    def say(self, axis: int, index: int, part: Bits, value: int, after: NDArray[np.uint8]) -> None:
        cut = plane(self.known, axis, index)
        cut[part & (cut == UNLABELLED)] = value
        self.places.append((axis, index))
        self.shown = after

    def widest_error(self) -> tuple[int, int, Bits, int] | None:
        """Axis, index, the error (rows, columns) and what it should be; None where nothing is wrong."""
        wrong, best = self.shown != self.subject.truth, None
        for index in range(wrong.shape[self.axis]):
            cut = plane(wrong, self.axis, index) & (plane(self.known, self.axis, index) == UNLABELLED)
            if cut.any() and (best is None or depth(cut).max() > best[0]):
                best = float(depth(cut).max()), index
        if best is None:
            return None
        index = best[1]
        cut = plane(wrong, self.axis, index) & (plane(self.known, self.axis, index) == UNLABELLED)
        at = np.unravel_index(int(depth(cut).argmax()), cut.shape)
        truth, shown = plane(self.subject.truth, self.axis, index), plane(self.shown, self.axis, index)
        numbered, _ = components(cut & (truth == truth[at]) & (shown == shown[at]))
        return self.axis, index, numbered == numbered[at], int(truth[at])


def refining(found: Sequence[SparseSubject]) -> Iterator[Row]:
    """Per set, kind of error, start and way: actions, simulated minutes and the Dice reached."""
    for name in dict.fromkeys(subject.set for subject in found):
        of_set = [each for each in found if each.set == name]
        yield from _rows(name, ANEW, [drawn(each, None) for each in of_set])
        for kind, made in (("bent", bent), ("torn", torn)):
            for start in STARTS:
                rngs = [np.random.default_rng(number) for number in range(len(of_set))]
                priors = [prior_of(each, made(each, start, rng)) for each, rng in zip(of_set, rngs)]
                pairs = list(zip(of_set, priors, strict=True))
                yield from _rows(f"{name}, {kind} to {start:.1f}", MEND, [mended(*pair) for pair in pairs])
                yield from _rows(f"{name}, {kind} to {start:.1f}", OVER, [drawn(*pair) for pair in pairs])
                print(f"{name}: {kind} to {start:.1f} done", flush=True)


def redrawing(found: Sequence[SparseSubject]) -> Iterator[Row]:
    """Slices drawn over a proposal, and over the same proposal once Shift+O was pressed; and what that alone did."""
    for number, subject in enumerate(found):
        for kind, made in (("bent", bent), ("torn", torn)):
            for start in STARTS[1:]:
                prior = prior_of(subject, made(subject, start, np.random.default_rng(number)))
                again, effort = redrawn(subject, prior)
                name = f"{subject.set}, {kind} to {start:.1f}"
                yield from _rows(name, REDRAWN, [effort])
                yield from _rows(name, f"{REDRAWN}, then {OVER}", [drawn(subject, again, replace(effort))])
                yield from _rows(name, OVER, [drawn(subject, prior)])
                print(f"{subject.name}: {name} done", flush=True)


def redrawn(subject: SparseSubject, prior: Prior) -> tuple[Prior, Effort]:
    """One key, and the wait."""
    effort, started = Effort(0.0), time.process_time()
    known = np.full(subject.truth.shape, UNLABELLED, np.uint8)
    case = PropagationInput(subject.image, known, (), subject.spacing_mm, window=subject.window)
    found = redraw(case, prior, _model())
    effort.act(KEY)
    effort.look(time.process_time() - started)
    effort.dice = mean_dice(found.classes, subject.truth)
    return Prior(found.classes, found.confidence), effort


def torn(subject: SparseSubject, dice: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The truth with pieces cut out of it and others too much, until so much overlap is left."""
    out = subject.truth
    while mean_dice(out, subject.truth) > dice:
        out = with_balls(subject, out, rng, spill=bool(rng.integers(2)), share=0.3)
    return out


def _rows(name: str, way: str, efforts: list[Effort]) -> Iterator[Row]:
    count = len(efforts)
    yield Row(name, way, "actions", float(np.mean([e.actions for e in efforts])), count)
    yield Row(name, way, "minutes", float(np.mean([e.seconds for e in efforts])) / 60, count)
    yield Row(name, way, "Dice", float(np.mean([e.dice for e in efforts])), count)
    yield Row(name, way, "reached 0.90", float(np.mean([e.dice >= GOAL for e in efforts])), count)
    if way == MEND:
        yield Row(name, way, "errors painted", float(np.mean([e.painted for e in efforts])), count)


def mended(subject: SparseSubject, prior: Prior) -> Effort:
    """Shift+click, look, Enter, until the volume is good or MOST_MENDS are made."""
    person, last = Mender(subject, prior), -1
    effort = Effort(mean_dice(person.shown, subject.truth))
    for _ in range(MOST_MENDS):
        error = person.widest_error()
        if effort.dice >= GOAL or error is None:
            break
        axis, index, wrong, value = error
        if index != last:
            effort.act(SLICE_SECONDS)
        last = index
        effort.act(CLICK)
        part, after = _taken(person, axis, index, wrong, effort)
        if part is None or after is None:
            part, after = wrong, person.fused(axis, index, wrong, value)
            effort.painted += 1
            effort.act(DRAW_SECONDS + DRAW_PER_PIXEL * contour(wrong.astype(np.uint8)))
            person.say(axis, index, part, value, after)
        else:
            effort.act(KEY)
            person.say(axis, index, part, _said(person, axis, index, wrong), after)
        effort.dice = mean_dice(person.shown, subject.truth)
    return effort


def _taken(
    person: Mender, axis: int, index: int, wrong: Bits, effort: Effort
) -> tuple[Bits | None, NDArray[np.uint8] | None]:
    """The first part on offer that makes the volume better, and that volume."""
    value = _said(person, axis, index, wrong)
    for part in parts_at(person, axis, index, wrong):
        effort.look(LOOK)
        if 2 * (part & wrong).sum() <= part.sum():
            continue
        after = person.fused(axis, index, part, value)
        if mean_dice(after, person.subject.truth) > mean_dice(person.shown, person.subject.truth):
            return part, after
    return None, None


def _said(person: Mender, axis: int, index: int, wrong: Bits) -> int:
    """What Shift+click says there: background on a proposal, else the nearest proposed object's class."""
    shown = plane(person.shown, axis, index)
    at = middle_of(wrong)
    if shown[at] not in (BACKGROUND, UNLABELLED):
        return BACKGROUND
    beside = _nearest(shown, at)
    return BACKGROUND if beside is None else int(shown[beside])


def middle_of(region: Bits) -> tuple[int, int]:
    """(row, column) of its deepest pixel."""
    row, column = np.unravel_index(int(depth(region).argmax()), region.shape)
    return int(row), int(column)


def _nearest(shown: NDArray[np.uint8], at: tuple[int, int]) -> tuple[int, int] | None:
    """The nearest proposed pixel."""
    places = np.argwhere((shown != BACKGROUND) & (shown != UNLABELLED))
    if not len(places):
        return None
    row, column = places[((places - np.array(at)) ** 2).sum(1).argmin()]
    return int(row), int(column)


def parts_at(person: Mender, axis: int, index: int, wrong: Bits) -> list[Bits]:
    """What Shift+click on the middle of an error offers, as the server answers the page."""
    shown, at = plane(person.shown, axis, index), middle_of(wrong)
    spill = shown[at] not in (BACKGROUND, UNLABELLED)
    seed = at if spill else _nearest(shown, at)
    if seed is None:
        return []
    numbered, _ = components(shown == shown[seed])
    proposed, point = numbered == numbered[seed], (float(at[0]), float(at[1]))
    picture = to_rgb(plane(person.subject.image, axis, index), person.subject.window)
    asked = Prompts(points_rc=(point,), labels=(0 if spill else 1,), mask=proposed)
    found = wrong_parts(_model().predict(_model().encode(picture), asked), proposed, point)
    return [part for part in found.masks if part.any()]


@cache
def _model() -> PromptModel:
    return PROMPT_MODELS[BUILT_IN].factory(None)


def drawn(subject: SparseSubject, prior: Prior | None, effort: Effort | None = None) -> Effort:
    """Whole slices, drawn and completed where the app asks, over a proposal or without one."""
    at = [place(subject, "middle", np.random.default_rng(0))]
    effort = effort or Effort(mean_dice(prior.classes, subject.truth) if prior else 0.0)
    chain = FillChain(subject)
    while effort.dice < GOAL and len(at) <= MOST_SLICES:
        _draw(subject, at[-1], effort)
        case = case_of(subject, at)
        shown = fuse(case, prior) if prior else chain.more(at)[0]
        effort.dice = mean_dice(shown.classes, subject.truth)
        asked = next_slice(Volume(shown.classes, shown.confidence, case.slices, subject.spacing_mm))
        if asked is None or (asked.axis, asked.index) in at:
            break
        at.append((asked.axis, asked.index))
    return effort


def _draw(subject: SparseSubject, at: SlicePlace, effort: Effort) -> None:
    """Open a slice, draw every class on it, and complete it."""
    truth = plane(subject.truth, *at)
    effort.act(SLICE_SECONDS)
    for value in classes_of(truth):
        effort.act(DRAW_SECONDS + DRAW_PER_PIXEL * contour((truth == value).astype(np.uint8)))
    effort.act(KEY)


def chained_fills(found: Sequence[SparseSubject], seeds: int) -> Iterator[Row]:
    """The law where no learner proposes anything: fills anew, and as the app lays them over the fill before."""
    for name in dict.fromkeys(subject.set for subject in found):
        changes: dict[str, list[float]] = {"over the fill before": [], "anew": []}
        last: dict[str, list[float]] = {way: [] for way in changes}
        for number, subject in enumerate(each for each in found if each.set == name):
            for seed in range(seeds):
                for way, values in _sequence(subject, np.random.default_rng([seed, number])).items():
                    changes[way] += list(np.diff(values))
                    last[way].append(values[-1])
        for way, values in changes.items():
            change = np.array(values)
            yield Row(f"{name}, fills", way, "mean change", float(change.mean()), len(change))
            yield Row(f"{name}, fills", way, "worst", float(change.min()), len(change))
            yield Row(
                f"{name}, fills", way, "share beyond the margin", float((change < -0.02).mean()), len(change)
            )
            yield Row(f"{name}, fills", way, "Dice at the end", float(np.mean(last[way])), len(last[way]))
        print(f"{name}: fills done", flush=True)


def _sequence(subject: SparseSubject, rng: np.random.Generator) -> dict[str, list[float]]:
    """Dice after each of six slices: the first where the app begins, the others anywhere across the objects."""
    at = [place(subject, "middle", rng)]
    values: dict[str, list[float]] = {"over the fill before": [], "anew": []}
    chain = FillChain(subject)
    for _ in range(6):
        shown, anew = chain.more(at)
        values["over the fill before"].append(mean_dice(shown.classes, subject.truth))
        values["anew"].append(mean_dice(anew.classes, subject.truth))
        while (more := place(subject, "random", rng)) in at:
            pass
        at.append(more)
    return values


@dataclass
class FillChain:
    """Fills of one volume that no learner proposed, as the app makes them."""

    subject: SparseSubject
    shown: FilledVolume | None = None
    trial: Trial | None = None

    def more(self, at: list[SlicePlace]) -> tuple[FilledVolume, FilledVolume]:
        """What the app shows once the last of these slices is labelled too, and the fill by labels alone."""
        case = case_of(self.subject, at)
        anew = fill("random_walker", case)
        newer = tuple(s for s in case.slices if (s.axis, s.index) == at[-1])
        if self.shown is None:
            self.shown, self.trial = anew, Trial(anew.classes)
        else:
            before = Prior(self.shown.classes, self.shown.confidence)
            self.shown, self.trial = next_fill(case, FillShown(before, newer, self.trial), anew)
        return self.shown, anew


def click_times() -> Iterator[Row]:
    """Seconds from a click to the part in the slice, and to what it changes in a volume of SIDE^3 voxels."""
    subject = _ball()
    prior = prior_of(subject, bent(subject, 0.75, np.random.default_rng(0)))
    person = Mender(subject, prior)
    took: dict[str, list[tuple[float, float]]] = {"part in the slice": [], "change in the volume": []}
    _model().encode(to_rgb(subject.image[0], subject.window))  # loaded before the first click, as in the app
    for _ in range(CLICKS):
        error = person.widest_error()
        if error is None:
            break
        axis, index, wrong, value = error
        with _timed(took["part in the slice"]):
            parts_at(person, axis, index, wrong)
        with _timed(took["change in the volume"]):
            after = person.fused(axis, index, wrong, value)
        person.say(axis, index, wrong, value, after)
    for what, pairs in took.items():
        wall, core = np.median(np.array(pairs), axis=0) * 1000
        yield Row(f"{SIDE}^3", what, "median ms", float(wall), len(pairs))
        yield Row(f"{SIDE}^3", what, "median ms of one core", float(core), len(pairs))


@contextmanager
def _timed(into: list[tuple[float, float]]) -> Iterator[None]:
    """Seconds by the clock, and of this process: others may share the machine."""
    started = time.perf_counter(), time.process_time()
    yield
    into.append((time.perf_counter() - started[0], time.process_time() - started[1]))


def _ball() -> SparseSubject:
    """Two ellipsoids in noise."""
    grid, truth = np.indices((SIDE,) * 3), np.zeros((SIDE,) * 3, np.uint8)
    for value, middle, radius in ((1, (58, 58, 45), (28, 25, 20)), (2, (70, 77, 90), (25, 23, 20))):
        truth[sum(((g - m) / r) ** 2 for g, m, r in zip(grid, middle, radius)) < 1] = value
    noise = np.random.default_rng(0).normal(0, 9, truth.shape)
    image = gaussian_filter(np.array([60.0, 100.0, 140.0])[truth], 0.6) + noise
    return SparseSubject("ball", "ball", image.astype(np.float32), truth, (1.0, 1.0, 1.0))
