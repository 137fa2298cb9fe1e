"""What a model's word about itself is worth, judged by what people said. Pure functions; no torch.

How sure a model is of what it proposes for an image becomes an expected Dice with a range: a line through the images on
which people said what is right, which is the model's own word, moved, where they are few, and moved by what its group
of images taught. A confidence of a voxel becomes the share of voxels of such confidence that were right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

LEAST = 4  # images that must have been judged before a number is said
KNOWN_BY = 3.0  # judged images that count as much as all groups, or a model's own word
MOVED, TURNED = (
    0.5,
    1.0,
)  # how far, as a standard deviation, the line may lie and be steeper than the model's own word
USUAL = 1.5  # robust standard deviations from the line beyond which an image pulls no more than at them (Huber 1964)
LEAST_SPREAD = 0.02  # of Dice around the line
NORMAL = 1.4826  # times the median distance is the standard deviation, of normally distributed distances
ROUNDS = 12  # of reweighting
HOLDS = 0.8  # share of images whose Dice the range is to hold
NARROWEST = 0.02  # from the middle of a range to its ends
BEYOND = 0.25  # of the span of the judged claims: a claim further outside is like none that was judged
LEAST_BEYOND = 0.05

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

    def covers(self, claimed: float) -> bool:
        """Whether claims like this one were judged: of others the line would only guess."""
        claims = [e.claimed for e in self.evidence]
        lowest, highest = min(claims), max(claims)
        room = max(LEAST_BEYOND, BEYOND * (highest - lowest))
        return lowest - room <= claimed <= highest + room

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
    """The Dice that such a claim stands for: the line, moved by the group."""
    line = _Line.through(evidence)
    off = [e.dice - line.at(e.claimed) for e in evidence if group and e.group == group]
    moved = sum(off) / (len(off) + KNOWN_BY)
    return float(np.clip(line.at(claimed) + moved, 0, 1))


@dataclass(frozen=True)
class _Line:
    """Dice over claim; never falling, so that images keep their order."""

    middle: float  # the mean claim
    dice: float  # there
    slope: float

    @classmethod
    def through(cls, evidence: Sequence[Evidence]) -> "_Line":
        """Bayesian linear regression of what a claim is off, by reweighted least squares: four or eight images with a
        failure among them are to move it, not to turn it."""
        claims, dice = np.array([(e.claimed, e.dice) for e in evidence], np.float64).T
        middle, off = float(claims.mean()), dice - claims
        columns = np.stack([np.ones_like(claims), claims - middle], 1)
        weights, spread = np.ones_like(claims), max(LEAST_SPREAD, float(off.std()))
        found = np.zeros(2)
        for _ in range(ROUNDS):
            prior = np.diag([(spread / MOVED) ** 2, (spread / TURNED) ** 2])
            weighted = columns.T * weights
            found = np.linalg.solve(weighted @ columns + prior, weighted @ off)
            left = np.abs(off - columns @ found)
            spread = max(LEAST_SPREAD, float(np.sqrt((weights * left**2).sum() / max(1, len(left) - 1))))
            usual = USUAL * max(LEAST_SPREAD, NORMAL * float(np.median(left)))
            weights = np.minimum(1, usual / np.maximum(left, 1e-9))
        return cls(middle, middle + float(found[0]), max(0.0, 1 + float(found[1])))

    def at(self, claimed: float) -> float:
        return self.dice + self.slope * (claimed - self.middle)


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
