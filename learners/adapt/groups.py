"""Which images come from the same site, stain or scanner: said at import, or found from how they look."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from learners.cluster import k_means
from learners.rankers.image_features import SIDE, describe
from learners.training.data import ImageReader, percentiles
from storage.arrays import open_npy

MAX_GROUPS = 6  # groups
MIN_IMAGES = 3  # images of a group
CLEAR = 0.35  # silhouette from which on groups are believed
UNSAID = "others"  # images without a group in a project whose groups were said
SCALE_WEIGHT, COLOUR_WEIGHT = 0.5, 1.0


def groups_of(cases: Sequence[ImageReader], said: Mapping[int, str] | None = None) -> dict[int, str]:
    """Image -> the name of its group. What was said at import counts; else what is found, one group if none is."""
    ids = [case.example.image_id for case in cases]
    if said and any(said.get(i) for i in ids):
        return {i: said.get(i) or UNSAID for i in ids}
    if len(cases) < 2 * MIN_IMAGES:
        return dict.fromkeys(ids, "all")
    labels = found_groups(np.stack([signature(open_npy(case.example.pixels)) for case in cases]))
    names = {label: f"kind {n}" for n, label in enumerate(dict.fromkeys(labels.tolist()), start=1)}
    return (
        {i: names[int(label)] for i, label in zip(ids, labels)}
        if len(names) > 1
        else dict.fromkeys(ids, "all")
    )


def signature(pixels: NDArray) -> NDArray[np.float32]:
    """Histograms of intensities and steps, the range of values as a power of ten, and the mean colour's cast."""
    looks = describe(pixels)[SIDE * SIDE :]
    low, high = percentiles(pixels)
    scale = SCALE_WEIGHT * np.log10(max(high - low, 1e-6))
    cast = np.zeros(3, np.float32)
    if pixels.ndim == 4:
        some = np.asarray(pixels[pixels.shape[0] // 2, ::4, ::4, :3], np.float32).reshape(
            -1, pixels.shape[3]
        )[:, :3]
        mean = (some.mean(0) - low) / (high - low)
        cast[: len(mean)] = COLOUR_WEIGHT * (mean - mean.mean())
    return np.concatenate([looks, [scale], cast]).astype(np.float32)


def found_groups(rows: NDArray[np.float32]) -> NDArray[np.intp]:
    """(N,) group of each row: the number of groups with the best silhouette, one where none is clear."""
    best, score = np.zeros(len(rows), np.intp), CLEAR
    for count in range(2, min(MAX_GROUPS, len(rows) // MIN_IMAGES) + 1):
        labels = k_means(rows, count, np.random.default_rng(0))
        sizes = np.bincount(labels, minlength=count)
        if sizes.min() < MIN_IMAGES:
            continue
        now = silhouette(rows, labels)
        if now > score:
            best, score = labels, now
    return best


def silhouette(rows: NDArray[np.float32], labels: NDArray[np.intp]) -> float:
    """Mean of (b - a) / max(a, b): a the distance to one's own group, b to the nearest other one."""
    apart = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(2))
    member = labels[:, None] == np.unique(labels)[None]
    sums, counts = apart @ member, member.sum(0)
    own = (sums * member).sum(1) / np.maximum((counts * member).sum(1) - 1, 1)
    other = np.where(member, np.inf, sums / counts).min(1)
    return float(np.mean((other - own) / np.maximum(np.maximum(own, other), 1e-9)))
