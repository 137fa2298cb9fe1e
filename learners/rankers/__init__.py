"""What to label next: score, noise, cost, then a choice without near-duplicates; each pick says why it is there."""

from dataclasses import replace

import numpy as np

from learners.rankers.batch_selection import choose, expected_seconds
from learners.rankers.contract import Pick, RankerEntry, RankRequest, rankable
from learners.rankers.pool import Pool
from models.lazy import LazyFunction

RANKERS: dict[str, RankerEntry] = {
    "clasp": RankerEntry(
        title="Uncertain by class (ClaSP)",
        good_at="several classes or small ones; it gains most from each slice",
        score=LazyFunction("learners.rankers.uncertainty:clasp"),
    ),
    "entropy": RankerEntry(
        title="Uncertain (entropy)",
        good_at="one class, late in a project",
        score=LazyFunction("learners.rankers.uncertainty:entropy"),
    ),
    "margin": RankerEntry(
        title="Two likely classes (margin)",
        good_at="classes that are easily confused",
        score=LazyFunction("learners.rankers.uncertainty:margin"),
    ),
    "by_objects": RankerEntry(
        title="Uncertain and unusual objects",
        good_at="cells and particles: many unsure ones, sizes and looks that are not labelled yet",
        score=LazyFunction("learners.rankers.by_objects:by_objects"),
    ),
    "stability": RankerEntry(
        title="Changing masks (stability)",
        good_at="images whose masks change from round to round",
        score=LazyFunction("learners.rankers.uncertainty:instability"),
    ),
    "bald": RankerEntry(
        title="Training stages disagree (BALD)",
        good_at="doubts that a label can settle; prediction takes three times as long",
        score=LazyFunction("learners.rankers.uncertainty:bald"),
        needs_members=True,
    ),
    "foreground": RankerEntry(
        title="Random among objects",
        good_at="a baseline that is hard to beat",
        score=LazyFunction("learners.rankers.random_order:foreground_random"),
    ),
    "random": RankerEntry(
        title="Random",
        good_at="an unbiased sample",
        score=LazyFunction("learners.rankers.random_order:random_order"),
        needs_model=False,
    ),
    "typiclust": RankerEntry(
        title="Typical (TypiClust)",
        good_at="the first ten labels",
        score=LazyFunction("learners.rankers.coverage:typiclust"),
        needs_model=False,
        by_image=True,
    ),
    "coverage": RankerEntry(
        title="Unlike the labelled ones",
        good_at="many kinds of images",
        score=LazyFunction("learners.rankers.coverage:max_herding"),
        needs_model=False,
        by_image=True,
    ),
    "examine": RankerEntry(
        title="Informative (EXAMINE)",
        good_at="leaving out blank and broken images",
        score=LazyFunction("learners.rankers.coverage:examine"),
        needs_model=False,
        by_image=True,
    ),
}
# Before and after the first model; the latter until another is measured to be better.
COLD, WARM = "typiclust", "foreground"


def rank(name: str, pool: Pool, ask: RankRequest) -> list[Pick]:
    """The best items first. Raises LookupError for an unknown ranker."""
    if name not in RANKERS:
        raise LookupError(f"there is no ranker {name!r}; there are: {', '.join(RANKERS)}")
    labelled = np.isin(pool.refs[:, 0], list(ask.labelled_images))
    ask = replace(ask, done=pool.of(labelled))
    rows = rankable(pool, ask)
    pool = pool.of(rows)
    if not len(pool):
        return []
    rng = np.random.default_rng(ask.seed)
    scored = RANKERS[name].score(pool, ask, rng)
    value = scored.value.astype(np.float64)
    if ask.per_second:
        value = value / expected_seconds(pool)
    chosen = choose(pool, value, ask)
    return [_pick(pool, row, float(value[row]), scored.why(row)) for row in chosen]


def _pick(pool: Pool, row: int, score: float, why: str) -> Pick:
    image, axis, index = (int(n) for n in pool.refs[row])
    return Pick(image, axis, index, score, why)
