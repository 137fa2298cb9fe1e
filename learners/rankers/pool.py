"""What a ranker sees: one row for each image or slice that could be labelled next."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.objects.tallies import SIZE_BINS
from storage.arrays import TornFile, read_npz, write_bytes


@dataclass(frozen=True)
class Pool:
    """N rows. Uncertainties are sums over the slice: means would pick the tips, where little is at stake."""

    refs: NDArray[np.int64]  # (N, 3) image, axis, index
    entropy: NDArray[np.float32]  # (N,) nats over the slice
    doubt: NDArray[np.float32]  # (N,) sum of 1 - margin
    per_class: NDArray[np.float32]  # (N, C) p * entropy for each foreground class
    foreground: NDArray[np.float32]  # (N,) share of the slice
    contour: NDArray[np.float32]  # (N,) proposed contour, pixels
    information: NDArray[np.float32]  # (N,) nats over the slice that the snapshots disagree by; NaN unknown
    stability: NDArray[np.float32]  # (N,) of the image, against the model before; NaN unknown
    expected: NDArray[np.float32]  # (N,) expected Dice of the image; NaN unknown
    unsure: NDArray[np.float32]  # (N,) proposed objects that the model is unsure of
    sizes: NDArray[np.float32]  # (N, SIZE_BINS) proposed objects by their size
    features: NDArray[np.float16]  # (N, D) of the image

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def from_model(self) -> bool:
        """Whether a model predicted these images; what they look like has no entropy."""
        return bool((self.entropy > 0).any())

    def of(self, rows: "NDArray[np.intp] | NDArray[np.bool_]") -> "Pool":
        parts: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self)}
        return Pool(**parts)


def empty_pool(classes: int = 1, features: int = 1) -> Pool:
    none = np.zeros(0, np.float32)
    return Pool(
        refs=np.zeros((0, 3), np.int64),
        entropy=none,
        doubt=none,
        per_class=np.zeros((0, classes), np.float32),
        foreground=none,
        contour=none,
        information=none,
        stability=none,
        expected=none,
        unsure=none,
        sizes=np.zeros((0, SIZE_BINS), np.float32),
        features=np.zeros((0, features), np.float16),
    )


def join(pools: Sequence[Pool]) -> Pool:
    """Later pools replace the rows of the images they hold. Widths of classes and features follow the last."""
    pools = [p for p in pools if len(p)]
    if not pools:
        return empty_pool()
    last = pools[-1]
    kept, taken = [], np.zeros(0, np.int64)
    for pool in reversed(pools):
        rows = ~np.isin(pool.refs[:, 0], taken)
        kept.append(_like(pool.of(rows), last))
        taken = np.union1d(taken, pool.refs[:, 0])
    return Pool(*(np.concatenate([getattr(p, f.name) for p in reversed(kept)]) for f in fields(Pool)))


def _like(pool: Pool, last: Pool) -> Pool:
    """Columns cut or filled with zeros to the widths of another pool."""
    values = {f.name: getattr(pool, f.name) for f in fields(Pool)}
    for name in ("per_class", "features"):
        width = getattr(last, name).shape[1]
        column = values[name][:, :width]
        values[name] = np.pad(column, ((0, 0), (0, width - column.shape[1])))
    return Pool(**values)


def write_pool(path: Path, pool: Pool) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{f.name: getattr(pool, f.name) for f in fields(Pool)})
    write_bytes(path, buffer.getvalue())


def read_pool(path: Path) -> Pool:
    """Raises TornFile."""
    arrays = read_npz(path, "the ranking data")
    try:
        columns = {f.name: arrays[f.name] for f in fields(Pool) if f.name in arrays}
        rows = len(columns["refs"])
        unknown, nothing = np.full(rows, np.nan, np.float32), np.zeros((rows, SIZE_BINS), np.float32)
        older = {"information": unknown, "unsure": nothing[:, 0], "sizes": nothing}  # which these may lack
        return Pool(**{**older, **columns})
    except (KeyError, TypeError) as error:
        raise TornFile(f"the ranking data {path.name} cannot be read ({error})") from error
