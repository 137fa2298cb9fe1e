"""Who fills a volume for the server."""

from collections.abc import Callable
from typing import Protocol

from learners.propagate.process import FillDone, FillSpec


class VolumeFiller(Protocol):
    """`learners.propagate.process.ProcessFiller`, or `Filler` in tests."""

    def fill(
        self, spec: FillSpec, cancelled: Callable[[], bool], progress: Callable[[float], None]
    ) -> FillDone: ...

    def close(self) -> None: ...
