"""The wrong part of a proposal that somebody points at: a piece that is missing, a hole, or a spill."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from models.prompt import MaskPrediction

Bits = NDArray[np.bool_]


def wrong_parts(answer: MaskPrediction, proposed: Bits, at: tuple[float, float]) -> MaskPrediction:
    """What each candidate would change about the proposal, (N, H, W), only where it is joined to the pointed pixel.

    `proposed` (H, W) is the proposed object. A pointed pixel in it is a spill, any other one is missing. Of candidates
    that mean the same part, the best. One empty mask where no candidate changes the pointed pixel.
    """
    row, column = (min(max(round(v), 0), n - 1) for v, n in zip(at, proposed.shape))
    spill = bool(proposed[row, column])
    parts: list[Bits] = []
    scores: list[float] = []
    for mask, score in zip(answer.masks, answer.scores, strict=True):
        changed = proposed & ~mask if spill else mask & ~proposed
        if not changed[row, column]:
            continue
        numbered, _ = components(changed)
        part = numbered == numbered[row, column]
        if not any((part == other).all() for other in parts):
            parts.append(part)
            scores.append(float(score))
    if not parts:
        return MaskPrediction(np.zeros((1, *proposed.shape), np.bool_), np.zeros(1, np.float32))
    return MaskPrediction(np.stack(parts), np.array(scores, np.float32))
