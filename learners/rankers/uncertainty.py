"""Scores by how unsure the model is: entropy, margin, instability, and ClaSP PE with its noise."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learners.rankers.contract import RankRequest, Scored
from learners.rankers.pool import Pool

CLASS_SHARE = 0.66  # ClaSP PE: of the queries that are divided over the classes


def entropy(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    return Scored(pool.entropy.astype(np.float64) + 1e-9, _times("the model is unsure here", pool.entropy))


def margin(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    return Scored(
        pool.doubt.astype(np.float64) + 1e-9, _times("two classes are nearly as likely", pool.doubt)
    )


def bald(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """BALD: mutual information between the snapshots of the training; by entropy where it is not known yet."""
    known = np.isfinite(pool.information)
    information = np.nan_to_num(pool.information.astype(np.float64))
    unsure = pool.entropy / (pool.entropy.max() + 1e-9)
    said = _times("training stages disagree here", information)
    wait = "the model is unsure here; its next round tells more"
    return Scored(information + 1e-6 * unsure + 1e-9, lambda row: said(row) if known[row] else wait)


def instability(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """1 - ST++'s stability of the image; within an image the less certain slice."""
    unstable = 1 - np.nan_to_num(pool.stability.astype(np.float64), nan=0.5)
    inside = pool.entropy / (pool.entropy.max() + 1e-9)
    return Scored(
        unstable + 1e-3 * inside + 1e-9,
        lambda row: f"its mask still changes from round to round (stability {1 - unstable[row]:.2f})",
    )


def clasp(pool: Pool, ask: RankRequest, rng: np.random.Generator) -> Scored:
    """ClaSP PE: two thirds of the places by class, p_c * entropy, the rest by entropy; power noise that fades."""
    columns = [pool.entropy.astype(np.float64)] + [
        c.astype(np.float64) for c in pool.per_class.T if c.max() > 0
    ]
    noisy = [power_noise(column, ask.beta, rng) for column in columns]
    order, source = _in_turn(noisy, _quotas(len(columns) - 1, ask.count), ask.count)
    value = np.full(len(pool), 1e-12)
    value[order] = np.linspace(1, 0.5, len(order))
    rest = noisy[0] * 1e-3
    value = np.where(value > 1e-12, value, np.maximum(rest, 0))
    said = {
        int(row): "the model is unsure here"
        if s == 0
        else "the model is unsure about one of the classes here"
        for row, s in zip(order, source)
    }
    return Scored(value, lambda row: said.get(row, "the model is unsure here"))


def power_noise(value: NDArray[np.float64], beta: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Order by this and the first is drawn with probability ~ value**beta. What is 0 stays out."""
    gumbel = rng.gumbel(size=len(value)) / beta
    with np.errstate(divide="ignore"):
        noisy = np.log(np.maximum(value, 0)) + gumbel
    out = np.zeros(len(value))
    there = np.isfinite(noisy)
    out[there] = np.exp(noisy[there] - noisy[there].max()) if there.any() else 0
    return np.where(there, np.maximum(out, 1e-300), 0)


def _quotas(classes: int, count: int) -> list[int]:
    """How many places by entropy, then by each class; they add up."""
    by_class = round(CLASS_SHARE * count) if classes else 0
    each = [by_class // classes + (i < by_class % classes) for i in range(classes)]
    return [count - by_class, *each]


def _in_turn(
    columns: list[NDArray[np.float64]], quotas: list[int], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Take the best of each column in turn, no row twice; four times as many as asked, for the near-duplicates."""
    orders = [np.argsort(-c, kind="stable") for c in columns]
    pattern = np.repeat(np.arange(len(quotas)), quotas)
    pattern = pattern[
        np.argsort(np.concatenate([(np.arange(q) + 0.5) / max(q, 1) for q in quotas]), kind="stable")
    ]
    at, taken = [0] * len(columns), set()
    rows, source = [], []
    for turn in range(4 * count):
        c = int(pattern[turn % len(pattern)])
        order = orders[c]
        while at[c] < len(order) and (int(order[at[c]]) in taken):
            at[c] += 1
        if at[c] < len(order) and columns[c][order[at[c]]] > 0:
            taken.add(int(order[at[c]]))
            rows.append(int(order[at[c]]))
            source.append(c)
    return np.array(rows, np.intp), np.array(source, np.intp)


def _times(words: str, values: NDArray[np.floating]) -> Callable[[int], str]:
    usual = float(np.median(values)) + 1e-9
    return lambda row: f"{words}, {min(values[row] / usual, 99):.1f} times the usual"
