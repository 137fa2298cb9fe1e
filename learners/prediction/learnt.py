"""Whether a model has learned anything yet: does it find again what people labelled?

One that misses most of the images that taught it proposes wrong places on all others too, each as sure as the next.
Held-out images tell first; where they are few, so do those that taught it, which flatters: what it misses even there,
it has not learned. `python -m benchmarks.trust --part withheld-learned` measures what that withholds.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from learners.prediction.evaluation import Evaluation
from learners.prediction.metrics import dice_of, overlaps
from learners.training.data import ImageReader
from storage.arrays import BACKGROUND, TornFile, open_npy

FOUND = 0.1  # Dice of the best class of an image: less is next to nothing
ENOUGH = 6  # images that tell; more of those that taught are not looked at
MOST_VOXELS = 16_000_000  # of those that taught, the smallest first: larger volumes would take too long
MapOf = Callable[[ImageReader], NDArray[np.uint8]]
Taught = tuple[ImageReader, NDArray[np.uint8]]  # and (Z, Y, X) what people said of it


def has_learnt(
    map_of: MapOf, cases: Sequence[ImageReader], classes: Sequence[int], judged: Evaluation
) -> bool:
    """False where the model finds next to nothing on more than half of the images that tell; True where none does.
    `map_of`: the (Z, Y, X) classes that it proposes. `judged`: what held-out labels say of it."""
    taught = list(_taught(cases, classes, ENOUGH - len(judged.images)))
    total = len(judged.images) + len(taught)
    # the mean over classes hides one that was learned among many that were not
    found = sum(image.dice * len(classes) >= FOUND for image in judged.images)
    for left, (case, known) in zip(range(len(taught), 0, -1), taught):
        if 2 * found >= total or 2 * (found + left) < total:
            break
        found += _finds_again(map_of(case), known, classes)
    return 2 * found >= total


def _finds_again(proposed: NDArray[np.uint8], known: NDArray[np.uint8], classes: Sequence[int]) -> bool:
    where = np.isin(known, (BACKGROUND, *classes))
    return bool(np.nanmax(dice_of(overlaps(proposed, known, classes, where))) >= FOUND)


def _taught(cases: Sequence[ImageReader], classes: Sequence[int], most: int) -> Iterator[Taught]:
    """Images on which objects taught the model."""
    taught = [case for case in cases if case.example.known is not None and not case.example.all_held]
    taught.sort(key=lambda case: (_voxels(case), case.example.image_id))
    room = MOST_VOXELS
    for case in taught:
        room -= _voxels(case)
        if most <= 0 or room < 0:
            return
        known = _known(case)
        if known is not None and np.isin(known, classes).any():
            most -= 1
            yield case, known


def _known(case: ImageReader) -> NDArray[np.uint8] | None:
    try:
        return open_npy(case.example.known) if case.example.known else None
    except TornFile:
        return None


def _voxels(case: ImageReader) -> int:
    return int(np.prod(case.example.shape))
