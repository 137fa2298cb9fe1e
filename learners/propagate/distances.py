"""Signed distances on labelled slices, and how the chances of several classes become one guess."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from learners.propagate.contract import PropagationInput, PropagationResult

CAP_MM = 20.0  # an absent class is this far away, so that it tapers off instead of popping out of sight


def signed_distance(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Distance to the mask's edge in mm, positive inside; -CAP_MM everywhere where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, -CAP_MM, np.float32)
    half = min(spacing) / 2
    inside: NDArray[np.float64] = distance_transform_edt(mask, spacing) - half
    outside: NDArray[np.float64] = distance_transform_edt(~mask, spacing) - half
    return np.where(mask, inside, -outside).clip(-CAP_MM, CAP_MM).astype(np.float32)


def in_plane(spacing_mm: tuple[float, float, float], axis: int) -> tuple[float, float]:
    rows, columns = (mm for a, mm in enumerate(spacing_mm) if a != axis)
    return rows, columns


def nearest_mm(n: int, at: list[int], mm: float) -> NDArray[np.float32]:
    """(n,) distance of every position to the nearest of `at`."""
    gaps = np.abs(np.arange(n)[:, None] - np.array(at)[None])
    return (gaps.min(1) * mm).astype(np.float32)


def chances(
    scored: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> Iterator[NDArray[np.float32]]:
    """The probability of each class on its own."""
    for score, doubt in scored:
        yield sigmoid(score / doubt)


def guess_of(
    case: PropagationInput, chance: Iterable[NDArray[np.float32]], *, finished: bool = True
) -> PropagationResult:
    """The likeliest class of every voxel; `chance` gives each of `case.classes` in turn, on its own."""
    best = np.zeros(case.shape, np.float32)
    second = np.zeros(case.shape, np.float32)
    nothing = np.ones(case.shape, np.float32)
    classes = np.zeros(case.shape, np.uint8)
    for value, p in zip(case.classes, chance, strict=True):
        ahead = p > best
        second = np.where(ahead, best, np.maximum(second, p))
        classes[ahead] = value
        best = np.where(ahead, p, best)
        nothing *= 1 - p
    outside = best < 0.5
    classes[outside] = 0
    probability = np.where(
        outside, nothing / (nothing + best + 1e-6), best / (best + np.maximum(second, 1 - best))
    )
    return PropagationResult(classes, probability.astype(np.float32), finished)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return 1 / (1 + np.exp(-2 * values.clip(-20, 20)))
