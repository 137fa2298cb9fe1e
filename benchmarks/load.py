"""How long people wait for masks, and for their labels to be saved, where many label at once and a learner trains.

    python -m benchmarks.load [--people 1 10 50] [--seconds 60] [--workers N] [--tree FOLDER] [--json FILE]
    python -m benchmarks.load --people 10 --minutes 60      memory, open files and messages, a line a minute

A real server with the built-in prompt model, and websockets as pages have them. Every simulated person points at one
object after another, with one to four clicks each, 1.5 to 3 s apart whether the mask has come or not. From the third
click on the last mask is handed back, as the page does. Then the person waits for the newest mask, 10 s at most, and
labels what it covers. After a few objects another image is opened. `starved`: people who got less than half of
their masks, or waited longer than 5 s for one. A click that the same person replaced by a newer one before its mask
came counts as overtaken: nobody waits for it any more.

The people run in one process that decodes no masks. Its own share of a core is printed, as it takes it from the server.
On a machine that does other work meanwhile, run it by `sudo nice -n -15`: the learner then keeps its distance to the
server.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from skimage import data as pictures

from annotator.prompting.workers.prompt_workers import default_count
from benchmarks.common import ROOT, Row, finish, percentile, table
from benchmarks.load_people import LoadPlan, Person, Subject
from learners.engines.worker_process import NICE
from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.support.chromium import RunningServer, start_server
from tests.support.socket_client import SocketClient

ROUND_SECONDS = 900
LONG_WAIT = 5.0  # seconds


def main() -> None:
    options = _parser().parse_args()
    rows: list[Row] = []
    for people in options.people:
        found = measured(people, options)
        print(table(found), flush=True)
        rows += found
    finish(rows, options.json)


def _parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser("benchmarks.load", description=__doc__.splitlines()[0])
    out.add_argument("--people", type=int, nargs="+", default=[1, 10, 50])
    out.add_argument("--seconds", type=float, default=60.0, help="of each count of people")
    out.add_argument("--minutes", type=float, default=0.0, help="instead of --seconds, with a line a minute")
    out.add_argument(
        "--workers", type=int, help="prompt workers of the server; its own choice where left out"
    )
    out.add_argument("--no-learn", action="store_true", help="nothing is trained meanwhile")
    out.add_argument("--tree", type=Path, default=ROOT, help="the program, such as another checkout of it")
    out.add_argument("--json", type=Path, help="write the rows here")
    return out


def measured(people: int, options: argparse.Namespace) -> list[Row]:
    """So many people at a fresh server for a while."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        subjects = make_project(root)
        count = default_count() if options.workers is None else options.workers
        more = ["--prompt-workers", str(count)]
        learn = not options.no_learn
        server = start_server(
            root.parent, "--project", str(root), *more, learn=learn, tree=options.tree.resolve()
        )
        try:
            click_once(server.address, subjects[0])
            if learn:
                wait_for_round(server)
            seconds = 60 * options.minutes or options.seconds
            crowd = Crowd(server, LoadPlan(people, seconds, subjects), minutely=options.minutes > 0)
            asyncio.run(crowd.run())
        finally:
            server.stop()
        name = f"{people} people" if people > 1 else "1 person"
        beside = "learner trains" if learn else "no learner"
        lost = Row(name, beside, "labels lost", crowd.lost(root), crowd.saved)
        return [*crowd.rows(name, beside), lost, *crowd.messages(name, beside)]


