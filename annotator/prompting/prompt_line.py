"""The line of tabs that wait for masks: each with its newest prompt alone, served in turns, several at once."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import anyio

MOST_TOGETHER = 6  # prompts answered at once: more wait longer for one another than they save

Asker = TypeVar("Asker", bound=Hashable)
Asked = TypeVar("Asked")
Told = TypeVar("Told")


class PromptLine(Generic[Asker, Asked, Told]):
    """For the event loop only.

    Who asks again before being served keeps the place in the line, with the newer question: nobody is passed by for
    being quick, and no work is done on what nobody waits for any more. Who was served stands at the end.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Told]],
        tell: Callable[[Asker, Asked, Told], None],
        servers: int = 1,
    ) -> None:
        """`answer` is called in threads, at most `servers` at a time, and raises nothing."""
        self._answer, self._tell, self._servers = answer, tell, servers
        self._waiting: dict[Asker, Asked] = {}  # in the order of the line
        self._at_work: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether anybody waits or is served."""
        return bool(self._waiting or self._at_work)

    def ask(self, asker: Asker, asked: Asked) -> None:
        self._waiting[asker] = asked  # an old key keeps its place
        self._serve()

    def leave(self, asker: Asker) -> None:
        self._waiting.pop(asker, None)

    def _serve(self) -> None:
        while self._waiting and len(self._at_work) < self._servers:
            task = asyncio.create_task(self._work(self._next()))
            self._at_work.add(task)

    def _next(self) -> dict[Asker, Asked]:
        """The head of the line: a fair share for each server, so that all of them have work."""
        count = min(MOST_TOGETHER, -(-len(self._waiting) // self._servers))
        return {asker: self._waiting.pop(asker) for asker in list(self._waiting)[:count]}

    async def _work(self, taken: dict[Asker, Asked]) -> None:
        try:
            answers = await anyio.to_thread.run_sync(self._answer, list(taken.values()))
            for (asker, asked), told in zip(taken.items(), answers, strict=True):
                if asker not in self._waiting:  # who asked anew waits for that
                    self._tell(asker, asked, told)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._at_work.discard(task)
            self._serve()
