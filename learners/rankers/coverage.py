"""Scores by what images look like: typical ones, coverage, telling ones. They need features and no model."""

import numpy as np
from numpy.typing import NDArray

from learners.cluster import k_means, rbf, typicality
from learners.rankers.contract import RankRequest, Scored
from learners.rankers.pool import Pool
from learners.rankers.pool_rows import images_of, inside

ANCHORS = 1000  # images that stand for all when coverage is computed


def typiclust(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """The most typical image of each group that has no label yet, the biggest group first (Hacohen et al., 2022)."""
    images, first, units = images_of(pool)
    groups = max(1, min(len(ask.labelled_images) + ask.count, 200, len(images)))
    group = k_means(units, groups, rng)
    taken = _labelled_groups(group, images, ask)
    sizes = np.bincount(group, minlength=groups)
    order = np.lexsort((-sizes, np.array([g in taken for g in range(groups)])))
    value, said = np.full(len(pool), 1e-9), {}
    for place, g in enumerate(order):
        members = np.flatnonzero(group == g)
        if len(members):
            best = members[np.argmax(typicality(units[members]))]
            rows = first[best]
            value[rows] = (2 if g not in taken else 1) - place / (2 * groups)
            alike = f"typical of {len(members)} images that look alike"
            said.update({int(r): alike if len(members) > 1 else "unlike every other image" for r in rows})
    value = value + 1e-6 * inside(pool)
    return Scored(value, lambda row: said.get(row, "resembles an image that comes before it"))


def max_herding(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """Greedy coverage of all images by a smooth kernel; certain images count less (Bae et al., 2024)."""
    images, first, units = images_of(pool)
    anchors = units if len(units) <= ANCHORS else units[rng.permutation(len(units))[:ANCHORS]]
    kernel = rbf(anchors, units)
    done = np.isin(images, list(ask.labelled_images))
    covered = kernel[:, done].max(1) if done.any() else np.zeros(len(anchors), np.float32)
    value, free = np.full(len(pool), 1e-9), ~done
    for place in range(min(ask.count, int(free.sum()))):
        gain = np.maximum(kernel - covered[:, None], 0).sum(0)
        best = int(np.argmax(np.where(free, gain, -1)))
        value[first[best]] = 2 - place / ask.count
        covered, free[best] = np.maximum(covered, kernel[:, best]), False
    value = value + 1e-6 * inside(pool)
    return Scored(value, lambda row: "stands for many images unlike those labelled so far")


def examine(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """EXAMINE as its abstract can be read: how much the largest singular value of all features falls without an
    image, to first order; one image of each group, because by itself it picks the same kind again and again."""
    images, first, units = images_of(pool)
    raw = np.array([pool.features[rows[0]] for rows in first], np.float64)
    _, sizes, directions = np.linalg.svd(raw, full_matrices=False)
    drop = (raw @ directions[0]) ** 2 / (2 * max(sizes[0], 1e-9))
    group = k_means(units, max(1, min(ask.count, len(images))), rng)
    value = np.full(len(pool), 1e-9)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        best = members[np.argmax(drop[members])]
        value[first[best]] = np.exp(drop[best] - drop.max())
    return Scored(value + 1e-6 * inside(pool), lambda row: "one of the most informative images of its kind")


def _labelled_groups(group: NDArray[np.intp], images: NDArray[np.int64], ask: RankRequest) -> set[int]:
    return {int(g) for g in group[np.isin(images, list(ask.labelled_images))]}
