"""The hot path: one websocket for each tab; see docs/protocol.md."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from annotator.access.rate_limits import Bucket, Rate
from annotator.access.sessions import session_of
from annotator.byte_queue import ByteQueue
from annotator.machine import give_memory_back
from annotator.protocol import outgoing
from annotator.protocol.frames import BadFrame, split
from annotator.protocol.incoming import (
    AnyMessage,
    BadMessage,
    CommitMessage,
    LookMessage,
    MendMessage,
    OpenMessage,
    PingMessage,
    PredictMessage,
    message_key,
    parse_message,
)
from annotator.protocol.outgoing import Message
from annotator.web.context import AppContext, person
from annotator.web.errors import describe_error
from annotator.web.hub import SIGNED_OUT, TOO_SLOW, Tab

BROKEN = 1008
MESSAGES = Rate(per_second=400, burst=4000)  # faster ones wait; nothing is thrown away for being fast
COMMITS_WAITING = 32
COMMIT_BYTES_WAITING = 4 << 20  # their payloads together; masks have some thousand bytes
SEND_SECONDS = 30.0
DRAIN_SECONDS = 20.0
TIDY_BYTES = 8 << 20  # heard, after which memory is worth giving back
CHECK_SECONDS = 5.0  # how soon a revoked session loses its open socket
WAITING = "An earlier change is not saved yet; this one waits for it."

Value = TypeVar("Value")


class Newest(Generic[Value]):
    """A place for one thing: what comes later replaces what nobody has taken yet."""

    def __init__(self) -> None:
        self._value: Value | None = None
        self._there = asyncio.Event()

    @property
    def waiting(self) -> bool:
        return self._there.is_set()

    def put(self, value: Value) -> None:
        self._value = value
        self._there.set()

    async def take(self) -> Value:
        await self._there.wait()
        self._there.clear()
        assert self._value is not None
        return self._value


async def serve_tab(socket: WebSocket, context: AppContext, may_stay: Callable[[], bool]) -> None:
    """Run one websocket from handshake to end. `may_stay` says whether its session still holds."""
    await socket.accept()
    tab = Tab(person(socket), session_of(socket).key)
    visit = TabConnection(socket, context, tab, may_stay)
    context.hub.add(tab)
    try:
        await visit.run()
    finally:
        context.prompts.leave(tab)
        context.hub.remove(tab)


class TabConnection:
    def __init__(
        self, socket: WebSocket, context: AppContext, tab: Tab, may_stay: Callable[[], bool]
    ) -> None:
        self._socket, self._context, self._tab, self._may_stay = socket, context, tab, may_stay
        self._commits = ByteQueue(COMMITS_WAITING, COMMIT_BYTES_WAITING)
        self._mends: Newest[tuple[MendMessage, bytes]] = Newest()
        self._looks: Newest[LookMessage] = Newest()
        self._bucket = Bucket(MESSAGES)
        self._heard = 0  # bytes since memory was last given back
        self._first_waiting: str | None = None  # the id of the change that must be saved before any other

    async def run(self) -> None:
        self._greet()
        committing = asyncio.create_task(self._commit_in_order())
        ending = [asyncio.create_task(part()) for part in (self._read, self._write, self._watch)]
        serving = [asyncio.create_task(part()) for part in self._questions()]
        try:
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with anyio.move_on_after(DRAIN_SECONDS, shield=True):
                await _stop([*ending, *serving])
                await self._commits.end()  # what has arrived is still saved
                await committing
                await self._close()
                await self._tidy()
            committing.cancel()

    def _questions(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        """What answers the newest of each kind, and forgets older ones. Prompts wait in a line of all tabs."""
        return self._mend_newest, self._look_newest

    def _greet(self) -> None:
        self._tab.say(outgoing.hello(self._tab.user))
        self._tab.say(self._context.workflow.answering())
        for job in self._context.jobs.visible_jobs():
            self._tab.say(job.as_message())

    async def _read(self) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] != "websocket.receive":
                return
            while wait := self._bucket.take():
                await asyncio.sleep(wait)
            if not self._may_stay():
                self._tab.finish(SIGNED_OUT)
            elif not await self._hear(event.get("bytes")):
                self._tab.finish(BROKEN)
            if self._tab.closing is not None:
                await asyncio.sleep(SEND_SECONDS)  # the writer ends this visit when the refusal is out
                return

    async def _hear(self, frame: bytes | None) -> bool:
        """Take one frame; False where it was so odd that the socket is closed."""
        text = b""
        self._heard += len(frame or b"")
        try:
            text, payload = split(frame or b"")
            message = parse_message(text)
        except BadMessage as error:
            self._refuse(error.about, str(error))
            return True
        except BadFrame as error:
            self._refuse(message_key(text), str(error))
            return False
        await self._dispatch(message, payload)
        return True

    async def _dispatch(self, message: AnyMessage, payload: bytes) -> None:
        match message:
            case PredictMessage():
                if self._tab.asked is not None:
                    self._context.meters.prompts.labels("outdated").inc()
                self._tab.asked = time.monotonic()
                self._context.prompts.ask(self._tab, (message, payload))
            case MendMessage():
                self._mends.put((message, payload))
            case LookMessage():
                self._looks.put(message)
            case OpenMessage():
                self._context.hub.open(self._tab, message.image)
                await self._tell_if_gone(message.image)
            case PingMessage():
                self._tab.say(outgoing.pong(message.n))
            case _:
                await self._commits.put((message, payload))

    async def _tell_if_gone(self, image: int) -> None:
        """It was deleted while the page opened it: then nobody told this tab, which had not said that it looks."""
        try:
            await anyio.to_thread.run_sync(self._context.workflow.store.image, image)
        except LookupError:
            self._tab.say(outgoing.image_changed(image, "", gone=True))

    async def _write(self) -> None:
        while (frame := await self._tab.next_frame()) is not None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.send_bytes(frame)
            except TimeoutError:
                self._tab.closing = TOO_SLOW
                return
            except (WebSocketDisconnect, RuntimeError):
                return

    async def _watch(self) -> None:
        """Ends the visit of a tab that fell behind, or whose session was revoked."""
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._tab.dropped.wait()
                return
            except TimeoutError:
                if not self._may_stay():
                    self._tab.finish(SIGNED_OUT)
                await self._tidy()

    async def _tidy(self) -> None:
        if self._heard > TIDY_BYTES:
            self._heard = 0
            await anyio.to_thread.run_sync(give_memory_back)

    async def _commit_in_order(self) -> None:
        while (item := await self._commits.get()) is not None:
            message, payload = item
            if self._first_waiting not in (None, message.id):
                self._refuse({"id": message.id}, WAITING, retry=True)
                continue
            self._first_waiting = None
            async with self._context.committing:
                await self._commit(message, payload)

    async def _commit(self, message: CommitMessage, payload: bytes) -> None:
        meters, began = self._context.meters, time.monotonic()
        try:
            outcome = await anyio.to_thread.run_sync(
                self._context.workflow.commit, self._tab.user, message, payload
            )
        except Exception as error:
            fault = describe_error(error)
            error.with_traceback(None)  # it and its frames hold one another, and they hold the payload
            self._first_waiting = message.id if fault.retry else None
            meters.changed(message.t, "later" if fault.retry else "refused", began)
            self._refuse({"id": message.id}, fault.line, retry=fault.retry)
            return
        self._tab.say(outcome.ack)
        meters.changed(message.t, "acknowledged", began)
        self._context.hub.tell(outcome)

    async def _mend_newest(self) -> None:
        while True:
            message, payload = await self._mends.take()
            try:
                answer = await anyio.to_thread.run_sync(
                    self._context.workflow.mend, message, payload, lambda: self._mends.waiting
                )
            except Exception as error:
                fault = describe_error(error)
                answer = outgoing.refused(fault.line, retry=fault.retry, mend=message.seq), b""
            if not self._mends.waiting:  # a newer one ends this one, by an error too
                self._tab.say(*answer)

    async def _look_newest(self) -> None:
        while True:
            message = await self._looks.take()
            try:
                await anyio.to_thread.run_sync(self._context.workflow.look, message)
            except Exception as error:
                describe_error(error)  # logged where it was not foreseen; nobody waits for an answer

    def _refuse(self, about: Message, line: str, *, retry: bool = False) -> None:
        """`about`: the id or seq of what is refused, where that is known."""
        self._tab.say(outgoing.refused(line, retry=retry, **about))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._socket.close(self._tab.closing or 1000)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass  # it is gone already


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
