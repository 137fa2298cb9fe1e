"""How many threads to use so that training in the background neither disturbs nor waits for others.

Two threads meet after every layer: where somebody else holds one core, both go at the pace of the one that waits.
"""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
SPARE = 1.4  # processors that others must leave before a second thread pays


class Courtesy:
    """Ask `threads` before each step. Where the system does not tell (no /proc/stat) it always grants all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._granted = most
        self._last = _now()

    def threads(self) -> int:
        now = _now()
        wall = now[0] - self._last[0]
        if wall > 0.5 and STAT.exists():
            others = (now[1] - self._last[1]) - (now[2] - self._last[2])
            spare = (os.cpu_count() or 1) - others / wall
            self._granted = max(1, min(self._most, int(spare + 2 - SPARE)))
            self._last = now
        return self._granted


def _now() -> tuple[float, float, float]:
    """Seconds on the clock, of work on all processors, and of this process's own work."""
    busy = 0.0
    if STAT.exists():
        user, nice, system = STAT.read_text().split("\n", 1)[0].split()[1:4]
        busy = (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), busy, time.process_time()
