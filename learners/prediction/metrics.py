"""Numbers about masks: pure functions on NumPy arrays."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

NO_SCORE = float("nan")


def overlaps(
    proposed: NDArray[np.uint8], truth: NDArray[np.uint8], classes: Sequence[int], where: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """(len(classes), 3): voxels in both, in the proposal, in the truth, counted only `where`."""
    proposed, truth = proposed[where], truth[where]
    rows = [
        (((proposed == c) & (truth == c)).sum(), (proposed == c).sum(), (truth == c).sum()) for c in classes
    ]
    return np.array(rows, np.int64).reshape(len(classes), 3)


def dice_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) Dice from `overlaps`; NaN where a class is in neither, so that empty against empty says nothing."""
    total = counts[:, 1] + counts[:, 2]
    return np.where(total > 0, 2 * counts[:, 0] / np.maximum(total, 1), NO_SCORE)


def mean_dice(scores: Iterable[NDArray[np.float64]]) -> float | None:
    """The mean over images of each image's mean over classes; None where nothing could be judged."""
    each = [float(np.nanmean(s)) for s in scores if len(s) and not np.isnan(s).all()]
    return float(np.mean(each)) if each else None


def stability(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean IoU of two class maps over the foreground classes that either has; 1 where both are empty.

    ST++'s score (Yang et al., CVPR 2022) without background: else empty slices would always rank first.
    """
    present = np.union1d(np.unique(a), np.unique(b))
    scores = []
    for c in present[(present != 0) & (present != 255)]:
        union = ((a == c) | (b == c)).sum()
        scores.append(((a == c) & (b == c)).sum() / union)
    return float(np.mean(scores)) if scores else 1.0
