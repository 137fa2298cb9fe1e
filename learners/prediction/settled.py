"""The class map of a whole image, once all of it is known: what is implausible is left out, the rest mended."""

import math

import numpy as np
from numpy.typing import NDArray

from learners.prediction.plausible import plausible
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.resample import zoom_of
from learners.training.tidying import tidied


def settled(
    case: ImageReader, plan: Plan, classes: NDArray[np.uint8], confidence: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(Z, Y, X) label values, from those of the network and how sure it was of each (255 certain)."""
    if plan.rare is not None:
        stays = plausible(classes, confidence, plan.rare)
        classes = np.where(stays, classes, np.uint8(0))
    if plan.tidy is not None:
        classes = tidied(classes, plan.tidy, math.prod(zoom_of(case.example, plan)))
    return np.asarray(classes)
