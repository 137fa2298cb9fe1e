"""The kinds of work that are killed: what a child does until it dies, and what must be true of the project then."""

import json
import shutil
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from annotator.backups.backup import back_up
from annotator.backups.check import check
from annotator.backups.restore import restore
from annotator.backups.snapshots import snapshots, take_snapshot
from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.labels.changes import Changes
from annotator.labels.label_cache import LabelCache
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import CommitMessage, parse_message
from storage.fold import fold
from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store
from tests.conftest import ball

SHAPE = (9, 17, 23)
Tell = Callable[[str], None]
Verdict = tuple[int, list[str]]  # how many steps nobody was told of, and what is wrong


class KillKind:
    """A project of one volume with a proposal for it; each kind works in its own way."""

    seconds: ClassVar[float] = 0.5  # after its first word a child is killed within this time

    def prepare(self, folder: Path) -> None:
        with closing(Store(folder / "p")) as store:
            store.add_class("one")
            store.add_image(ball(SHAPE)[0])
            classes, sure = np.ones(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)
            store.predictions.add(NewPrediction(1, "random_walker", "propagated", 0, classes, sure))

    def work(self, folder: Path, tell: Tell) -> None:
        """In the child: work until the end, and tell what is durable."""
        raise NotImplementedError

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        raise NotImplementedError


class ChangeKind(KillKind):
    """Changes of labels, as the websocket takes them. A line is "kind id slices"."""

    def work(self, folder: Path, tell: Tell) -> None:
        store = Store(folder / "p")
        self.changes = Changes(store, LabelCache(store))
        tell("open")
        n = 0
        while True:
            n += 1
            self.step(n, tell)

    def step(self, n: int, tell: Tell) -> None:
        raise NotImplementedError

    def take(self, tell: Tell, payload: bytes = b"", **message: Any) -> str:
        """One change; told before and after, so that the verdict knows what was under way."""
        sent = {"id": uuid.uuid4().hex, **message}
        tell(f"began {sent['t']} {sent['id']}")
        parsed = parse_message(json.dumps(sent).encode())
        assert isinstance(parsed, CommitMessage)
        ack = self.changes.take("ann", parsed, payload).ack
        tell(f"done {sent['t']} {sent['id']} {ack.get('slices') or 1} {sent.get('target', '')}")
        return str(sent["id"])

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        with closing(Store(folder / "p")) as store:
            rows = store._db.rows("select client_id, act, live, kind, revokes from labels")
            problems = fold(SHAPE, store.labels(1)).problems
            done = [line.split() for line in said if line.startswith("done")]
            forgotten = [key for _, _, key, *_ in done if store.answers.of(key) is None]
        faults = [f"a label cannot be read: {line}" for line in problems]
        for _, what, key, slices, *_ in done:
            found = len(_events(rows, key))
            if what in ("label", "accept") and found != int(slices):
                faults.append(f"{what} {key}: {found} events of {slices} that were acknowledged")
            if what in ("undo", "accept") and key in forgotten:
                faults.append(f"{what} {key}: its answer is gone")
        for _, what, key, _, target in [line for line in done if line[1] == "undo"]:
            if any(row["live"] for row in _events(rows, target)):
                faults.append(f"{what} {key}: what it took back stands")
        doubt, more = self._unfinished(rows, said)
        return doubt, faults + more

    def _unfinished(self, rows: list[dict[str, Any]], said: list[str]) -> Verdict:
        """The step that was under way is there as a whole or not at all."""
        if not said or not said[-1].startswith("began"):
            return 0, []
        _, what, key = said[-1].split()
        found = _events(rows, key)
        if what == "accept" and len(found) not in (0, SHAPE[0]):
            return 1, [f"accept {key}: {len(found)} slices of {SHAPE[0]}"]
        if what == "undo" and len(found) not in (0, SHAPE[0]):
            return 1, [f"undo {key}: {len(found)} slices of {SHAPE[0]}"]
        return int(bool(found)), []


