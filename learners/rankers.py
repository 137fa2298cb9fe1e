"""What to label next: score, noise, cost, then a choice without near-duplicates; each pick says why it is there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.cluster import k_means, rbf, typicality
from learners.pool import Pool

OPEN_SECONDS, PIXEL_SECONDS = 5.0, 0.2  # to look at a slice, and to mend a pixel of its contour
GAP = 0.06  # slices of one plane of a volume nearer than this share of its depth are the same question
ALIKE = 0.9995  # cosine of two images' features from which on one of them is enough
CLASS_SHARE = 0.66  # ClaSP PE: of the queries that are divided over the classes
FIRST_BETA, LAST_BETA, LOOPS = 1.0, 100.0, 5
ANCHORS = 1000  # images that stand for all when coverage is computed

Ref = tuple[int, int, int]


@dataclass(frozen=True)
class Ask:
    """How many items, and what is out of the question."""

    count: int = 20
    labelled: frozenset[Ref] = frozenset()  # slices that somebody worked on
    skipped: frozenset[Ref] = frozenset()
    labelled_images: frozenset[int] = frozenset()
    loop: int = 0  # how many rounds have been: later ones trust the scores more
    per_second: bool = False  # divide by the expected seconds of work
    whole_images: bool = False  # one item an image or volume, its best slice
    seed: int = 0

    @property
    def beta(self) -> float:
        """How sharply scores decide: exponentially from 1 to 100 over the first five rounds."""
        return FIRST_BETA * (LAST_BETA / FIRST_BETA) ** (min(self.loop, LOOPS - 1) / (LOOPS - 1))


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


Score = Callable[[Pool, Ask, np.random.Generator], Scored]


@dataclass(frozen=True)
class Ranker:
    title: str
    good_at: str
    score: Score
    needs_model: bool = True  # false: works on features alone, before anything is labelled
    by_image: bool = False  # it compares images, not slices


def rank(name: str, pool: Pool, ask: Ask) -> list[Pick]:
    """The best items first. Raises LookupError for an unknown ranker."""
    if name not in RANKERS:
        raise LookupError(f"there is no ranker {name!r}; there are: {', '.join(RANKERS)}")
    rows = _askable(pool, ask)
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


def expected_seconds(pool: Pool) -> NDArray[np.float64]:
    """(N,) what an item will take: a look, and mending the part of its contour that is expected to be wrong."""
    expected = np.nan_to_num(pool.expected.astype(np.float64), nan=0.5)
    return OPEN_SECONDS + PIXEL_SECONDS * pool.contour * (1 - expected)


def choose(pool: Pool, value: NDArray[np.float64], ask: Ask) -> list[int]:
    """Rows by falling value without near-duplicates and spread over images; ties go to the earlier row."""
    order = np.argsort(-value, kind="stable")
    order = order[value[order] > 0]
    images = np.unique(pool.refs[:, 0])
    most = 1 if ask.whole_images else max(2, -(-2 * ask.count // max(1, len(images))))
    depth = _depths(pool)
    chosen: list[int] = []
    per_image: dict[int, list[tuple[int, int]]] = {}
    units = _unit(pool.features)
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


def power_noise(value: NDArray[np.float64], beta: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Order by this and the first is drawn with probability ~ value**beta. What is 0 stays out."""
    gumbel = rng.gumbel(size=len(value)) / beta
    with np.errstate(divide="ignore"):
        noisy = np.log(np.maximum(value, 0)) + gumbel
    out = np.zeros(len(value))
    there = np.isfinite(noisy)
    out[there] = np.exp(noisy[there] - noisy[there].max()) if there.any() else 0
    return np.where(there, np.maximum(out, 1e-300), 0)


# scores


