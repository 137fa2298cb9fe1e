"""The simulated people of `benchmarks.load`: websockets that click, wait, and label, and how long each wait was."""

import asyncio
import contextlib
import random
import struct
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from annotator.protocol.frames import pack, unpack

THINK_SECONDS = (1.5, 3.0)  # between two clicks, and before a label
CLICKS = (1, 2, 3, 4)
OFTEN = (4, 3, 2, 2)  # how often an object takes so many clicks
OBJECTS = (4, 8)  # that are labelled in one image
PATIENCE = 10.0  # seconds for the mask that is to be labelled
HANDED_BACK = 3  # clicks from which on the last mask goes along


@dataclass(frozen=True)
class Subject:
    """An image, and what can be clicked on: slice, row, column and radius of each object."""

    image: int
    shape: tuple[int, ...]
    objects: tuple[tuple[int, float, float, float], ...]


@dataclass(frozen=True)
class LoadPlan:
    people: int
    seconds: float
    subjects: list[Subject]


@dataclass
class ShownMask:
    """The best candidate of an answer, as it came: box and packed bits."""

    box: tuple[int, int, int, int]
    bits: bytes


@dataclass
class Person:
    """One tab. `waits` and `acknowledged` are seconds."""

    number: int
    address: str
    plan: LoadPlan
    asked: int = 0
    overtaken: int = 0
    refused: int = 0
    reconnected: int = 0
    heard: Counter[str] = field(default_factory=Counter)  # messages by kind
    saved: set[str] = field(default_factory=set)  # labels that the server said it has
    waits: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.number)
        self._sent: dict[int, float] = {}  # by number of the question, when it was asked
        self._labels: dict[str, float] = {}
        self._shown: ShownMask | None = None
        self._news = asyncio.Event()  # a mask came, or a refusal

    async def work(self) -> None:
        """From the first image to the end of the time. A connection that breaks is made anew, as the page does."""
        until = time.monotonic() + self.plan.seconds
        async with httpx.AsyncClient(
            base_url=self.address, headers={"origin": self.address}, timeout=60
        ) as http:
            await _get(http, "/", headers={"accept": "text/html"}, follow_redirects=True)
            await asyncio.sleep(self._random.uniform(0, THINK_SECONDS[1]))  # nobody begins at the same moment
            while time.monotonic() < until:
                try:
                    await self._work_connected(http, until)
                except (ConnectionClosed, OSError):
                    self.reconnected += 1
                    self._sent.clear()
                    await asyncio.sleep(1)

    async def _work_connected(self, http: httpx.AsyncClient, until: float) -> None:
        cookies = "; ".join(f"{c.name}={c.value}" for c in http.cookies.jar)
        async with connect(
            self.address.replace("http", "ws", 1) + "/api/live",
            additional_headers={"cookie": cookies},
            origin=Origin(self.address),
            max_size=None,
            compression=None,
            open_timeout=60,
        ) as socket:
            listening = asyncio.create_task(self._listen(socket))
            try:
                while time.monotonic() < until:
                    await self._label_image(http, socket, until)
                await asyncio.sleep(1)
            finally:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await listening

    async def _label_image(self, http: httpx.AsyncClient, socket: ClientConnection, until: float) -> None:
        subject = self._random.choice(self.plan.subjects)
        whole = {"z0": 0, "z1": subject.shape[0]}
        await _get(http, f"/api/images/{subject.image}")
        await _get(http, f"/api/images/{subject.image}/pixels", params=whole)
        await _get(http, f"/api/images/{subject.image}/labels", params=whole)
        await socket.send(pack({"t": "open", "image": subject.image}))
        for _ in range(self._random.randint(*OBJECTS)):
            if time.monotonic() > until:
                return
            await self._label_object(socket, subject)

    async def _label_object(self, socket: ClientConnection, subject: Subject) -> None:
        index, row, column, radius = self._random.choice(subject.objects)
        place = {"image": subject.image, "axis": 0, "index": index}
        await socket.send(pack({"t": "look", **place, "window": [0, 255], "direction": 1}))
        self._shown, points, labels = None, [], []
        for click in range(self._random.choices(CLICKS, OFTEN)[0]):
            on = click == 0 or self._random.random() < 0.5
            away = self._random.uniform(0, 0.5) if on else self._random.uniform(1.2, 1.6)
            angle = self._random.uniform(0, 2 * np.pi)
            at = (row + away * radius * np.sin(angle), column + away * radius * np.cos(angle))
            points.append([round(float(min(max(v, 0), n - 1)), 1) for v, n in zip(at, subject.shape[1:])])
            labels.append(int(on))
            await self._ask(socket, {**place, "points": points, "labels": labels})
            await asyncio.sleep(self._random.uniform(*THINK_SECONDS))
        if await self._newest_came() and self._shown is not None:
            await self._commit(socket, place, self._shown.box)
            await asyncio.sleep(self._random.uniform(*THINK_SECONDS))

    async def _ask(self, socket: ClientConnection, prompts: dict[str, Any]) -> None:
        self.overtaken += len(self._sent)
        self._sent.clear()
        self.asked += 1
        message = {"t": "predict", "seq": self.asked, "window": [0, 255], **prompts}
        shown, bits = self._shown, b""
        if shown is not None and len(prompts["points"]) >= HANDED_BACK:
            message["mask_box"], bits = shown.box, shown.bits
        self._sent[self.asked] = time.perf_counter()
        self._news.clear()
        await socket.send(pack(message, bits))

    async def _newest_came(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                while self._sent:
                    await self._news.wait()
                    self._news.clear()
            return True
        except TimeoutError:
            return False

    async def _commit(self, socket: ClientConnection, place: dict[str, int], box: tuple[int, ...]) -> None:
        """All of the mask's box becomes class 1: as much to write and to fold as the mask itself."""
        name, size = uuid.uuid4().hex, (box[2] - box[0]) * (box[3] - box[1])
        runs = b"".join(struct.pack("<HH", 1, min(0xFFFF, size - done)) for done in range(0, size, 0xFFFF))
        said = {"source": "prompted", "base_rev": 0, "instance": 0, "prompts": {}, "seconds": 1.0}
        self._labels[name] = time.perf_counter()
        await socket.send(pack({"t": "label", "id": name, **place, "box": list(box), **said}, runs))

    async def _listen(self, socket: ClientConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            message, payload = unpack(frame)
            self.heard[message["t"]] += 1
            match message["t"]:
                case "mask":
                    self._take(message, payload)
                case "ack" if message["id"] in self._labels:
                    self.saved.add(message["id"])
                    self.acknowledged.append(time.perf_counter() - self._labels.pop(message["id"]))
                case "refused" if "seq" in message:
                    self.refused += self._sent.pop(message["seq"], None) is not None
                    self._news.set()

    def _take(self, message: dict[str, Any], payload: bytes) -> None:
        asked_at = self._sent.pop(message["seq"], None)
        if asked_at is None:  # overtaken
            return
        self.waits.append(time.perf_counter() - asked_at)
        best = message["candidates"][0]
        self._shown = None
        if best["bytes"]:
            start = best["offset"]
            self._shown = ShownMask(tuple(best["box"]), payload[start : start + best["bytes"]])
        self._news.set()


async def _get(http: httpx.AsyncClient, path: str, **more: Any) -> None:
    """Once more where the server closed the idle connection this very moment, as a browser does."""
    try:
        await http.get(path, **more)
    except httpx.RemoteProtocolError:
        await http.get(path, **more)
