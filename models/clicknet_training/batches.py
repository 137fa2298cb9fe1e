"""Batches of samples made in processes of their own, a few steps ahead."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from models.clicknet_training.cache import Cache
from models.clicknet_training.examples import Batch, stacked
from models.clicknet_training.samples import Sampler

AHEAD = 3  # batches for each process


@dataclass(frozen=True)
class Order:
    """What makes a batch: the same order makes the same batch."""

    seed: int
    step: int
    size: int
    count: int


class Orders(Dataset[Batch]):
    """The batch of each step."""

    def __init__(self, folder: Path, order: Callable[[int], Order]) -> None:
        self._folder, self._order = folder, order
        self._sampler: Sampler | None = None  # opened in the process that draws

    def __getitem__(self, step: int) -> Batch:
        if self._sampler is None:
            cv2.setNumThreads(1)
            self._sampler = Sampler(Cache(self._folder))
        order = self._order(step)
        return stacked(
            [self._sampler.sample((order.seed, order.step, n), order.size) for n in range(order.count)]
        )


def batches(
    folder: Path, order: Callable[[int], Order], steps: range, *, workers: int, pin: bool
) -> Iterator[Batch]:
    """The batch of each of these steps, in turn. `pin`: for a GPU to read them."""
    loader: DataLoader[Batch] = DataLoader(
        Orders(folder, order),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=AHEAD,
        multiprocessing_context="spawn",
        pin_memory=pin,
        generator=torch.Generator(),  # the loader draws a seed of its own; samples have theirs
    )
    return iter(loader)
