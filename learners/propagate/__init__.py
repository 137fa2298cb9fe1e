"""From a handful of labelled slices to a whole volume: every way of filling in the rest, behind one call."""

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import (
    FilledVolume,
    LabelledSlice,
    Method,
    PropagationCancelled,
    PropagationInput,
    PropagationResult,
    RunControl,
    grey,
)
from learners.propagate.region import cropped, region_of_interest, with_surroundings
from models.lazy import LazyFunction
from storage.arrays import UNLABELLED

__all__ = [
    "PROPAGATORS",
    "PropagationCancelled",
    "PropagationInput",
    "PropagatorEntry",
    "FilledVolume",
    "LabelledSlice",
    "RunControl",
    "fill",
    "fill_with",
    "grey",
]

OUTSIDE = 247  # confidence that there is nothing beyond the region of interest
IMPLIED = 242  # at most, where background was concluded and not said


@dataclass(frozen=True)
class PropagatorEntry:
    """A propagator that can be chosen."""

    title: str
    good_at: str
    method: Method
    weights: tuple[str, ...] = ()  # names in models.weights.CATALOGUE, of which it needs one

    @property
    def ready(self) -> bool:
        """Whether what it needs is on this machine."""
        from models.weights import CATALOGUE, find

        return not self.weights or any(find(CATALOGUE[name]) for name in self.weights)


VIDEO_WEIGHTS = ("edgetam", "sam2.1_tiny")


def _prompted(case: PropagationInput, run: RunControl) -> PropagationResult:
    from learners.propagate.prompted import prompted, still_open

    return prompted(lambda: still_open(run.prompts))(case, run)


def _tracked(case: PropagationInput, run: RunControl) -> PropagationResult:
    from learners.propagate.tracked import tracked, tracker_on_this_machine

    return tracked(lambda: tracker_on_this_machine(VIDEO_WEIGHTS, run.prompts.name))(case, run)


PROPAGATORS: dict[str, PropagatorEntry] = {
    "random_walker": PropagatorEntry(
        title="Random walker",
        good_at="nearly everything; follows edges, and outlines where there are no edges",
        method=LazyFunction("learners.propagate.random_walker:walk"),
    ),
    "shape": PropagatorEntry(
        title="Shape-based interpolation",
        good_at="smooth objects in images without clear edges; takes milliseconds",
        method=LazyFunction("learners.propagate.shape:interpolate"),
    ),
    "walks": PropagatorEntry(
        title="Weighted random walks",
        good_at="evenly bright objects from one or two slices; use a GPU for large volumes",
        method=LazyFunction("learners.propagate.random_walks:vote"),
    ),
    "flow": PropagatorEntry(
        title="Optical flow",
        good_at="objects that wander from slice to slice, such as vessels and bowel",
        method=LazyFunction("learners.propagate.registration:flow"),
    ),
    "demons": PropagatorEntry(
        title="Deformable registration",
        good_at="the same as optical flow, but smoother and slower",
        method=LazyFunction("learners.propagate.registration:demons"),
    ),
    "prompted": PropagatorEntry(
        title="Prompt model from slice to slice",
        good_at="objects with clear outlines and a changing shape; uses the model that answers your clicks",
        method=_prompted,
    ),
    "tracked": PropagatorEntry(
        title="SAM 2 or EdgeTAM, as a film",
        good_at="objects that a video model can follow; best with a GPU; not tested with trained weights",
        method=_tracked,
        weights=VIDEO_WEIGHTS,
    ),
}


def fill(name: str, case: PropagationInput, run: RunControl | None = None) -> FilledVolume:
    """Fill a volume by a registered propagator. Raises LookupError, ValueError where nothing is drawn, Cancelled."""
    if name not in PROPAGATORS:
        raise LookupError(f"there is no propagator {name!r}; there are: {', '.join(PROPAGATORS)}")
    return fill_with(PROPAGATORS[name].method, case, run or RunControl())


def fill_with(method: Method, case: PropagationInput, run: RunControl) -> FilledVolume:
    """As `fill`, by any method: work in the region of interest, then put back what is known."""
    if not case.classes or not case.slices:
        raise ValueError("no object is labelled in this volume yet; label one on any slice first")
    started = time.monotonic()
    case = _with_strays(case)
    box = region_of_interest(case)
    part = with_surroundings(cropped(case, box))
    part = replace(part, image=grey(part.image, part.window))
    guess = method(part, run)
    run.check()
    classes, confidence = np.zeros(case.shape, np.uint8), np.full(case.shape, OUTSIDE, np.uint8)
    window = tuple(slice(low, high) for low, high in box)
    classes[window], confidence[window] = guess.classes, _confidence(part, guess)
    known = case.known != UNLABELLED
    classes[known], confidence[known] = case.known[known], 255
    return FilledVolume(classes, confidence, time.monotonic() - started, guess.finished, guess.state)


def _confidence(part: PropagationInput, guess: PropagationResult) -> NDArray[np.uint8]:
    confidence = np.rint(guess.probability * 255).clip(0, 255).astype(np.uint8)
    implied = part.known != UNLABELLED
    confidence[implied] = np.minimum(confidence[implied], IMPLIED)
    return confidence


def _with_strays(case: PropagationInput) -> PropagationInput:
    """The case with a slice for each class that was drawn on none of those listed."""
    listed = {value for drawn in case.drawn.values() for value in drawn}
    strays = [
        LabelledSlice(0, int((case.known == value).sum((1, 2)).argmax()), False, (value,))
        for value in case.classes
        if value not in listed
    ]
    return replace(case, slices=(*case.slices, *strays)) if strays else case
