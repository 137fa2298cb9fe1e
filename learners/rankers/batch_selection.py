"""From scores to a batch: what an item costs, and a choice without near-duplicates."""

import numpy as np
from numpy.typing import NDArray

from learners.rankers.contract import RankRequest
from learners.rankers.pool import Pool
from learners.rankers.pool_rows import depths, unit

OPEN_SECONDS, PIXEL_SECONDS = 5.0, 0.2  # to look at a slice, and to mend a pixel of its contour
GAP = 0.06  # slices of one plane of a volume nearer than this share of its depth are the same question
ALIKE = 0.9995  # cosine of two images' features from which on one of them is enough


def expected_seconds(pool: Pool) -> NDArray[np.float64]:
    """(N,) what an item will take: a look, and mending the part of its contour that is expected to be wrong."""
    expected = np.nan_to_num(pool.expected.astype(np.float64), nan=0.5)
    return OPEN_SECONDS + PIXEL_SECONDS * pool.contour * (1 - expected)


def choose(pool: Pool, value: NDArray[np.float64], ask: RankRequest) -> list[int]:
    """Rows by falling value without near-duplicates and spread over images; ties go to the earlier row."""
    order = np.argsort(-value, kind="stable")
    order = order[value[order] > 0]
    images = np.unique(pool.refs[:, 0])
    most = 1 if ask.whole_images else max(2, -(-2 * ask.count // max(1, len(images))))
    depth = depths(pool)
    chosen: list[int] = []
    per_image: dict[int, list[tuple[int, int]]] = {}
    units = unit(pool.features)
    for row in order:
        image, axis, index = (int(n) for n in pool.refs[row])
        before = per_image.get(image, [])
        gap = max(1, round(GAP * depth[image, axis]))
        near = any(a == axis and abs(i - index) <= gap for a, i in before)
        if len(before) >= most or near or (not before and _copies(units, row, chosen, pool)):
            continue
        chosen.append(int(row))
        per_image.setdefault(image, []).append((axis, index))
        if len(chosen) == ask.count:
            break
    return chosen


def _copies(units: NDArray[np.float32], row: int, chosen: list[int], pool: Pool) -> bool:
    """Whether an image looks exactly like one that is chosen already."""
    if not chosen or not units[row].any():
        return False
    return bool((units[chosen] @ units[row] > ALIKE).any()) and pool.features.shape[1] > 1
