"""Images by their objects: many unsure ones, sizes that labelled images lack, looks that none of these has."""

import numpy as np
from numpy.typing import NDArray

from learners.rankers.contract import RankRequest, Scored
from learners.rankers.pool import Pool
from learners.rankers.pool_rows import unit

FEW = 0.5  # objects of a size that labelled images are taken to have, where they have none


def by_objects(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """Each is a share of the most that any row has; the largest of the three is the reason."""
    unsure, rare, unlike = pool.unsure.astype(np.float64), _rare(pool, ask), _unlike(pool, ask)
    parts = np.stack([_share(unsure), _share(rare), _share(unlike)])
    many = pool.sizes.sum(1)

    def why(row: int) -> str:
        said = (
            f"{unsure[row]:.0f} of {many[row]:.0f} objects are uncertain",
            "its objects are of sizes that labelled images hardly have",
            "it looks unlike the images labelled so far",
        )
        return said[int(parts[:, row].argmax())] if parts[:, row].any() else "no object is uncertain here"

    unsure_here = pool.entropy / (pool.entropy.max() + 1e-9)
    return Scored(parts.sum(0) + 1e-6 * unsure_here + 1e-9, why)


def _rare(pool: Pool, ask: RankRequest) -> NDArray[np.float64]:
    """(N,) nats: how surprising a row's objects are by their sizes, summed, beside those of labelled images."""
    if ask.done is None or not len(ask.done):
        return np.zeros(len(pool))
    there, here = ask.done.sizes.sum(0) + FEW, pool.sizes.sum(0) + FEW
    surprise = np.log((here / here.sum()) / (there / there.sum())).clip(0)
    return np.asarray(pool.sizes @ surprise, np.float64)


def _unlike(pool: Pool, ask: RankRequest) -> NDArray[np.float64]:
    """(N,) 0..2: how far an image's features lie from the nearest labelled image's."""
    if ask.done is None or not len(ask.done) or ask.done.features.shape[1] != pool.features.shape[1]:
        return np.zeros(len(pool))
    both = unit(np.concatenate([pool.features, ask.done.features]))
    mine, theirs = both[: len(pool)], np.unique(both[len(pool) :], axis=0)
    return np.asarray(1 - (mine @ theirs.T).max(1), np.float64).clip(0)


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values / max(float(values.max(initial=0)), 1e-9)
