"""Signed distances on labelled slices, and how what several axes say becomes one guess."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from learners.propagate.case import Case, Guess

CAP_MM = 20.0  # an absent class is this far away, so that it tapers off instead of popping out of sight
BLUR = 0.5  # voxels: how exactly a person draws an edge
SPREAD = 0.25  # mm by which an edge may be off for each mm from the nearest slice that shows it


@dataclass(frozen=True)
class Opinion:
    """What the slices of one axis say about one class."""

    axis: int
    scores: NDArray[np.float32]  # (Z, Y, X) signed distance in mm, positive inside
    distance_mm: NDArray[np.float32]  # (n,) along the axis, to the nearest slice that speaks


def signed_distance(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Distance to the mask's edge in mm, positive inside; -CAP_MM everywhere where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, -CAP_MM, np.float32)
    half = min(spacing) / 2
    inside = distance_transform_edt(mask, spacing) - half
    outside = distance_transform_edt(~mask, spacing) - half
    return np.where(mask, inside, -outside).clip(-CAP_MM, CAP_MM).astype(np.float32)


def in_plane(spacing_mm: tuple[float, float, float], axis: int) -> tuple[float, float]:
    rows, columns = (mm for a, mm in enumerate(spacing_mm) if a != axis)
    return rows, columns


def nearest_mm(n: int, at: list[int], mm: float) -> NDArray[np.float32]:
    """(n,) distance of every position to the nearest of `at`."""
    gaps = np.abs(np.arange(n)[:, None] - np.array(at)[None])
    return (gaps.min(1) * mm).astype(np.float32)


def joined(
    opinions: Iterable[Opinion], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One score (Z, Y, X) in mm and the doubt about it in mm: near slices count more than far ones."""
    total = weight = near = None
    for opinion in opinions:
        across = [1, 1, 1]
        across[opinion.axis] = -1
        distance = opinion.distance_mm.reshape(across)
        share = 1 / (distance + spacing_mm[opinion.axis] / 2) ** 2
        if total is None or weight is None or near is None:
            total, weight, near = opinion.scores * share, np.zeros_like(opinion.scores) + share, distance
        else:
            total, weight, near = total + opinion.scores * share, weight + share, np.minimum(near, distance)
    assert (
        total is not None and weight is not None and near is not None
    )  # every class was drawn on some slice
    doubt = BLUR * min(spacing_mm) + SPREAD * near
    return total / weight, np.broadcast_to(doubt, total.shape).astype(np.float32)


def chances(
    scored: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> Iterator[NDArray[np.float32]]:
    """The probability of each class on its own."""
    for score, doubt in scored:
        yield sigmoid(score / doubt)


def guess_of(case: Case, chance: Iterable[NDArray[np.float32]], *, finished: bool = True) -> Guess:
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
    return Guess(classes, probability.astype(np.float32), finished)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return 1 / (1 + np.exp(-2 * values.clip(-20, 20)))
