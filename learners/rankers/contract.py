"""What is asked of a ranker, what it answers, and which rows of a pool may be asked about."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.rankers.pool import Pool

FIRST_BETA, LAST_BETA, LOOPS = 1.0, 100.0, 5

Ref = tuple[int, int, int]


@dataclass(frozen=True)
class RankRequest:
    """How many items, and what is out of the question."""

    count: int = 20
    labelled: frozenset[Ref] = frozenset()  # slices that somebody worked on
    skipped: frozenset[Ref] = frozenset()
    labelled_images: frozenset[int] = frozenset()
    loop: int = 0  # how many rounds have been: later ones trust the scores more
    per_second: bool = False  # divide by the expected seconds of work
    whole_images: bool = False  # one item an image or volume, its best slice
    seed: int = 0
    done: Pool | None = None  # the rows of labelled images; `rank` fills it in

    @property
    def beta(self) -> float:
        """How sharply scores decide: exponentially from 1 to 100 over the first five rounds."""
        grown = min(self.loop, LOOPS - 1) / (LOOPS - 1)
        return float(FIRST_BETA * (LAST_BETA / FIRST_BETA) ** grown)


@dataclass(frozen=True)
class Pick:
    image: int
    axis: int
    index: int
    score: float
    why: str


@dataclass(frozen=True)
class Scored:
    """A value for each row of a pool, the highest first, and what it means."""

    value: NDArray[np.float64]  # (N,); 0 or less: never
    why: Callable[[int], str] = field(default=lambda row: "")


Scorer = Callable[[Pool, RankRequest, np.random.Generator], Scored]


@dataclass(frozen=True)
class RankerEntry:
    title: str
    good_at: str
    score: Scorer
    needs_model: bool = True  # false: works on features alone, before anything is labelled
    by_image: bool = False  # it compares images, not slices
    needs_members: bool = False  # it wants to know where the snapshots of the training disagree


def rankable(pool: Pool, ask: RankRequest) -> NDArray[np.intp]:
    """Rows that nobody labelled or skipped."""
    out = ask.labelled | ask.skipped
    if not out:
        return np.arange(len(pool))
    code = _coded(pool.refs)
    return np.flatnonzero(~np.isin(code, _coded(np.array(sorted(out), np.int64).reshape(-1, 3))))


def _coded(refs: NDArray[np.int64]) -> NDArray[np.int64]:
    return (refs[:, 0] * 4 + refs[:, 1]) * (1 << 24) + refs[:, 2]
