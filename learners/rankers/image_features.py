"""What images look like before any model has seen them: a few numbers each, for the very first queries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.objects.tallies import SIZE_BINS
from learners.rankers.pool import Pool, empty_pool, write_pool
from storage.arrays import TornFile, open_npy

SIDE = 8  # of the thumbnail
BINS = 16
FEATURES = SIDE * SIDE + 2 * BINS + 2


@dataclass(frozen=True)
class Described:
    """An image to describe: no label, no class."""

    image_id: int
    pixels: Path  # (Z, Y, X[, C])
    shape: tuple[int, int, int]


def describe_all(images: Sequence[Described], out: Path, seconds: float) -> int:
    """Write a pool of the images that can be described in the time; how many. Runs in a worker, needs no torch."""
    started = time.monotonic()
    pools: list[tuple[Described, NDArray[np.float32]]] = []
    for image in images:
        if pools and time.monotonic() - started > seconds:
            break
        try:
            pools.append((image, describe(open_npy(image.pixels))))
        except TornFile:
            continue
    if pools:
        write_pool(out, _pool(pools))
    return len(pools)


def describe(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(FEATURES,) thumbnail, histogram of intensities and of steps between neighbours, and how bright and varied."""
    middle = np.asarray(pixels[pixels.shape[0] // 2], np.float32)
    grey = np.nan_to_num(middle.mean(-1) if middle.ndim == 3 else middle)
    step = max(1, max(grey.shape) // 256)
    grey = grey[::step, ::step]
    low, high = np.percentile(grey, (0.5, 99.5))
    grey = np.clip((grey - low) / max(high - low, 1e-6), 0, 1)
    rows, columns = np.gradient(grey) if min(grey.shape) > 1 else (grey * 0, grey * 0)
    steps = np.hypot(rows, columns)
    histograms = [
        np.histogram(values, BINS, (0, top))[0] / values.size for values, top in ((grey, 1), (steps, 0.5))
    ]
    about = [float(grey.mean()), float(grey.std())]
    return np.concatenate([0.3 * _thumbnail(grey).ravel(), *histograms, about]).astype(np.float32)


def _thumbnail(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """(SIDE, SIDE) means of cells; a smaller image repeats its pixels."""
    parts = [np.array_split(np.arange(max(n, SIDE)) * n // max(n, SIDE), SIDE) for n in grey.shape]
    return np.array([[grey[np.ix_(r, c)].mean() for c in parts[1]] for r in parts[0]], np.float32)


def _pool(described: Sequence[tuple[Described, NDArray[np.float32]]]) -> Pool:
    """A row for each picture and for each slice of a volume; nothing is known but what it looks like."""
    refs, features = [], []
    for image, values in described:
        axes = (0, 1, 2) if image.shape[0] > 1 else (0,)
        rows = [(image.image_id, axis, i) for axis in axes for i in range(image.shape[axis])]
        refs += rows
        features += [values] * len(rows)
    n = len(refs)
    if not n:
        return empty_pool()
    zeros, unknown = np.zeros(n, np.float32), np.full(n, np.nan, np.float32)
    return Pool(
        refs=np.array(refs, np.int64),
        entropy=zeros,
        doubt=zeros,
        per_class=np.zeros((n, 1), np.float32),
        foreground=zeros,
        contour=zeros,
        information=unknown,
        stability=unknown,
        expected=unknown,
        unsure=zeros,
        sizes=np.zeros((n, SIZE_BINS), np.float32),
        features=np.array(features, np.float16),
    )