def random_order(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    return Scored(rng.random(len(pool)) + 1e-9, lambda row: "drawn at random")


def foreground_random(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    """A third anywhere, a third where something is proposed, a third where a border is (nnActive's 66 % FG)."""
    kind = rng.integers(0, 3, len(pool))
    reachable = np.where(kind == 1, pool.foreground > 0, np.where(kind == 2, pool.contour > 0, True))
    words = ("drawn at random", "drawn at random among what holds an object", "drawn at random among borders")
    value = np.where(reachable, rng.random(len(pool)) + 1e-9, 1e-9 * rng.random(len(pool)) + 1e-12)
    return Scored(value, lambda row: words[kind[row] if reachable[row] else 0])


def entropy(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    return Scored(pool.entropy.astype(np.float64) + 1e-9, _times("the model is unsure here", pool.entropy))


def margin(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    return Scored(
        pool.doubt.astype(np.float64) + 1e-9, _times("two classes are nearly as likely", pool.doubt)
    )


def instability(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    """1 - ST++'s stability of the image; within an image the less certain slice."""
    unstable = 1 - np.nan_to_num(pool.stability.astype(np.float64), nan=0.5)
    inside = pool.entropy / (pool.entropy.max() + 1e-9)
    return Scored(
        unstable + 1e-3 * inside + 1e-9,
        lambda row: f"its mask still changes from round to round (stability {1 - unstable[row]:.2f})",
    )


def clasp(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
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


def typiclust(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    """The most typical image of each group that has no label yet, the biggest group first (Hacohen et al., 2022)."""
    images, first, units = _images(pool)
    groups = max(1, min(len(ask.labelled_images) + ask.count, 200, len(images)))
    group = k_means(units, groups, rng)
    taken = _labelled_groups(group, images, ask)
    sizes = np.bincount(group, minlength=groups)
    order = np.lexsort((-sizes, np.array([g in taken for g in range(groups)])))
    value, said = np.full(len(pool), 1e-9), {}
    for place, g in enumerate(order):
        members = np.flatnonzero(group == g)
        if len(members):
            best = members[np.argmax(typicality(units[members]))]
            rows = first[best]
            value[rows] = (2 if g not in taken else 1) - place / (2 * groups)
            alike = f"typical of {len(members)} images that look alike"
            said.update({int(r): alike if len(members) > 1 else "unlike every other image" for r in rows})
    value = value + 1e-6 * _inside(pool)
    return Scored(value, lambda row: said.get(row, "one of a group that has been seen"))


def max_herding(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    """Greedy coverage of all images by a smooth kernel; certain images count less (Bae et al., 2024)."""
    images, first, units = _images(pool)
    anchors = units if len(units) <= ANCHORS else units[rng.permutation(len(units))[:ANCHORS]]
    kernel = rbf(anchors, units)
    done = np.isin(images, list(ask.labelled_images))
    covered = kernel[:, done].max(1) if done.any() else np.zeros(len(anchors), np.float32)
    value, free = np.full(len(pool), 1e-9), ~done
    for place in range(min(ask.count, int(free.sum()))):
        gain = np.maximum(kernel - covered[:, None], 0).sum(0)
        best = int(np.argmax(np.where(free, gain, -1)))
        value[first[best]] = 2 - place / ask.count
        covered, free[best] = np.maximum(covered, kernel[:, best]), False
    value = value + 1e-6 * _inside(pool)
    return Scored(value, lambda row: "stands for many images that are unlike those labelled so far")


def examine(pool: Pool, ask: Ask, rng: np.random.Generator) -> Scored:
    """EXAMINE as its abstract can be read: how much the largest singular value of all features falls without an
    image, to first order; one image of each group, because by itself it picks the same kind again and again."""
    images, first, units = _images(pool)
    raw = np.array([pool.features[rows[0]] for rows in first], np.float64)
    _, sizes, directions = np.linalg.svd(raw, full_matrices=False)
    drop = (raw @ directions[0]) ** 2 / (2 * max(sizes[0], 1e-9))
    group = k_means(units, max(1, min(ask.count, len(images))), rng)
    value = np.full(len(pool), 1e-9)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        best = members[np.argmax(drop[members])]
        value[first[best]] = np.exp(drop[best] - drop.max())
    return Scored(value + 1e-6 * _inside(pool), lambda row: "among the most telling images of its kind")


RANKERS: dict[str, Ranker] = {
    "clasp": Ranker(
        "Uncertain, class by class", "several classes, or small ones; learns most from each slice", clasp
    ),
    "entropy": Ranker("Uncertain", "one class, late in a project", entropy),
    "margin": Ranker("Torn between classes", "classes that are easily taken for one another", margin),
    "stability": Ranker(
        "Unsettled", "finding images on which the model keeps changing its mind", instability
    ),
    "foreground": Ranker(
        "Random where something is", "a baseline that is hard to beat", foreground_random, needs_model=True
    ),
    "random": Ranker("Random", "an honest sample", random_order, needs_model=False),
    "typiclust": Ranker("Typical", "the first ten labels", typiclust, needs_model=False, by_image=True),
    "coverage": Ranker(
        "Unlike what was labelled", "many kinds of images", max_herding, needs_model=False, by_image=True
    ),
    "examine": Ranker(
        "Telling", "leaving out blank and broken images", examine, needs_model=False, by_image=True
    ),
}
COLD, WARM = "typiclust", "clasp"  # before and after the first model


# helpers


def _askable(pool: Pool, ask: Ask) -> NDArray[np.intp]:
    out = ask.labelled | ask.skipped
    if not out:
        return np.arange(len(pool))
    code = _coded(pool.refs)
    return np.flatnonzero(~np.isin(code, _coded(np.array(sorted(out), np.int64).reshape(-1, 3))))


def _coded(refs: NDArray[np.int64]) -> NDArray[np.int64]:
    return (refs[:, 0] * 4 + refs[:, 1]) * (1 << 24) + refs[:, 2]


def _depths(pool: Pool) -> dict[tuple[int, int], int]:
    """(image, axis) -> how many slices it has, as far as the pool shows."""
    code = pool.refs[:, 0] * 4 + pool.refs[:, 1]
    keys, inverse = np.unique(code, return_inverse=True)
    deepest = np.zeros(len(keys), np.int64)
    np.maximum.at(deepest, inverse, pool.refs[:, 2])
    return {(int(k // 4), int(k % 4)): int(d) + 1 for k, d in zip(keys, deepest)}


def _copies(units: NDArray[np.float32], row: int, chosen: list[int], pool: Pool) -> bool:
    """Whether an image looks exactly like one that is chosen already."""
    if not chosen or not units[row].any():
        return False
    return bool((units[chosen] @ units[row] > ALIKE).any()) and pool.features.shape[1] > 1


def _unit(features: NDArray) -> NDArray[np.float32]:
    """Rows about their mean, of length 1."""
    values = features.astype(np.float32)
    values = values - values.mean(0) if len(values) > 2 else values
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _images(pool: Pool) -> tuple[NDArray[np.int64], list[NDArray[np.intp]], NDArray[np.float32]]:
    """The images of a pool, the rows of each, and their (N, D) features of length 1."""
    images, start, inverse = np.unique(pool.refs[:, 0], return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return images, rows, _unit(pool.features[start])


def _inside(pool: Pool) -> NDArray[np.float64]:
    """0..1: which slice of an image to take, by what is uncertain or, before any model, the middle one."""
    if pool.entropy.max() > 0:
        return pool.entropy / pool.entropy.max()
    depth = _depths(pool)
    middle = np.array([depth[int(i), int(a)] / 2 for i, a, _ in pool.refs])
    return 1 / (1 + np.abs(pool.refs[:, 2] - middle) + (pool.refs[:, 1] > 0))


def _labelled_groups(group: NDArray[np.intp], images: NDArray[np.int64], ask: Ask) -> set[int]:
    return {int(g) for g in group[np.isin(images, list(ask.labelled_images))]}


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


def _times(words: str, values: NDArray) -> Callable[[int], str]:
    usual = float(np.median(values)) + 1e-9
    return lambda row: f"{words}, {min(values[row] / usual, 99):.1f} times as much as usual"
