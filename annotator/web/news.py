"""News from the background for the pages: a page hears what it shows, and of a round a few times a second at most."""

import asyncio
from typing import Protocol

from annotator.protocol.outgoing import Message

ROUND_SECONDS = 0.5  # between two messages about the same learner, where its state is the same


class SendToTabs(Protocol):
    def __call__(self, message: Message, *, image: int | None = None) -> None: ...


class News:
    """For the event loop only."""

    def __init__(self, broadcast: SendToTabs, seconds: float = ROUND_SECONDS) -> None:
        self._broadcast, self._seconds = broadcast, seconds
        self._told: dict[str, Message] = {}  # learner -> what pages heard of it last
        self._held: dict[
            str, Message | None
        ] = {}  # learner -> the newest that waits; a key for each running timer

    def tell(self, message: Message) -> None:
        """Pass it on: a round's progress now or soon, the progress of a fill only where its image is open."""
        if message["t"] == "round":
            self._tell_round(message)
        elif message["t"] == "fill" and message["state"] == "running":
            self._broadcast(message, image=message["image"])
        else:
            self._broadcast(message)

    def _tell_round(self, message: Message) -> None:
        learner = message["learner"]
        told = self._told.get(learner)
        changed = told is None or (told["state"], told["round"]) != (message["state"], message["round"])
        if learner in self._held and not changed:
            self._held[learner] = message
        elif message != told:
            self._send(learner, message)

    def _send(self, learner: str, message: Message) -> None:
        self._told[learner] = message
        self._broadcast(message)
        if learner not in self._held:
            asyncio.get_running_loop().call_later(self._seconds, lambda: self._release(learner))
        self._held[learner] = None  # what waited is older

    def _release(self, learner: str) -> None:
        message = self._held.pop(learner)
        if message is not None and message != self._told[learner]:
            self._send(learner, message)
