"""What the stages of one training say about the same voxels: where they disagree, and how settled an image is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learners.prediction.metrics import NO_SCORE
from storage.arrays import Box3


class SnapshotEnsemble:
    """Sums over an image, fed tile by tile, of a network and the snapshots of its training."""

    def __init__(self, shape: tuple[int, int, int], classes: int, snapshots: int) -> None:
        self.information = [np.zeros(n) for n in shape]  # per axis (n,) nats over the slice
        self._both = np.zeros((snapshots, classes), np.int64)
        self._either = np.zeros((snapshots, classes), np.int64)

    def add(self, at: Box3, p: Tensor, others: Sequence[Tensor]) -> None:
        """One tile: (K, z, y, x) probabilities of the network and of each snapshot, on one device."""
        gain = mutual_information([p, *others])
        for axis in range(3):
            along = gain.sum(tuple(a for a in range(3) if a != axis))
            self.information[axis][at[axis]] += along.double().cpu().numpy()
        best, kinds = p.argmax(0), range(len(p))
        for row, each in enumerate(other.argmax(0) for other in others):
            self._both[row] += [int(((best == c) & (each == c)).sum()) for c in kinds]
            self._either[row] += [int(((best == c) | (each == c)).sum()) for c in kinds]

    @property
    def stability(self) -> float:
        """ST++'s score: the mean over snapshots of the mean IoU over objects' classes; 1 where all are empty."""
        return float(np.mean([_mean_iou(b, e) for b, e in zip(self._both[:, 1:], self._either[:, 1:])]))


def mutual_information(members: Sequence[Tensor]) -> Tensor:
    """BALD (Houlsby et al., 2011; Gal et al., 2017): entropy of the mean less the mean entropy, nats, 0 or more.

    (K, ...) probabilities of each member -> (...). It is high where members are sure of different things, and 0 where
    all are unsure alike: noise that no label will take away.
    """
    mean = sum(members[1:], members[0]) / len(members)
    entropies = [_entropy(p) for p in members]
    return (_entropy(mean) - sum(entropies[1:], entropies[0]) / len(members)).clamp_min(0)


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp_min(1e-8).log()).sum(0)


def _mean_iou(both: NDArray[np.int64], either: NDArray[np.int64]) -> float:
    there = either > 0
    scores = np.where(there, both / np.maximum(either, 1), NO_SCORE)
    return float(np.nanmean(scores)) if there.any() else 1.0
