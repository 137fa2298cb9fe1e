"""Scores by chance: anywhere, or half-directed to where something is."""

import numpy as np

from learners.rankers.contract import RankRequest, Scored
from learners.rankers.pool import Pool


def random_order(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    return Scored(rng.random(len(pool)) + 1e-9, lambda row: "picked at random")


def foreground_random(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """A third anywhere, a third where something is proposed, a third where a border is (nnActive's 66 % FG)."""
    kind = rng.integers(0, 3, len(pool))
    reachable = np.where(kind == 1, pool.foreground > 0, np.where(kind == 2, pool.contour > 0, True))
    words = ("picked at random", "picked at random among objects", "picked at random among borders")
    value = np.where(reachable, rng.random(len(pool)) + 1e-9, 1e-9 * rng.random(len(pool)) + 1e-12)
    return Scored(value, lambda row: words[kind[row] if reachable[row] else 0])