def _events(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """What one message made: events of several slices carry its id and a number."""
    return [row for row in rows if row["client_id"] == key or row["client_id"].startswith(f"{key}--")]


class LabelKind(ChangeKind):
    def step(self, n: int, tell: Tell) -> None:
        classes = np.ones((n % 5 + 1, n % 7 + 1), np.uint8)
        box = [0, 0, *classes.shape]
        place = {"image": 1, "axis": n % 3, "index": n % 9, "box": box}
        self.take(tell, encode_runs(classes), t="label", source="drawn", base_rev=1 << 40, **place)


class CompleteKind(ChangeKind):
    """Each slice is completed, then reopened. A line more says which, as nothing is written for what is so already."""

    def step(self, n: int, tell: Tell) -> None:
        index, on = n % 9, n // 9 % 2 == 0
        tell(f"begins {index} {on}")
        self.take(tell, t="complete", image=1, axis=0, index=index, on=on)
        tell(f"is {index} {on}")

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        began = [line.split()[1:] for line in said if line.startswith("begins")]
        told = [line.split()[1:] for line in said if line.startswith("is")]
        wanted = dict(told)
        said = [line for line in said if line.split()[0] not in ("is", "begins")]
        doubt, faults = super().verify(folder, said)
        with closing(Store(folder / "p")) as store:
            states = store.slice_states(1)
        complete = {str(index) for axis, index, state in states if axis == 0 and state == "complete"}
        under_way = (
            began[-1][0] if len(began) > len(told) else ""
        )  # acknowledged or not, nobody says what it is now
        wrong = [i for i, on in wanted.items() if i != under_way and (i in complete) != (on == "True")]
        return doubt, faults + [f"slice {index} is not as it was acknowledged" for index in wrong]


class AcceptKind(ChangeKind):
    """Accept the whole volume, and take it back: the kill hits either."""

    seconds = 2.0

    def step(self, n: int, tell: Tell) -> None:
        key = self.take(tell, t="accept", image=1, axis=0, lo=0, hi=SHAPE[0])
        self.take(tell, t="undo", target=key)


class ImportKind(KillKind):
    """Pictures with masks; the second run brings what the killed one did not, and nothing twice."""

    seconds = 6.0
    images = 24

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        for name in ("images", "labels"):
            (folder / "data" / name).mkdir(parents=True)
        for n in range(self.images):
            pixels = rng.integers(0, 255, (40, 50), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / "images" / f"{n:02}.png")
            Image.fromarray((pixels > 128).astype(np.uint8)).save(folder / "data" / "labels" / f"{n:02}.png")

    def work(self, folder: Path, tell: Tell) -> None:
        store = Store(folder / "p")
        tell("open")
        import_path(store, folder / "data", Job("import", lambda job: None))
        tell("imported")

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        with closing(Store(folder / "p")) as store:
            before = store.images()[0]
            import_path(store, folder / "data", Job("import"))
            total, rows = store.images(limit=-1)
            events = [len(store.labels(row.id)) for row in rows]
        faults = [] if total == self.images else [f"{total} images of {self.images}"]
        faults += [f"{n} events of one mask" for n in events if n != max(set(events), key=events.count)]
        faults += check(folder / "p", Job("check"), mend=False).damaged
        shutil.rmtree(folder / "p")
        return int(0 < before < self.images), faults


class FirstStartKind(KillKind):
    """A project that is being made."""

    seconds = 2.5

    def prepare(self, folder: Path) -> None:
        pass

    def work(self, folder: Path, tell: Tell) -> None:
        tell("open")
        store = Store(folder / "p")
        tell("made")
        for n in range(1000):
            store.add_image(Scan(f"s{n}", np.full((3, 40, 50), n % 250, np.uint8), None, None))
            tell(f"image {n}")

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        there = (folder / "p").exists()
        with closing(Store(folder / "p")) as store:
            total = store.images()[0]
            store.add_class("one")
        told = sum(line.startswith("image") for line in said)
        faults = [] if total in (told, told + 1) else [f"{total} images, and {told} were acknowledged"]
        faults += check(folder / "p", Job("check"), mend=False).damaged
        shutil.rmtree(folder / "p")
        return int(there and "made" not in said), faults


class BackupKind(KillKind):
    """An archive is there as a whole or not at all; nothing half done stays after the next one."""

    seconds = 2.0

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        (folder / "out").mkdir()
        with closing(Store(folder / "p")) as store:
            for n in range(20):
                store.add_image(Scan(f"s{n}", np.full((9, 90, 90), n, np.uint8), None, None))

    def work(self, folder: Path, tell: Tell) -> None:
        tell("open")
        for n in range(1000):
            back_up(folder / "p", folder / "out" / f"{n}.zip", Job("backup"))
            tell(f"archive {n}")

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        faults = []
        archives = sorted((folder / "out").glob("*.zip"), key=lambda path: int(path.stem))
        told = len(said)
        if len(archives) not in (told, told + 1):
            faults.append(f"{len(archives)} archives, and {told} were acknowledged")
        left = bool(list((folder / "out").glob("*.unfinished")))
        back_up(folder / "p", folder / "out" / f"{len(archives)}.zip", Job("backup"))
        for archive in [*archives[-1:], folder / "out" / f"{len(archives)}.zip"]:
            restore(archive, folder / "back", Job("restore"))
            faults += check(folder / "back", Job("check"), mend=False).damaged
            shutil.rmtree(folder / "back")
        strays = [p.name for p in (folder / "out").iterdir() if p.suffix != ".zip"]
        faults += [f"{name} was left behind" for name in strays]
        shutil.rmtree(folder / "out")
        (folder / "out").mkdir()
        return int(left), faults


class SnapshotKind(ChangeKind):
    """Snapshots while somebody labels; each that is there comes back whole."""

    seconds = 1.5

    def step(self, n: int, tell: Tell) -> None:
        place = {"image": 1, "axis": 0, "index": n % 9, "box": [0, 0, 2, 2]}
        payload = encode_runs(np.ones((2, 2), np.uint8))
        self.take(tell, payload, t="label", source="drawn", base_rev=1 << 40, **place)
        take_snapshot(self.root)

    def work(self, folder: Path, tell: Tell) -> None:
        self.root = folder / "p"
        super().work(folder, tell)

    def verify(self, folder: Path, said: list[str]) -> Verdict:
        doubt, faults = super().verify(folder, said)
        for made in snapshots(folder / "p")[-1:]:
            restore(made, folder / "back", Job("restore"))
            faults += check(folder / "back", Job("check"), mend=False).damaged
            shutil.rmtree(folder / "back")
        return doubt, faults


KINDS: dict[str, type[KillKind]] = {
    "label": LabelKind,
    "complete": CompleteKind,
    "accept, and its undo": AcceptKind,
    "import": ImportKind,
    "first start": FirstStartKind,
    "backup": BackupKind,
    "snapshot": SnapshotKind,
}
