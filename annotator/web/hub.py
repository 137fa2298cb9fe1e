"""Everybody who has the page open, and what is waiting to be sent to them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from annotator.labels.commit import Outcome
from annotator.protocol.frames import pack
from annotator.protocol.outgoing import Message, image_changed, presence, project
from annotator.web.news import News

log = logging.getLogger(__name__)

QUEUE_FRAMES, QUEUE_BYTES = (
    2000,
    128 << 20,
)  # a tab that is further behind is dropped, and reloads when it is back
TOO_SLOW, RESTARTING, SIGNED_OUT = 4408, 1012, 4401


@dataclass(frozen=True)
class ChangedImages:
    """What pages that have them open are to know."""

    images: frozenset[int]
    gone: frozenset[int] = frozenset()
    became: Mapping[int, int] = field(
        default_factory=dict
    )  # of some that are gone, the one that stands for it


class Tab:
    """One websocket. Sending never waits: frames queue up, and `next_frame` hands them out."""

    def __init__(self, user: str, session: str = "") -> None:
        """`session`: the key of the one that it belongs to."""
        self.user, self.session = user, session
        self.image: int | None = None
        self.asked: float | None = None  # when its newest prompt came, until it is answered
        self.closing: int | None = None  # the code, once nothing more will be sent
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._bytes = 0
        self.dropped = asyncio.Event()

    def say(self, message: Message, payload: bytes = b"") -> None:
        self.send(pack(message, payload))

    def send(self, frame: bytes) -> None:
        if self.closing is not None:
            return
        self._bytes += len(frame)
        self._frames.put_nowait(frame)
        if self._frames.qsize() > QUEUE_FRAMES or (self._frames.qsize() > 1 and self._bytes > QUEUE_BYTES):
            log.info("a page fell behind and was dropped")
            self.closing = TOO_SLOW
            self.dropped.set()

    def finish(self, code: int) -> None:
        """Close after everything queued has gone out."""
        if self.closing is None:
            self.closing = code
            self._frames.put_nowait(None)

    async def next_frame(self) -> bytes | None:
        """None when this tab is to be closed."""
        frame = await self._frames.get()
        self._bytes -= len(frame or b"")
        return frame


class Hub:
    """For the event loop only; other threads use `post`."""

    def __init__(self) -> None:
        self._tabs: set[Tab] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = News(self.broadcast)
        self._listeners: list[Callable[[Message], None]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        self._loop = None
        for tab in self._tabs:
            tab.finish(RESTARTING)

    def __len__(self) -> int:
        return len(self._tabs)

    def people(self) -> set[str]:
        return {tab.user for tab in list(self._tabs)}

    def prompts_waiting(self) -> int:
        """How many tabs wait for a mask."""
        return sum(tab.asked is not None for tab in list(self._tabs))

    def subscribe(self, hear: Callable[[Message], None]) -> None:
        """Be told all that is posted, in the thread that posts it."""
        self._listeners.append(hear)

    def add(self, tab: Tab) -> None:
        self._tabs.add(tab)

    def remove(self, tab: Tab) -> None:
        self._tabs.discard(tab)
        self._tell_presence(tab.image)

    def open(self, tab: Tab, image: int) -> None:
        """This tab looks at that image from now on."""
        before, tab.image = tab.image, image
        if before != image:
            self._tell_presence(before)
        self._tell_presence(image)

    def broadcast(self, message: Message, payload: bytes = b"", image: int | None = None) -> None:
        """To every tab, or to those that have this image open."""
        listening = self._watching(image) if image is not None else list(self._tabs)
        if listening:
            frame = pack(message, payload)
            for tab in listening:
                tab.send(frame)

    def tell(self, outcome: Outcome) -> None:
        """What a change of labels did, to everybody whom it concerns."""
        if outcome.classes_changed:
            self.broadcast(project())
        for news, content in outcome.broadcasts:
            self.broadcast(news, content, image=news["image"])

    def post(self, message: Message) -> None:
        """News for every tab that they concern, from any thread; silent while the server starts and stops."""
        for hear in self._listeners:
            hear(message)
        self._soon(lambda: self._news.tell(message))

    def tell_images(self, changed: ChangedImages, by: str) -> None:
        """From any thread: tabs on these images learn that they are described otherwise now, or not there any more."""

        def say() -> None:
            for tab in self._tabs:
                if (image := tab.image) is not None and image in changed.images:
                    gone, became = image in changed.gone, changed.became.get(image)
                    tab.say(image_changed(image, by, gone=gone, became=became))

        self._soon(say)

    def reconnect(self, images: frozenset[int]) -> None:
        """From any thread: tabs on these images connect anew and read their labels, which came another way."""

        def finish() -> None:
            for tab in self._tabs:
                if tab.image in images:
                    tab.finish(RESTARTING)

        self._soon(finish)

    def sign_out(self, sessions: frozenset[str]) -> None:
        """From any thread: the tabs of these sessions end."""

        def finish() -> None:
            for tab in self._tabs:
                if tab.session in sessions:
                    tab.finish(SIGNED_OUT)

        self._soon(finish)

    def _soon(self, act: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop closed in this very moment
                loop.call_soon_threadsafe(act)

    def _watching(self, image: int) -> list[Tab]:
        return [tab for tab in self._tabs if tab.image == image]

    def _tell_presence(self, image: int | None) -> None:
        if image is not None:
            users = _unique(tab.user for tab in self._watching(image))
            self.broadcast(presence(image, users), image=image)


def _unique(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
