"""Batches of samples made in a process of their own, a few steps ahead."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from models.clicknet_training.cache import Cache
from models.clicknet_training.examples import Batch, stacked
from models.clicknet_training.samples import Sampler

AHEAD = 3


@dataclass(frozen=True)
class Order:
    """What makes a batch: the same order makes the same batch."""

    seed: int
    step: int
    size: int
    count: int


def batches(folder: Path, order: Callable[[int], Order], first: int) -> Iterator[tuple[Order, Batch]]:
    """Endless; `order` is asked a few steps ahead."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _open, (folder,)) as pool:
        waiting: deque[tuple[Order, Future[Batch]]] = deque()
        step = first
        while True:
            while len(waiting) < AHEAD:
                asked = order(step)
                waiting.append((asked, pool.submit(_make, asked)))
                step += 1
            asked, future = waiting.popleft()
            yield asked, future.result()


_sampler: Sampler | None = None  # of the worker process


def _open(folder: Path) -> None:
    global _sampler
    cv2.setNumThreads(1)
    _sampler = Sampler(Cache(folder))


def _make(order: Order) -> Batch:
    if _sampler is None:
        raise RuntimeError("the worker has no data yet; start it through batches()")
    samples = [_sampler.sample((order.seed, order.step, n), order.size) for n in range(order.count)]
    return stacked(samples)
