"""A random walker with a prior: the smooth map that follows colour edges, keeps to its seeds and leans on a guess.

Minimises  sum w_ij (x_i - x_j)^2 + sum strength_i (x_i - prior_i)^2  over a 4-connected grid, as in L. Grady,
"Random walks for image segmentation", TPAMI 2006, with the prior of "Multilabel random walker image segmentation
using prior models", CVPR 2005.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array
from scipy.sparse.linalg import cg

HELD = 1e3  # strength with which a seed keeps its value
EDGE_FLOOR = 1e-3  # no edge is so strong that nothing passes


@dataclass(frozen=True)
class PixelPrior:
    """What is thought of every pixel before the walk: a probability, and how strongly it is held."""

    prior: NDArray[np.float32]  # (h, w) 0..1
    strength: NDArray[np.float32]  # (h, w) > 0


def walk(lab: NDArray[np.float32], belief: PixelPrior, sharpness: float = 1.0) -> NDArray[np.float32]:
    """(h, w) probability of being the object; `sharpness` scales how much an edge of the picture holds back."""
    h, w = lab.shape[:2]
    down = ((lab[1:] - lab[:-1]) ** 2).sum(2)
    across = ((lab[:, 1:] - lab[:, :-1]) ** 2).sum(2)
    typical = float(down.sum() + across.sum()) / max(down.size + across.size, 1) + 1e-3
    down, across = (np.exp(-sharpness * d / typical) + EDGE_FLOOR for d in (down, across))
    degree = belief.strength.astype(np.float64)
    degree[1:] += down
    degree[:-1] += down
    degree[:, 1:] += across
    degree[:, :-1] += across
    # how many pixels on a neighbour is, and the weight of each such pair
    sides: list[tuple[int, NDArray[np.float64]]] = []
    if w > 1:
        sides.append((1, np.pad(across, ((0, 0), (0, 1))).ravel()[:-1]))
    if h > 1:
        sides.append((w, down.ravel()))
    grid = diags_array(
        [degree.ravel(), *(-weight for _, weight in sides for _ in range(2))],
        offsets=[0, *(turn * away for away, _ in sides for turn in (1, -1))],
        shape=(h * w, h * w),
    ).tocsr()
    pull = (belief.strength * belief.prior).ravel().astype(np.float64)
    jacobi = diags_array(1 / degree.ravel())
    answer, _ = cg(grid, pull, x0=belief.prior.ravel().astype(np.float64), rtol=1e-3, maxiter=200, M=jacobi)
    return np.asarray(answer, np.float32).reshape(h, w)
