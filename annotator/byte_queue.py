"""A queue of messages that is bounded in bytes too: who sends faster than we save has to wait."""

import asyncio
from collections import deque

from annotator.protocol.incoming import CommitMessage

SentCommit = tuple[CommitMessage, bytes]


class ByteQueue:
    """Of one event loop. One item always fits, however large it is."""

    def __init__(self, items: int, payload_bytes: int) -> None:
        self._items, self._bytes = items, payload_bytes
        self._waiting: deque[SentCommit | None] = deque()
        self._held = 0
        self._changed = asyncio.Condition()

    async def put(self, item: SentCommit) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(item))
            self._waiting.append(item)
            self._held += len(item[1])
            self._changed.notify_all()

    async def end(self) -> None:
        """Nothing comes after what is there; never waits for room."""
        async with self._changed:
            self._waiting.append(None)
            self._changed.notify_all()

    async def get(self) -> SentCommit | None:
        """None at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._waiting))
            item = self._waiting.popleft()
            self._held -= len(item[1]) if item else 0
            self._changed.notify_all()
            return item

    def _fits(self, item: SentCommit) -> bool:
        room = len(self._waiting) < self._items and self._held + len(item[1]) <= self._bytes
        return room or not self._waiting
