"""The newest lines of the server's log, kept for whoever may read them."""

import logging
from collections import deque
from functools import cache

MOST_LINES = 1000


class _Recent(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@cache
def _collecting() -> _Recent:
    handler = _Recent()
    logging.getLogger().addHandler(handler)
    return handler


def recent_lines(count: int) -> list[str]:
    """The newest last; collected since this was first called."""
    lines = list(_collecting().lines)
    return lines[-count:] if count > 0 else []