class Crowd:
    """Everybody at one server, and what its processes took meanwhile."""

    def __init__(self, server: RunningServer, plan: LoadPlan, *, minutely: bool) -> None:
        self._process, self._plan, self._minutely = psutil.Process(server.process.pid), plan, minutely
        self._people = [Person(number, server.address, plan) for number in range(plan.people)]
        self._shares: dict[str, float] = {}
        self._megabytes, self._took = 0.0, 0.0

    async def run(self) -> None:
        own, began, before = time.process_time(), time.monotonic(), seconds_used(self._process)
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*(person.work() for person in self._people))
        watching.cancel()
        self._took = time.monotonic() - began
        after = seconds_used(self._process)
        self._shares = {
            name: (used - before.get(name, 0)) / self._took for name, used in sorted(after.items())
        }
        self._shares["the people themselves"] = (time.process_time() - own) / self._took

    async def _watch(self) -> None:
        began = time.monotonic()
        while True:
            keep_distance(self._process)
            self._megabytes = max(self._megabytes, memory_mb(self._process))
            if self._minutely:
                self._say(time.monotonic() - began)
            await asyncio.sleep(60 if self._minutely else 2)

    def _say(self, seconds: float) -> None:
        heard = sum(person.heard.total() for person in self._people)
        masks = sum(len(person.waits) for person in self._people)
        acks = sum(len(person.acknowledged) for person in self._people)
        print(
            f"{seconds / 60:5.1f} min: server {self._process.memory_info().rss / 1e6:.0f} MB, with its processes "
            f"{memory_mb(self._process):.0f} MB, {self._process.num_fds()} open files, {heard} messages, "
            f"{masks} masks, {acks} labels saved",
            flush=True,
        )

    @property
    def saved(self) -> int:
        return sum(len(person.saved) for person in self._people)

    def lost(self, root: Path) -> int:
        """Labels that the server said it has, and that its project does not know once the server has ended."""
        rows = sqlite3.connect(root / "project.db").execute("SELECT client_id FROM labels")
        return len(set().union(*(person.saved for person in self._people)) - {name for (name,) in rows})

    def messages(self, name: str, beside: str) -> Iterator[Row]:
        """What the server sent, by kind, for one person and minute."""
        minutes = len(self._people) * self._took / 60
        heard = sum((person.heard for person in self._people), Counter[str]())
        for kind, count in heard.most_common():
            yield Row(name, beside, f"messages a person and minute: {kind}", count / minutes, count)

    def rows(self, name: str, beside: str) -> Iterator[Row]:
        """What people waited, and what the processes took, as shares of one core."""
        waits = [1000 * wait for person in self._people for wait in person.waits]
        saved = [1000 * wait for person in self._people for wait in person.acknowledged]
        asked = sum(person.asked for person in self._people)
        yield Row(name, beside, "mask p50 ms", percentile(waits, 0.5), len(waits))
        yield Row(name, beside, "mask p95 ms", percentile(waits, 0.95), len(waits))
        yield Row(name, beside, "mask worst ms", max(waits), len(waits))
        yield Row(name, beside, "clicks", asked)
        yield Row(name, beside, "answered share", len(waits) / max(1, asked), asked)
        yield Row(name, beside, "overtaken", sum(person.overtaken for person in self._people), asked)
        yield Row(name, beside, "refused", sum(person.refused for person in self._people), asked)
        yield Row(name, beside, "reconnected", sum(person.reconnected for person in self._people))
        medians = [1000 * percentile(person.waits or [LONG_WAIT], 0.5) for person in self._people]
        yield Row(name, beside, "worst person's p50 ms", max(medians), len(medians))
        yield Row(name, beside, "starved", sum(starved(person) for person in self._people), len(medians))
        yield Row(name, beside, "label saved p50 ms", percentile(saved or [0], 0.5), len(saved))
        yield Row(name, beside, "label saved p95 ms", percentile(saved or [0], 0.95), len(saved))
        yield Row(name, beside, "peak MB of all processes", self._megabytes)
        for process, share in self._shares.items():
            yield Row(name, beside, f"share of a core: {process}", share)


def starved(person: Person) -> bool:
    return 2 * len(person.waits) < person.asked or max(person.waits, default=LONG_WAIT) >= LONG_WAIT


def seconds_used(server: psutil.Process) -> dict[str, float]:
    """Processor seconds so far of the server and, by their niceness, of its processes."""
    used = {"server": sum(server.cpu_times()[:2]), "prompt workers": 0.0, "learner and fills": 0.0}
    for child in server.children(recursive=True):
        try:
            name = "learner and fills" if child.nice() > server.nice() else "prompt workers"
            used[name] += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return used


def keep_distance(server: psutil.Process) -> None:
    """What gives way to people is so much less urgent than the server as it would be under a server of no niceness."""
    base = server.nice()
    for child in server.children(recursive=True) if base < 0 else []:
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.nice() > base:
                child.nice(base + NICE)


def memory_mb(server: psutil.Process) -> float:
    """Of all processes; what they share counts once."""
    total = 0
    for process in [server, *server.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError):
            continue
    return total / 1e6


