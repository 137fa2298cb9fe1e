"""Token buckets: how often somebody may do something."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

MAX_KEYS = 10_000  # the longest unused bucket goes first, so strangers cannot fill the memory


@dataclass(frozen=True)
class Rate:
    per_second: float
    burst: float


class Bucket:
    """Starts full, refills evenly."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._left, self._at = rate.burst, clock()

    def take(self, amount: float = 1) -> float:
        """0 where it was allowed, else the seconds to wait; then nothing was taken."""
        now = self._clock()
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_second)
        self._at = now
        if self._left >= amount:
            self._left -= amount
            return 0.0
        return (amount - self._left) / self._rate.per_second


class Buckets:
    """One bucket for each key; thread-safe."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._lock = threading.Lock()  # protects _buckets
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable) -> int:
        """0 where it was allowed, else whole seconds to wait."""
        with self._lock:
            bucket = self._buckets.setdefault(key, Bucket(self._rate, self._clock))
            self._buckets.move_to_end(key)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
            return math.ceil(bucket.take())
