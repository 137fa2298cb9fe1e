"""How long a new order of 10,000 images takes: read what the rankers know of them from disk, and rank it.

    python -m benchmarks.rerank [--quick] [--seeds 3]

Pictures are one row each; volumes have one for each slice in three planes. Features and uncertainties are drawn at
random in forty groups, with the widths that `unet-m` writes; nothing about their values changes the time much.
Both times are told: of the clock, and of the processor, which a crowded machine does not change.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import Row, finish, parser
from learners.objects.tallies import SIZE_BINS
from learners.rankers import RANKERS, rank
from learners.rankers.contract import RankRequest
from learners.rankers.pool import Pool, read_pool, write_pool

GROUPS, FEATURES, CLASSES = 40, 256, 3
SIDES = (40, 50, 35)  # of a volume
COUNT = 20


def main() -> None:
    asked = parser(__doc__.splitlines()[0]).parse_args()
    sets = {"10,000 pictures": pictures(10_000), "400 volumes": volumes(40 if asked.quick else 400)}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, pool in sets.items():
            write_pool(Path(folder) / "pool.npz", pool)
            for seed in range(1 if asked.quick else asked.seeds):
                rows += measured(f"{name}, {len(pool):,} rows", Path(folder) / "pool.npz", seed)
    finish(rows, asked.json)


def measured(name: str, path: Path, seed: int) -> Iterator[Row]:
    started = time.perf_counter(), time.process_time()
    pool = read_pool(path)
    yield from _times(name, "reading the pool", seed, started)
    images = np.unique(pool.refs[:, 0])
    ask = RankRequest(COUNT, labelled_images=frozenset(int(i) for i in images[:50]), loop=2, seed=seed)
    for ranker in RANKERS:
        started = time.perf_counter(), time.process_time()
        picks = rank(ranker, pool, ask)
        yield from _times(name, ranker, seed, started)
        assert len(picks) == COUNT, f"{ranker} gave {len(picks)} of {COUNT}"


def _times(name: str, method: str, seed: int, started: tuple[float, float]) -> Iterator[Row]:
    now = time.perf_counter(), time.process_time()
    for metric, a, b in zip(("ms", "ms of processor"), started, now):
        yield Row(name, method, metric, 1000 * (b - a), seed=seed)


def pictures(count: int) -> Pool:
    return _pool(np.array([(i, 0, 0) for i in range(1, count + 1)]))


def volumes(count: int) -> Pool:
    slices = [(axis, k) for axis, n in enumerate(SIDES) for k in range(n)]
    return _pool(np.array([(i, axis, k) for i in range(1, count + 1) for axis, k in slices]))


def _pool(refs: np.ndarray) -> Pool:
    rng, n = np.random.default_rng(0), len(refs)
    images, of_row = np.unique(refs[:, 0], return_inverse=True)
    kinds = rng.normal(size=(GROUPS, FEATURES))
    features = kinds[images % GROUPS] + rng.normal(scale=0.3, size=(len(images), FEATURES))

    def column(*shape: int) -> np.ndarray:
        return rng.gamma(1.5, 40, (n, *shape)).astype(np.float32)

    return Pool(
        refs=refs.astype(np.int64),
        entropy=column(),
        doubt=column(),
        per_class=column(CLASSES),
        foreground=rng.random(n).astype(np.float32),
        contour=column(),
        information=column(),
        stability=rng.random(len(images)).astype(np.float32)[of_row],
        expected=rng.random(len(images)).astype(np.float32)[of_row],
        unsure=column(),
        sizes=column(SIZE_BINS),
        features=features.astype(np.float16)[of_row],
    )


if __name__ == "__main__":
    main()
