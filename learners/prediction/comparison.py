"""Whether one model is better than another by more than noise: on the same images alone, in pairs. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

FEW = 3  # images in common, below which nothing is known of the noise
FAR = 0.1  # better on each of so few
LEVEL = 0.9  # else a one-sided paired t-test at this level
LEAST = 0.01  # mean Dice that a change must be worth


@dataclass(frozen=True)
class Compared:
    """Two models on the images that both were judged on."""

    images: int
    mine: float  # mean Dice
    other: float
    better: bool  # mine, by more than noise


def compare(mine: Mapping[int, float], other: Mapping[int, float]) -> Compared | None:
    """Image -> Dice of each; None where they have no image in common."""
    both = sorted(mine.keys() & other.keys())
    if not both:
        return None
    pairs = np.array([(mine[i], other[i]) for i in both])
    gains = pairs[:, 0] - pairs[:, 1]
    means = pairs.mean(0)
    return Compared(len(both), float(means[0]), float(means[1]), _beyond_noise(gains))


def _beyond_noise(gains: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bool:
    if len(gains) < FEW:
        return bool((gains > FAR).all())
    noise = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() > max(LEAST, noise * stdtrit(len(gains) - 1, LEVEL)))
