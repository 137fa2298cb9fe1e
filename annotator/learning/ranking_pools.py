"""What the rankers see of a project: a pool for each learner, and what the images look like before any model."""

import contextlib
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from learners import LEARNERS
from learners.rankers.image_features import Described, describe_all
from learners.rankers.pool import Pool, empty_pool, join, read_pool, write_pool
from storage.arrays import TornFile
from storage.rounds import Rounds
from storage.store import Store

log = logging.getLogger(__name__)

DESCRIBE_SECONDS = 20.0  # for a first look at all images


class PoolStore:
    """Thread-safe. A pool is a file beside the rounds; what is held in memory can be thrown away."""

    def __init__(self, store: Store, rounds: Rounds) -> None:
        self._store, self._rounds, self._directory = store, rounds, rounds.directory
        self._made = (
            store.workplace / "rounds" if store.looking else rounds.directory
        )  # `described` goes there
        # Protects `_pools`; held while a file is read. Taken inside the scheduler's lock; no lock of ours inside it.
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}

    def pool(self, learner: str) -> Pool:
        """Every image that this learner has predicted."""
        with self._lock:
            if learner not in self._pools:
                self._pools[learner] = self._read(learner)
            return self._pools[learner]

    def newest(self) -> str | None:
        """The learner that predicted last, None where no model has predicted anything."""
        return max((n for n in LEARNERS if self.pool(n).from_model), key=self._age, default=None)

    def keep(self, learner: str, path: Path) -> bool:
        """The new rows beside those of images that this round did not predict; whether there were any."""
        with contextlib.suppress(TornFile):
            if path.exists():
                new = self._calibrated(read_pool(path), learner)
                pool = join([self.pool(learner), new])
                write_pool(self._path(learner), pool)
                with self._lock:
                    self._pools[learner] = pool
                return True
        return False

    def stable(self, learner: str) -> dict[int, float]:
        """How settled the last models were on each image."""
        pool = self.pool(learner)
        return {int(i): float(s) for i, s in zip(pool.refs[:, 0], pool.stability) if s == s}

    def described(self) -> Pool:
        """What the images look like; made on demand, once for each number of images."""
        total, rows = self._store.images(limit=-1)
        path = self._directory / f"described-{total}.npz"
        if not path.exists():
            path = self._made / path.name
            self._made.mkdir(exist_ok=True)
        if not path.exists():
            describe_all([Described(r.id, r.path, r.shape) for r in rows], path, DESCRIBE_SECONDS)
        return read_pool(path) if path.exists() else empty_pool()

    def _calibrated(self, pool: Pool, learner: str) -> Pool:
        """With the Dice that is expected of each image."""
        known = self._store.predictions.expected_of(learner)
        expected = [known.get(int(image), np.nan) for image in pool.refs[:, 0]]
        return replace(pool, expected=np.array(expected, np.float32))

    def _read(self, learner: str) -> Pool:
        path = self._path(learner)
        try:
            return read_pool(path) if path.exists() else empty_pool()
        except TornFile as error:
            log.warning("%s", error)
            return empty_pool()

    def _age(self, learner: str) -> tuple[int, float]:
        """By its rounds: copying a project may change the times of its files."""
        row = self._rounds.newest(learner, "done")
        return (row.id if row else 0, self._path(learner).stat().st_mtime)

    def _path(self, learner: str) -> Path:
        return self._directory / f"pool-{learner}.npz"
