"""What to label next: score, noise, cost, then a choice without near-duplicates; each pick says why it is there."""

import numpy as np

from learners.rankers.batch_selection import choose, expected_seconds
from learners.rankers.contract import Pick, RankerEntry, RankRequest, rankable
from learners.rankers.coverage import examine, max_herding, typiclust
from learners.rankers.pool import Pool
from learners.rankers.random_order import foreground_random, random_order
from learners.rankers.uncertainty import bald, clasp, entropy, instability, margin

RANKERS: dict[str, RankerEntry] = {
    "clasp": RankerEntry(
        "Uncertain, class by class", "several classes, or small ones; learns most from each slice", clasp
    ),
    "entropy": RankerEntry("Uncertain", "one class, late in a project", entropy),
    "margin": RankerEntry("Torn between classes", "classes that are easily taken for one another", margin),
    "stability": RankerEntry(
        "Unsettled", "finding images on which the model keeps changing its mind", instability
    ),
    "bald": RankerEntry(
        "Where its stages disagree",
        "what a label can settle, not what is blurred for good; predicting takes three times as long",
        bald,
        needs_members=True,
    ),
    "foreground": RankerEntry(
        "Random where something is", "a baseline that is hard to beat", foreground_random, needs_model=True
    ),
    "random": RankerEntry("Random", "an honest sample", random_order, needs_model=False),
    "typiclust": RankerEntry("Typical", "the first ten labels", typiclust, needs_model=False, by_image=True),
    "coverage": RankerEntry(
        "Unlike what was labelled", "many kinds of images", max_herding, needs_model=False, by_image=True
    ),
    "examine": RankerEntry(
        "Telling", "leaving out blank and broken images", examine, needs_model=False, by_image=True
    ),
}
# Before and after the first model; the latter until another is measured to be better.
COLD, WARM = "typiclust", "foreground"


def rank(name: str, pool: Pool, ask: RankRequest) -> list[Pick]:
    """The best items first. Raises LookupError for an unknown ranker."""
    if name not in RANKERS:
        raise LookupError(f"there is no ranker {name!r}; there are: {', '.join(RANKERS)}")
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
