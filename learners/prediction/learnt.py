"""Whether a model has learned anything yet: does it find again what people labelled, where it is as sure as here?

One that misses most of the images that taught it proposes wrong places on all others too. Held-out images tell first;
where they are few, so do those that taught it, which flatters: what it misses even there, it has not learned. From
LEAST such images on they also tell how sure it is where it finds something: a proposal of which it is as unsure as of
those that it misses makes no sense. `python -m benchmarks.trust --part withheld-learned` measures what that withholds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from learners.prediction.evaluation import Evaluation
from learners.prediction.metrics import dice_of, overlaps
from learners.prediction.predict import Predicted
from learners.training.data import ImageReader
from storage.arrays import BACKGROUND, TornFile, open_npy

FOUND = 0.1  # Dice of the best class of an image: less is next to nothing
HALF = 0.5  # of the images that tell: what is found less often makes no sense
ENOUGH = 6  # images that tell; more of those that taught are not looked at
GOOD = 3  # of them, the first: where the model finds them all, no more are looked at
LEAST = 4  # images that tell, before it counts how sure the model was of each
MOST_VOXELS = 16_000_000  # of those that taught, the smallest first: larger volumes would take too long
MOST_SECONDS = 10.0  # for those that taught: people wait for proposals
Predict = Callable[[ImageReader], Predicted | None]  # None where an odd image cannot be predicted
Taught = tuple[ImageReader, NDArray[np.uint8]]  # and (Z, Y, X) what people said of it


@dataclass(frozen=True)
class FoundAgain:
    """On what share of images a model finds something again, by how sure it is of its proposal."""

    claims: tuple[float, ...] = ()  # ascending; none where no image tells
    shares: tuple[float, ...] = ()  # never falling

    @classmethod
    def of(cls, told: Sequence[tuple[float | None, bool]]) -> "FoundAgain":
        """`told`: of each image what the model claims, None where it proposes nothing, and whether it found it."""
        pairs = sorted((claimed or 0.0, found) for claimed, found in told)
        claims, found = [claimed for claimed, _ in pairs], [float(each) for _, each in pairs]
        if len(pairs) < LEAST:
            return cls(tuple(claims), (float(np.mean(found)),) * len(pairs) if pairs else ())
        return cls(tuple(claims), tuple(isotonic_regression(found).x.tolist()))

    def makes_sense(self, claimed: float | None) -> bool:
        """A proposal of which the model is so sure."""
        return not self.claims or float(np.interp(claimed or 0.0, self.claims, self.shares)) >= HALF

    @property
    def anything(self) -> bool:
        """Whether any proposal makes sense."""
        return not self.claims or self.shares[-1] >= HALF


def found_again(
    predict: Predict,
    cases: Sequence[ImageReader],
    classes: Sequence[int],
    judged: Evaluation,
    stopped: Callable[[], bool] = lambda: False,
) -> FoundAgain:
    """`predict` asks the model; `judged` is what held-out labels say of it; `stopped` says when nobody waits for it."""
    end = time.monotonic() + MOST_SECONDS
    taught = {case.example.image_id for case in cases if not case.example.all_held}
    # the mean over classes hides one that was learned among many that were not
    told = [
        (image.claimed, image.dice * len(classes) >= FOUND)
        for image in judged.images
        if image.image_id
        not in taught  # a single slice, at the end of an object perhaps, says little of an image
    ]
    for case, known in islice(_taught(cases, classes), max(0, ENOUGH - len(told))):
        if stopped() or time.monotonic() > end or (len(told) >= GOOD and all(found for _, found in told)):
            break
        if (proposed := predict(case)) is None:
            continue
        told.append((proposed.claimed, _finds_again(proposed.values, known, classes)))
    return FoundAgain.of(told)


def _finds_again(proposed: NDArray[np.uint8], known: NDArray[np.uint8], classes: Sequence[int]) -> bool:
    where = np.isin(known, (BACKGROUND, *classes))
    return bool(np.nanmax(dice_of(overlaps(proposed, known, classes, where))) >= FOUND)


def _taught(cases: Sequence[ImageReader], classes: Sequence[int]) -> Iterator[Taught]:
    """Images on which objects taught the model."""
    taught = [case for case in cases if case.example.known is not None and not case.example.all_held]
    taught.sort(key=lambda case: (_voxels(case), case.example.image_id))
    room = MOST_VOXELS
    for case in taught:
        room -= _voxels(case)
        if room < 0:
            return
        known = _known(case)
        if known is not None and np.isin(known, classes).any():
            yield case, known


def _known(case: ImageReader) -> NDArray[np.uint8] | None:
    try:
        return open_npy(case.example.known) if case.example.known else None
    except TornFile:
        return None


def _voxels(case: ImageReader) -> int:
    return int(np.prod(case.example.shape))
