"""A pool seen by image: which rows are whose, how deep volumes are, features of length 1."""

import numpy as np
from numpy.typing import NDArray

from learners.rankers.pool import Pool


def images_of(pool: Pool) -> tuple[NDArray[np.int64], list[NDArray[np.intp]], NDArray[np.float32]]:
    """The images of a pool, the rows of each, and their (N, D) features of length 1."""
    images, start, inverse = np.unique(pool.refs[:, 0], return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return images, rows, unit(pool.features[start])


def inside(pool: Pool) -> NDArray[np.floating]:
    """0..1: which slice of an image to take, by what is uncertain or, before any model, the middle one."""
    if pool.entropy.max() > 0:
        share: NDArray[np.float32] = pool.entropy / pool.entropy.max()
        return share
    depth = depths(pool)
    middle = np.array([depth[int(i), int(a)] / 2 for i, a, _ in pool.refs])
    near: NDArray[np.float64] = 1 / (1 + np.abs(pool.refs[:, 2] - middle) + (pool.refs[:, 1] > 0))
    return near


def depths(pool: Pool) -> dict[tuple[int, int], int]:
    """(image, axis) -> how many slices it has, as far as the pool shows."""
    code = pool.refs[:, 0] * 4 + pool.refs[:, 1]
    keys, inverse = np.unique(code, return_inverse=True)
    deepest = np.zeros(len(keys), np.int64)
    np.maximum.at(deepest, inverse, pool.refs[:, 2])
    return {(int(k // 4), int(k % 4)): int(d) + 1 for k, d in zip(keys, deepest)}


def unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows about their mean, of length 1."""
    values = features.astype(np.float32)
    values = values - values.mean(0) if len(values) > 2 else values
    units: NDArray[np.float32] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return units
