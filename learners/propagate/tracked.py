"""Propagation by a video model with memory (SAM 2, EdgeTAM): each plane is a film, each labelled slice a given mask.

Tested with a small network of random weights; not run with trained ones.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import Method, PropagationInput, PropagationResult, RunControl, as_bytes
from learners.propagate.distances import guess_of, nearest_mm
from storage.arrays import plane


class Tracker(Protocol):
    """`models.sam.sam2.Propagator`."""

    def propagate(
        self,
        slices: NDArray[np.uint8],
        seeds: Mapping[int, NDArray[np.bool_]],
        report: Callable[[int, int], None],
    ) -> NDArray[np.float32]: ...


class _Late(Exception):
    """The deadline came; what is there is used."""


def tracked(load: Callable[[], Tracker]) -> Method:
    """The propagator of a video model. Costs two passes over the slices of an axis for each class it was drawn on."""

    def propagate(case: PropagationInput, run: RunControl) -> PropagationResult:
        tracker, pixels = load(), as_bytes(case.image)
        guess = guess_of(case, _chances(case, run, tracker, pixels))
        return PropagationResult(guess.classes, guess.probability, not run.out_of_time)

    return propagate


def tracker_on_this_machine(names: tuple[str, ...], chosen: str = "") -> Tracker:
    """The weights that were chosen if they are among these and here, else the first that is. Raises ValueError where
    none is."""
    from models.sam.sam2 import load_propagator
    from models.weights import CATALOGUE, find, weights_folder

    for name in sorted(names, key=lambda name: name != chosen):
        folder = find(CATALOGUE[name])
        if folder is not None:
            return load_propagator(folder)
    wanted = " or ".join(CATALOGUE[name].file for name in names)
    raise ValueError(
        f"tracking with SAM 2 needs the folder {wanted} in {weights_folder()}: "
        f"get it from {CATALOGUE[names[0]].source}"
    )


def _chances(
    case: PropagationInput, run: RunControl, tracker: Tracker, pixels: NDArray[np.uint8]
) -> Iterator[NDArray[np.float32]]:
    """The probability of each class: what each axis's film shows, weighed by how near its labelled slices are."""
    for n, value in enumerate(case.classes):
        total, weights = np.zeros(case.shape, np.float32), np.full(case.shape, 1e-6, np.float32)
        for axis in range(3):
            seeds = _seeds(case, axis, value)
            if not seeds or run.out_of_time:
                continue
            found = _followed(tracker, np.moveaxis(pixels, axis, 0), seeds, run, n / len(case.classes))
            if found is None:
                continue
            at = case.speaking(axis, value)
            mm = case.spacing_mm[axis]
            near = nearest_mm(case.shape[axis], at, mm)
            weight = (1 / (near + mm / 2) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
            total += weight * np.moveaxis(found, 0, axis)
            weights += weight
        yield total / weights


def _seeds(case: PropagationInput, axis: int, value: int) -> dict[int, NDArray[np.bool_]]:
    """The masks of a class on the slices of an axis that show it."""
    masks = {k: plane(case.known, axis, k) == value for k in case.speaking(axis, value)}
    return {k: np.ascontiguousarray(mask) for k, mask in masks.items() if mask.any()}


def _followed(
    tracker: Tracker,
    slices: NDArray[np.uint8],
    seeds: Mapping[int, NDArray[np.bool_]],
    run: RunControl,
    share: float,
) -> NDArray[np.float32] | None:
    """(n, rows, columns) probabilities; None where the deadline came first."""

    def report(done: int, of: int) -> None:
        run.check()
        run.progress(share)
        if run.out_of_time:
            raise _Late

    try:
        return tracker.propagate(np.repeat(slices[..., None], 3, 3), seeds, report)
    except _Late:
        return None
