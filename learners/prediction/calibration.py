"""What a model's word about itself is worth, judged by what people said. Pure functions; no torch.

How sure a model is of what it proposes for an image becomes an expected Dice with a range: an isotonic curve through
the images on which people said what is right, pulled towards their mean where they are few, and moved by what its group
of images taught. A confidence of a voxel becomes the share of voxels of such confidence that were right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

LEAST = 4  # images that must have been judged before a number is said
KNOWN_BY = 3.0  # judged images that count as much as the mean of all, or of all groups, or a model's own word
HOLDS = 0.8  # share of images whose Dice the range is to hold
NARROWEST = 0.02  # from the middle of a range to its ends

BINS = 10  # of confidence, from 0 to 1
LEAST_VOXELS = 200  # judged, before a share of them is said
LEAST_IMAGES = 2  # they come from


@dataclass(frozen=True)
class Evidence:
    """An image of which people said what is right."""

    claimed: float  # how sure the model was of it, 0..1
    dice: float
    group: str = ""


@dataclass(frozen=True)
class Calibration:
    """Made of at least LEAST images; `calibrate` sees to that."""

    evidence: tuple[Evidence, ...]

    def expected(self, claimed: float, group: str = "") -> tuple[float, float, float]:
        """(middle, low, high) of the Dice that an image will turn out to have."""
        middle = _fitted(self.evidence, claimed, group)
        low, high = max(0.0, middle - self._reach), min(1.0, middle + self._reach)
        return middle, low, high

    @cached_property
    def _reach(self) -> float:
        """How far off the images are whose own word is left out, as far as all but few of them."""
        every = self.evidence
        off = sorted(
            abs(e.dice - _fitted((*every[:at], *every[at + 1 :]), e.claimed, e.group))
            for at, e in enumerate(every)
        )
        rank = min(len(off), int(np.ceil(HOLDS * (len(off) + 1))))
        return max(NARROWEST, off[rank - 1])


def calibrate(evidence: Sequence[Evidence]) -> Calibration | None:
    """None where too few images were judged for any number to be true."""
    return Calibration(tuple(evidence)) if len(evidence) >= LEAST else None


def _fitted(evidence: Sequence[Evidence], claimed: float, group: str) -> float:
    """The Dice that such a claim stands for: shrunk isotonic, moved by the group."""
    curve = _Curve.through(evidence)
    off = [e.dice - curve.at(e.claimed) for e in evidence if group and e.group == group]
    moved = sum(off) / (len(off) + KNOWN_BY)
    return float(np.clip(curve.at(claimed) + moved, 0, 1))


@dataclass(frozen=True)
class _Curve:
    claims: NDArray[np.float64]  # (N,) rising
    dice: NDArray[np.float64]  # (N,) never falling
    mean: float
    share: float  # of the curve, against the mean

    @classmethod
    def through(cls, evidence: Sequence[Evidence]) -> "_Curve":
        pairs = sorted((e.claimed, e.dice) for e in evidence)
        claims, dice = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
        levels = isotonic_regression(dice).x
        middles = np.array([claims[levels == level].mean() for level in np.unique(levels)])
        share = len(pairs) / (len(pairs) + KNOWN_BY)
        return cls(middles, np.unique(levels), float(dice.mean()), share)

    def at(self, claimed: float) -> float:
        """Between the middles of the curve's steps a straight line, so that images keep their order."""
        found = float(np.interp(claimed, self.claims, self.dice))
        return self.mean + self.share * (found - self.mean)


# voxels


def count_right(
    confidence: NDArray[np.float32], right: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(BINS,) judged voxels by confidence 0..1, and how many of them were right."""
    at = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    return np.bincount(at, minlength=BINS), np.bincount(at[right], minlength=BINS)


def shares_right(seen: Sequence[int], right: Sequence[int], images: int) -> list[float] | None:
    """(BINS,) how many voxels of such confidence were right, never falling; bins that hold few lean on the others.
    Voxels of an image err together, so that few images are pulled towards what the confidence says of itself. None
    where too little was judged."""
    counts, hits = np.array(seen, np.float64), np.array(right, np.float64)
    if images < LEAST_IMAGES or counts.sum() < LEAST_VOXELS:
        return None
    mean = hits.sum() / counts.sum()
    shares = (hits + LEAST_VOXELS * mean / BINS) / (counts + LEAST_VOXELS / BINS)
    fit = isotonic_regression(shares, weights=counts + LEAST_VOXELS / BINS).x
    said = (np.arange(BINS) + 0.5) / BINS
    known = images / (images + KNOWN_BY)
    return [round(float(share), 4) for share in known * fit + (1 - known) * said]


def calibration_error(seen: Sequence[int], right: Sequence[int], sure: Sequence[float]) -> float:
    """The expected calibration error: |said - right| over bins, by how many voxels each holds; `sure`: (BINS,) what is
    said in each."""
    counts, hits = np.array(seen, np.float64), np.array(right, np.float64)
    return float(np.abs(counts * np.array(sure) - hits).sum() / max(1.0, counts.sum()))
