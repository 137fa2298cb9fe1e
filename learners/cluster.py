"""Groups and likeness of feature vectors: pure functions, fast enough for ten thousand images."""

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 12
NEIGHBOURS = 20
SEEDS_FROM = 2000  # rows that the first centres are chosen from


def k_means(rows: NDArray[np.float32], groups: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(N,) group of each row; k-means++ on a part of the rows, then Lloyd's steps on all."""
    some = rows if len(rows) <= SEEDS_FROM else rows[rng.permutation(len(rows))[:SEEDS_FROM]]
    centres = _first_centres(some, groups, rng)
    group = _nearest(rows, centres)
    for _ in range(ITERATIONS):
        sums = np.zeros_like(centres)
        np.add.at(sums, group, rows)
        sizes = np.bincount(group, minlength=groups)[:, None]
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres).astype(np.float32)
        before, group = group, _nearest(rows, centres)
        if np.array_equal(before, group):
            break
    return group


def typicality(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) one over the mean distance to the nearest rows of the same group."""
    if len(rows) < 2:
        return np.ones(len(rows))
    some = rows[:: max(1, len(rows) // SEEDS_FROM)]
    apart = np.sqrt(np.maximum(_squares(rows, some), 0))
    k = min(NEIGHBOURS, max(1, apart.shape[1] // 2))
    near = np.partition(apart, min(k, apart.shape[1] - 1), axis=1)[:, : k + 1]
    return 1 / (near.mean(1) + 1e-5)


def rbf(anchors: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(A, N) likeness; the width is the median distance, which MaxHerding is robust to."""
    squares = np.maximum(_squares(anchors, rows), 0)
    width = float(np.median(squares[:, :: max(1, squares.shape[1] // 500)])) / 4 + 1e-6
    return np.exp(-squares / (2 * width)).astype(np.float32)


def _first_centres(rows: NDArray[np.float32], groups: int, rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = [int(rng.integers(len(rows)))]
    far = _squares(rows, rows[chosen])[:, 0]
    while len(chosen) < groups:
        weights = np.maximum(far, 0).astype(np.float64)
        total = weights.sum()
        pick = int(rng.choice(len(rows), p=weights / total)) if total > 0 else int(rng.integers(len(rows)))
        chosen.append(pick)
        far = np.minimum(far, _squares(rows, rows[[pick]])[:, 0])
    return rows[chosen].copy()


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.argmin(_squares(rows, centres), axis=1)


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
