"""The random walker of L. Grady (TPAMI 2006) with a prior: labels spread through the image until they meet an edge.

Solves one linear system for all classes. Between labelled slices the outlines that are carried along by registering
neighbouring slices (`flow`) and the brightness of what was labelled (`intensity`) pull every voxel gently (CVPR 2005,
"multilabel random walker using prior models"): where the image shows no edge, the outlines are interpolated. Large
volumes are solved on a coarse grid first; on finer ones only the voxels around the edges found so far are solved again.
Where structures are thin that grid is as fine as can be, edges are smoothed less and finer grids read their brightness
again. A new run starts from the last solution.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from learners.propagate import intensity_model as intensity
from learners.propagate import registration as flow
from learners.propagate.contract import PropagationInput, PropagationResult, RunControl
from learners.propagate.voxel_graph import SMOOTH, Edges, coarse_mean, finer, solve, system_of
from storage.arrays import BACKGROUND, UNLABELLED

SHARPNESS = 2.0  # how much an edge that is as strong as usual holds a walker back
SHARPNESS_THIN = 4.0  # the same where structures are thin
SMOOTH_THIN = 0.5  # voxels; the bell of SMOOTH would blur a sheet of two voxels
PULL = 0.25  # how strongly a voxel leans on its prior, against 1 for an edge inside an even region
WHOLE = 400_000  # voxels; a grid up to this size is solved everywhere
WORK = 4_000_000  # voxels times classes, likewise
WHOLE_THIN = 1_000_000  # voxels; as WHOLE where the next coarser grid would lose what was drawn
WORK_THIN = 20_000_000  # voxels times classes, likewise
KEPT = 0.9  # of the drawn voxels that keep their class on a grid: fewer are lost, as a cortex is in blocks of 4 mm
SURE = 0.97  # a coarse voxel this certain, among ones of its class, is not solved again
Factor = tuple[int, int, int]


@dataclass(frozen=True)
class SolvedGrid:
    """A solution on one grid: soft where it was solved, hard elsewhere."""

    number: NDArray[np.int32]  # (z, y, x) row of `soft`, -1 where the voxel is hard
    soft: NDArray[np.float32]  # (N, K) probability of each foreground class
    hard: NDArray[np.uint8]  # (z, y, x) 0 background, k the k-th class; holds where number < 0

    def at(self, places: NDArray) -> NDArray[np.float32]:
        """(M, K) probabilities at flat places."""
        out = one_hot(self.hard.ravel()[places], self.soft.shape[1])
        row = self.number.ravel()[places]
        out[row >= 0] = self.soft[row[row >= 0]]
        return out

    def best(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(z, y, x) the likeliest, 0 for background, and its probability."""
        every = np.concatenate([1 - self.soft.sum(1, keepdims=True), self.soft], 1)
        index, certain = every.argmax(1).astype(np.uint8), every.max(1)
        where = self.number >= 0
        row = self.number[where]
        likeliest, probability = self.hard.copy(), np.ones(self.hard.shape, np.float32)
        likeliest[where], probability[where] = index[row], certain[row].clip(0, 1)
        return likeliest, probability

    def spread(self, step: Factor, shape: tuple[int, ...]) -> "SolvedGrid":
        """The same on a finer grid."""
        return SolvedGrid(finer(self.number, step, shape), self.soft, finer(self.hard, step, shape))