def click_once(address: str, subject: Subject) -> None:
    """The first click after a start waits until the model is loaded; it is not counted."""
    browser = SocketClient(address)
    place = {"image": subject.image, "axis": 0, "index": 0, "window": [0, 255]}
    browser.send({"t": "look", **place, "direction": 1})
    browser.send({"t": "predict", "seq": 1, **place, "points": [[50, 50]], "labels": [1]})
    browser.wait("mask", 300, seq=1)
    browser.close()


def wait_for_round(server: RunningServer) -> None:
    """Until a learner trains."""
    browser = SocketClient(server.address)
    until = time.monotonic() + 300
    while time.monotonic() < until:
        keep_distance(psutil.Process(server.process.pid))
        rounds = browser.http.get("/api/learn").json()["rounds"]
        if any(one["state"] == "running" and one["phase"] == "training" for one in rounds):
            browser.close()
            return
        time.sleep(0.5)
    raise SystemExit("no round began within five minutes")


def make_project(root: Path) -> list[Subject]:
    """Pictures and a volume to click on, and complete pictures that a learner trains on."""
    store = Store(root)
    store.add_class("one")
    store.set_setting("learning", json.dumps({"seconds": ROUND_SECONDS, "learners": ["supervised"]}))
    rng = np.random.default_rng(0)
    subjects = [blobs(store, rng, 512, 24) for _ in range(16)] + [
        blobs(store, rng, 1024, 60) for _ in range(2)
    ]
    subjects.append(balls(store, rng, (48, 256, 256)))
    for picture in (pictures.camera(), pictures.coins()):
        subjects.append(anywhere(store, rng, picture))
    for turn in range(1, 9):
        other = np.roll(np.rot90(pictures.camera(), turn % 4), 40 * turn, 0).copy()
        ref = SliceRef(store.add_image(_scan(f"labelled {turn}", other[None])), 0, 0)
        patch = Patch(Box(0, 0, *other.shape), (other < 60).astype(np.uint8))
        store.add_label(NewLabel(ref, patch, uuid.uuid4().hex, "ann"))
        store.add_label(NewLabel(ref, None, uuid.uuid4().hex, "ann"))
    store.close()
    return subjects


def blobs(store: Store, rng: np.random.Generator, side: int, count: int) -> Subject:
    """Bright and dark ellipses in noise on an uneven ground."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    picture = 90 + 25 * np.sin(x / 90) + 20 * np.cos(y / 70) + rng.normal(0, 10, (side, side))
    objects = []
    for _ in range(count):
        row, column = rng.uniform(40, side - 40, 2)
        high, wide = rng.uniform(10, 34, 2)
        inside = ((y - row) / high) ** 2 + ((x - column) / wide) ** 2 < 1
        picture[inside] += rng.choice([-45, 40, 60])
        objects.append((0, float(row), float(column), float(min(high, wide))))
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return Subject(
        store.add_image(_scan(f"blobs {uuid.uuid4().hex[:6]}", pixels[None])),
        pixels[None].shape,
        tuple(objects),
    )


def balls(store: Store, rng: np.random.Generator, shape: tuple[int, int, int]) -> Subject:
    """A volume of balls; people click on its slices."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]].astype(np.float32)
    volume = 80 + rng.normal(0, 12, shape)
    objects = []
    for _ in range(30):
        at = [rng.uniform(0.1 * n, 0.9 * n) for n in shape]
        radius = rng.uniform(8, 24)
        volume[(z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2] += 60
        objects.append((round(at[0]), at[1], at[2], radius))
    pixels = np.clip(volume, 0, 255).astype(np.uint8)
    return Subject(store.add_image(_scan("balls", pixels)), shape, tuple(objects))


def anywhere(store: Store, rng: np.random.Generator, picture: NDArray[np.uint8]) -> Subject:
    """A photograph, clicked on anywhere."""
    ends = np.array(picture.shape) - 20
    objects = [(0, float(row), float(column), 15.0) for row, column in rng.uniform(20, ends, (30, 2))]
    return Subject(store.add_image(_scan("photograph", picture[None])), picture[None].shape, tuple(objects))


def _scan(name: str, pixels: NDArray[np.uint8]) -> Scan:
    return Scan(name, np.ascontiguousarray(pixels), spacing_mm=None, marks=None, window=(0, 255))


if __name__ == "__main__":
    main()
