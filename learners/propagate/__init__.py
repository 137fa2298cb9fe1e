"""From a handful of labelled slices to a whole volume: every way of filling in the rest, behind one call."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learners.propagate.case import Cancelled, Case, Filled, Guess, LabelledSlice, Method, Run, grey
from learners.propagate.region import cropped, region_of_interest, with_surroundings
from storage.arrays import UNLABELLED

__all__ = [
    "PROPAGATORS",
    "Cancelled",
    "Case",
    "Entry",
    "Filled",
    "LabelledSlice",
    "Run",
    "fill",
    "fill_with",
    "grey",
]

OUTSIDE = 247  # confidence that there is nothing beyond the region of interest
IMPLIED = 242  # at most, where background was concluded and not said


@dataclass(frozen=True)
class Entry:
    """A propagator that can be chosen."""

    title: str
    good_at: str
    load: Callable[[], Method]
    weights: tuple[str, ...] = ()  # names in models.weights.CATALOGUE, of which it needs one

    @property
    def ready(self) -> bool:
        """Whether what it needs is on this machine."""
        from models.weights import CATALOGUE, find

        return not self.weights or any(find(CATALOGUE[name]) for name in self.weights)


VIDEO_WEIGHTS = ("edgetam", "sam2.1_tiny")


def _shape() -> Method:
    from learners.propagate.shape import interpolate

    return interpolate


def _walker() -> Method:
    from learners.propagate.walker import walk

    return walk


def _walks() -> Method:
    from learners.propagate.walks import vote

    return vote


def _flow() -> Method:
    from learners.propagate.flow import flow

    return flow


def _demons() -> Method:
    from learners.propagate.flow import demons

    return demons


def _prompted() -> Method:
    from learners.propagate.prompted import prompted
    from models import PROMPT_MODELS

    return prompted(lambda: PROMPT_MODELS["graphcut"].factory(None))


def _tracked() -> Method:
    from learners.propagate.tracked import tracked, tracker_on_this_machine

    return tracked(lambda: tracker_on_this_machine(VIDEO_WEIGHTS))


PROPAGATORS: dict[str, Entry] = {
    "random_walker": Entry(
        title="Random walker",
        good_at="nearly everything: follows edges where the image has them, outlines where it has none",
        load=_walker,
    ),
    "shape": Entry(
        title="Shape-based interpolation",
        good_at="smooth objects in images without clear edges; takes milliseconds",
        load=_shape,
    ),
    "walks": Entry(
        title="Weighted random walks",
        good_at="evenly bright objects from one or two slices; wants a GPU for large volumes",
        load=_walks,
    ),
    "flow": Entry(
        title="Optical flow",
        good_at="objects that wander from slice to slice, such as vessels and bowel",
        load=_flow,
    ),
    "demons": Entry(
        title="Deformable registration",
        good_at="as optical flow, smoother and slower",
        load=_demons,
    ),
    "prompted": Entry(
        title="Prompt model from slice to slice",
        good_at="objects with clear outlines whose shape changes along the volume",
        load=_prompted,
    ),
    "tracked": Entry(
        title="SAM 2 or EdgeTAM, as a film",
        good_at="objects that a video model follows; wants a GPU; not tried with trained weights yet",
        load=_tracked,
        weights=VIDEO_WEIGHTS,
    ),
}


def fill(name: str, case: Case, run: Run | None = None) -> Filled:
    """Fill a volume by a registered propagator. Raises LookupError, ValueError where nothing is drawn, Cancelled."""
    if name not in PROPAGATORS:
        raise LookupError(f"there is no propagator {name!r}; there are: {', '.join(PROPAGATORS)}")
    return fill_with(PROPAGATORS[name].load(), case, run or Run())


def fill_with(method: Method, case: Case, run: Run) -> Filled:
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
    return Filled(classes, confidence, time.monotonic() - started, guess.finished, guess.state)


def _confidence(part: Case, guess: Guess) -> NDArray[np.uint8]:
    confidence = np.rint(guess.probability * 255).clip(0, 255).astype(np.uint8)
    implied = part.known != UNLABELLED
    confidence[implied] = np.minimum(confidence[implied], IMPLIED)
    return confidence


def _with_strays(case: Case) -> Case:
    """The case with a slice for each class that was drawn on none of those listed."""
    listed = {value for drawn in case.drawn.values() for value in drawn}
    strays = [
        LabelledSlice(0, int((case.known == value).sum((1, 2)).argmax()), False, (value,))
        for value in case.classes
        if value not in listed
    ]
    return replace(case, slices=(*case.slices, *strays)) if strays else case