def walk(case: PropagationInput, run: RunControl) -> PropagationResult:
    """Exact for small volumes, coarse to fine for large ones; the best so far at the deadline."""
    factors = ladder(case)
    image = normalised(case.image)
    small = coarse_case(case, image, factors[-1])
    thin = _voxels(case.shape, factors[-1]) > _usual_most(case)
    level, finished = _coarsest(small, run, thin=thin)
    state = _state(small, level)
    for n in range(len(factors) - 2, -1, -1):
        run.progress(1 - (n + 1) / len(factors))
        small = coarse_case(case, image, factors[n])
        z, y, x = (a // b for a, b in zip(factors[n + 1], factors[n]))
        if finished:
            level, finished = _refined(small, level, (z, y, x), run, thin=thin)
        else:
            level = level.spread((z, y, x), small.shape)
    index, probability = level.best()
    return PropagationResult(
        np.array([BACKGROUND, *case.classes], np.uint8)[index], probability, finished, state
    )


def ladder(case: PropagationInput) -> list[Factor]:
    """Block sizes from (1, 1, 1) up, until a grid is small; axes with fine spacing are joined first."""
    factors: list[Factor] = [(1, 1, 1)]
    while _voxels(case.shape, factors[-1]) > _usual_most(case) and len(factors) < 6:
        now = factors[-1]
        sizes = [mm * f for mm, f in zip(case.spacing_mm, now)]
        grow = [size < 1.5 * min(sizes) and n // f >= 8 for size, n, f in zip(sizes, case.shape, now)]
        if not any(grow):
            break
        z, y, x = (f * 2 if g else f for f, g in zip(now, grow))
        bearable = _voxels(case.shape, now) <= min(WHOLE_THIN, WORK_THIN // len(case.classes))
        if bearable and _kept(case, (z, y, x)) < KEPT:
            break
        factors.append((z, y, x))
    return factors


def _usual_most(case: PropagationInput) -> int:
    """Voxels up to which a grid is solved everywhere, whatever coarser ones would lose."""
    return min(WHOLE, WORK // len(case.classes))


def _kept(case: PropagationInput, factor: Factor) -> float:
    """The share of the drawn voxels whose class a coarser grid still shows."""
    drawn = np.isin(case.known, case.classes)
    coarse = finer(_coarse_known(case, factor), factor, case.shape)
    return float((coarse[drawn] == case.known[drawn]).mean())


def normalised(image: NDArray) -> NDArray[np.float32]:
    """Brightness with the bulk of it between 0 and 1."""
    values = image.astype(np.float32)
    low, high = np.percentile(values.ravel()[:: max(1, values.size // 200_000)], (0.5, 99.5))
    return ((values - float(low)) / max(float(high - low), 1e-6)).clip(-0.2, 1.2)


def coarse_case(case: PropagationInput, image: NDArray[np.float32], factor: Factor) -> PropagationInput:
    """The case on a coarser grid: mean brightness, and of what is known in a block the most frequent."""
    small = coarse_mean(image, factor)
    if factor == (1, 1, 1):
        return replace(case, image=small, origin=_corner(case, factor))
    known = _coarse_known(case, factor)
    slices = tuple({replace(s, index=s.index // factor[s.axis], classes=case.drawn[s]) for s in case.slices})
    z, y, x = (mm * f for mm, f in zip(case.spacing_mm, factor))
    oz, oy, ox = _corner(case, factor)
    return PropagationInput(small, known, slices, (z, y, x), (oz, oy, ox), named=case.classes)


def _coarse_known(case: PropagationInput, factor: Factor) -> NDArray[np.uint8]:
    """(z, y, x) of what is known in a block the most frequent.

    As frequent ones go to the rarer class: beside a slice without it, a thin object would be lost altogether.
    """
    known = np.full([-(-n // f) for n, f in zip(case.shape, factor)], UNLABELLED, np.uint8)
    places = np.flatnonzero(case.known != UNLABELLED)
    values = case.known.ravel()[places]
    blocks = np.ravel_multi_index(
        tuple(i // f for i, f in zip(np.unravel_index(places, case.shape), factor)), known.shape
    )
    counts = {v: np.bincount(blocks[values == v], minlength=known.size) for v in (BACKGROUND, *case.classes)}
    most = np.ones(known.size, np.int64)
    for value in (BACKGROUND, *sorted(case.classes, key=lambda v: -counts[v].sum())):
        known.ravel()[counts[value] >= most] = value
        most = np.maximum(most, counts[value])
    for value in set(case.classes) - set(np.unique(known).tolist()):
        known.ravel()[counts[value].argmax()] = value
    return known


def _state(small: PropagationInput, level: SolvedGrid) -> dict[str, NDArray]:
    """What the next run starts from."""
    solution = level.at(np.arange(level.hard.size)).astype(np.float16)
    return {
        "solution": solution.reshape(*small.shape, -1),
        "corner": np.array(small.origin),
        "spacing": np.array(small.spacing_mm, np.float32),
        "classes": np.array(small.classes, np.uint8),
    }


def _coarsest(small: PropagationInput, run: RunControl, *, thin: bool) -> tuple[SolvedGrid, bool]:
    """Solved everywhere, from the outlines and the brightness as prior and the last solution as start."""
    free = small.known == UNLABELLED
    prior = _prior(small, run, thin=thin)[free]
    return _solved(small, free, _index(small), (prior, _start(small, run, free, prior)), run, thin=thin)


def _refined(
    small: PropagationInput, above: SolvedGrid, step: Factor, run: RunControl, *, thin: bool
) -> tuple[SolvedGrid, bool]:
    """Solved anew around the edges that the coarser grid found, taken over elsewhere. `thin`: what was drawn is about
    as thin as a block, whose mean brightness says little then; of larger things it is better than one noisy voxel."""
    known = small.known != UNLABELLED
    guess = above.spread(step, small.shape)
    index = guess.best()[0]
    hard = np.where(known, _index(small), index)
    unsure = _unsure(above, np.flatnonzero(known & (hard != index)), step, small.shape)
    free = finer(unsure, step, small.shape) & ~known
    start = guess.at(np.flatnonzero(free))
    if thin:
        start = _sharper(small, step, free, start)
    return _solved(small, free, hard, (start, start), run, thin=thin)


def _sharper(
    small: PropagationInput, step: Factor, free: NDArray[np.bool_], guess: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, K) the coarse solution, with what each free voxel's brightness says beyond that of its block."""
    block = finer(coarse_mean(small.image, step), step, small.shape)
    here, there = intensity.levels(small.image[free]), intensity.levels(block[free])
    odds = guess * np.stack(
        [ratio[here] / ratio[there] for ratio in intensity.global_likelihood_ratio(small)], -1
    )
    rest = (1 - guess.sum(-1, keepdims=True)).clip(0)
    return (odds / (odds.sum(-1, keepdims=True) + rest + 1e-6)).astype(np.float32)


def _unsure(level: SolvedGrid, wrong: NDArray, step: Factor, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(z, y, x) of the coarse grid: near an edge, near what the finer grid knows better, or not certain."""
    index, probability = level.best()
    odd = np.zeros(index.shape, np.uint8)
    odd[tuple(i // s for i, s in zip(np.unravel_index(wrong, shape), step))] = 1
    edge = maximum_filter(index, 3) != minimum_filter(index, 3)
    return edge | (probability < SURE) | (maximum_filter(odd, 3) > 0)


def _solved(
    small: PropagationInput,
    free: NDArray[np.bool_],
    hard: NDArray[np.uint8],
    beliefs: tuple[NDArray[np.float32], NDArray[np.float32]],
    run: RunControl,
    *,
    thin: bool,
) -> tuple[SolvedGrid, bool]:
    """The walk over the free voxels; `beliefs` are what they lean on and where the solver starts."""
    number = np.full(small.shape, -1, np.int32)
    number[free] = np.arange(np.count_nonzero(free), dtype=np.int32)
    prior, start = beliefs
    if not len(prior):
        return SolvedGrid(number, prior, hard), True
    edges = Edges(
        small.image, small.spacing_mm, *((SHARPNESS_THIN, SMOOTH_THIN) if thin else (SHARPNESS, SMOOTH))
    )
    system, pull = system_of(free, edges, lambda places: one_hot(hard.ravel()[places], prior.shape[1]))
    system = replace(system, diagonal=system.diagonal + PULL)
    soft, finished, _ = solve(system, pull + PULL * prior, start, run)
    return SolvedGrid(number, soft.clip(0, 1), hard), finished


def _prior(small: PropagationInput, run: RunControl, *, thin: bool) -> NDArray[np.float32]:
    """(z, y, x, K) what outlines and brightness say about each foreground class."""
    nearby = intensity.local_likelihood_ratio(small, background=thin)
    odds = [(p / (1 - p + 1e-4)) * look for p, look in zip(flow.chances(small, run), nearby)]
    stacked = np.stack(odds, -1)
    return stacked / (1 + stacked.sum(-1, keepdims=True))


def _start(
    small: PropagationInput, run: RunControl, free: NDArray[np.bool_], prior: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, K) the last solution where there is one for this place and class, the prior elsewhere."""
    state: Mapping[str, NDArray] = run.previous.state if run.previous else {}
    if "solution" not in state or not np.array_equal(
        state["spacing"], np.array(small.spacing_mm, np.float32)
    ):
        return prior
    shift = np.array(small.origin) - state["corner"]
    places = np.argwhere(free) + shift
    inside = ((places >= 0) & (places < state["solution"].shape[:3])).all(1)
    start = prior.copy()
    for column, value in enumerate(small.classes):
        old = np.flatnonzero(state["classes"] == value)
        if len(old):
            z, y, x = places[inside].T
            start[inside, column] = state["solution"][z, y, x, old[0]]
    return start


def _index(small: PropagationInput) -> NDArray[np.uint8]:
    """Class values as 0 background, k the k-th class; 0 where nothing is known."""
    table = np.zeros(256, np.uint8)
    table[list(small.classes)] = np.arange(1, len(small.classes) + 1)
    return table[small.known]


def one_hot(index: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """(M,) 0 background or k -> (M, count); background is all zero."""
    return (index[:, None] == np.arange(1, count + 1)[None]).astype(np.float32)


def _corner(case: PropagationInput, factor: Factor) -> tuple[int, int, int]:
    z, y, x = (o // f for o, f in zip(case.origin, factor))
    return z, y, x


def _voxels(shape: tuple[int, ...], factor: Factor) -> int:
    return int(np.prod([-(-n // f) for n, f in zip(shape, factor)]))
