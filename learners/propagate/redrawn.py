"""A proposal whose outlines a prompt model draws anew, in the planes of all three directions.

On each plane the proposed object is the prompt, as a mask. One direction alone is as often wrong as right: neighbouring
planes do not agree. What two of three directions say is better than the proposal wherever outlines are off by a little.
`python -m benchmarks.trust --part redraw` measures what that is worth.
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from learners.propagate.contract import FilledVolume, PropagationInput, RunControl, as_bytes, grey
from learners.propagate.fused import Prior
from models.prompt import PromptModel, Prompts
from storage.arrays import BACKGROUND, UNLABELLED, plane

OBLONG = 2.5  # how many times longer than wide a pixel of a plane may be: beyond, outlines there say nothing
SMALLEST = 5  # pixels of an object on a plane: what is smaller is left as it is
LIKE = 0.3  # Dice with the proposed object: what is less like it is another object
SURE, MOST = 230, 150  # confidence where all directions agree, and where two do
TOO_THICK = (
    "The slices lie too far apart to draw outlines in three directions; Shift+click a wrong part instead."
)
Outline = NDArray[np.bool_]


def redraw(
    case: PropagationInput, prior: Prior, model: PromptModel, run: RunControl | None = None
) -> FilledVolume:
    """The proposal with new outlines; labels are not asked. One prediction for each object on each plane: some 40 a
    second. What there is no time for stays. Raises ValueError where planes of some direction say nothing, and
    PropagationCancelled."""
    started, run = time.monotonic(), run or RunControl()
    if not redrawable(case.shape, case.spacing_mm):
        raise ValueError(TOO_THICK)
    proposed = np.where(prior.classes == UNLABELLED, BACKGROUND, prior.classes).astype(np.uint8)
    values = [int(v) for v in np.unique(proposed) if v != BACKGROUND]
    votes = {v: np.zeros(case.shape, np.uint8) for v in values}
    pixels = as_bytes(grey(np.asarray(case.image), case.window))
    steps = [(axis, index) for axis in range(3) for index in range(case.shape[axis])]
    for done, (axis, index) in enumerate(steps):
        run.check()
        run.progress(done / len(steps))
        picture = np.repeat(plane(pixels, axis, index)[..., None], 3, 2)
        for value, drawn in _drawn(model, picture, plane(proposed, axis, index), late=run.out_of_time):
            plane(votes[value], axis, index)[...] += drawn
    classes, agreed = _most_voted(proposed, votes)
    sure = np.where(agreed, SURE, MOST).astype(np.uint8)
    sure[prior.classes == UNLABELLED] = 0
    return FilledVolume(classes, sure, time.monotonic() - started, not run.out_of_time)


def redrawable(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> bool:
    """Whether planes of all directions show outlines."""
    return min(shape) > 1 and max(spacing_mm) <= OBLONG * min(spacing_mm)


def _drawn(
    model: PromptModel, picture: NDArray[np.uint8], proposed: NDArray[np.uint8], *, late: bool
) -> Iterator[tuple[int, Outline]]:
    """Each class of a plane as the model draws its objects; as it is where it is too late to ask."""
    values = [int(v) for v in np.unique(proposed) if v != BACKGROUND]
    if not values:
        return
    embedding = None if late else model.encode(picture)
    for value in values:
        numbered, count = components(proposed == value, np.ones((3, 3)))
        whole = np.zeros(proposed.shape, np.bool_)
        for number in range(1, count + 1):
            mask = numbered == number
            if embedding is None or mask.sum() < SMALLEST:
                whole |= mask
                continue
            answer = model.predict(embedding, Prompts(mask=mask)).masks[0]
            whole |= answer if _dice(answer, mask) >= LIKE else mask
        yield value, whole


def _most_voted(
    proposed: NDArray[np.uint8], votes: dict[int, NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], Outline]:
    """(Z, Y, X) the class that most directions give, the proposed one of equals, and whether all agree."""
    best = np.full(proposed.shape, 3, np.uint8)  # halves of a vote: a class needs two votes of three
    classes = np.zeros(proposed.shape, np.uint8)
    most = np.zeros(proposed.shape, np.uint8)
    for value, count in votes.items():
        score = 2 * count + (proposed == value)
        wins = (score > best) & (count >= 2)
        classes[wins], best[wins] = value, score[wins]
        np.maximum(most, count, out=most)
    return classes, (most == 0) | (most == 3)


def _dice(a: Outline, b: Outline) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
