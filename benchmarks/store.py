"""Commits, many images and memory: what a project on disk costs.

Durable commits are set against the disk's own floor, a write and fsync of the same bytes in the same run.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import LabelMessage
from annotator.workflow import Workflow
from benchmarks.common import ROOT, Row, finish, parser, percentile
from storage.image_states import ImageQuery
from storage.scan import Scan
from storage.store import Store

GROWTH_STEPS = 10


def main() -> None:
    options = parser(__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT.parent if os.access(ROOT.parent, os.W_OK) else None) as folder:
        rows = [*commits(Path(folder), 200 if options.quick else 1000)]
        rows += many_images(Path(folder), 2_000 if options.quick else 10_000)
        rows += imports(Path(folder), 500 if options.quick else 10_000)
        rows += memory(Path(folder), (512, 512, 100 if options.quick else 300))
    finish(rows, options.json)


def commits(folder: Path, count: int) -> Iterator[Row]:
    """Masks of a 512 x 512 slice, committed as the page does, one after another."""
    workflow = _workflow(folder / "commits", (64, 512, 512))
    size = _bytes(folder / "commits")
    times, sizes = [], [size]
    for n in range(count):
        message, payload = _label(n)
        start = time.perf_counter()
        workflow.commit("bench", message, payload)
        times.append((time.perf_counter() - start) * 1000)
        if (n + 1) % (count // GROWTH_STEPS) == 0:
            sizes.append(_bytes(folder / "commits"))
    workflow.close()
    floor = [_fsync_floor(folder / "floor") for _ in range(50)]
    name = f"{count} commits"
    yield Row(name, "commit", "median ms", percentile(times, 0.5), count)
    yield Row(name, "commit", "p95 ms", percentile(times, 0.95), count)
    yield Row(name, "commit", "last tenth / first tenth", _ratio(times), count)
    yield Row(name, "commit", "KB each", (sizes[-1] - sizes[0]) / count / 1000, count)
    steps = np.diff(sizes)
    yield Row(name, "commit", "largest growth step / mean", float(steps.max() / steps.mean()), GROWTH_STEPS)
    yield Row(name, "4 KB file, fsync, rename", "median ms", percentile(floor, 0.5), 50)


def many_images(folder: Path, count: int) -> Iterator[Row]:
    """Opening a project of many small images, and a page of its queue."""
    add_small_images(folder / "many", count)
    start = time.perf_counter()
    store = Store(folder / "many")
    workflow = Workflow(store, PromptService(store))
    workflow.images(0, 100, ImageQuery())
    opened = time.perf_counter() - start
    pages = [
        _timed(lambda at=at: workflow.images(at, 100, ImageQuery()))
        for at in range(0, count, max(100, count // 50))
    ]
    workflow.close()
    yield Row(f"{count} images", "open project, first page", "median ms", opened * 1000, 1)
    yield Row(f"{count} images", "a page of 100", "median ms", percentile(pages, 0.5), len(pages))
    yield Row(f"{count} images", "a page of 100", "p95 ms", percentile(pages, 0.95), len(pages))


def imports(folder: Path, count: int) -> Iterator[Row]:
    """A folder of PNG of 256 x 256 pixels, imported and imported again."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    slope = np.add.outer(np.arange(256), np.arange(256)) // 3
    for n in range(count):
        picture = (slope + rng.integers(0, 20, slope.shape)).astype(np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"{n:05}.png", compress_level=1)
    store = Store(folder / "imported")
    for act in ("import", "import again"):
        start, used = time.perf_counter(), time.process_time()
        report = import_path(store, folder / "pictures", Job("import"))
        yield Row(f"{count} PNG", act, "s", time.perf_counter() - start, count)
        yield Row(f"{count} PNG", act, "CPU s", time.process_time() - used, count)
        assert len(report.added) + report.known == count
    store.close()


def add_small_images(root: Path, count: int) -> None:
    """A project of that many pictures of 16 x 16 pixels."""
    store = Store(root)
    picture = np.zeros((1, 16, 16), np.uint8)
    for n in range(count):
        picture[0, 0, :4] = np.frombuffer(n.to_bytes(4, "little"), np.uint8)
        store.add_image(Scan(f"image {n:05}", picture, spacing_mm=None, marks=None))
    store.close()


def memory(folder: Path, shape_xyz: tuple[int, int, int]) -> Iterator[Row]:
    """Peak memory of a real server with one int16 volume open in a tab, in a process of its own."""
    x, y, z = shape_xyz
    store = Store(folder / "memory")
    rng = np.random.default_rng(0)
    pixels = rng.integers(-1000, 2000, (z, y, x), dtype=np.int16)
    store.add_image(Scan("big", pixels, (1.0, 1.0, 1.0), None, window=(-200, 400), value_range=(-1000, 2000)))
    store.close()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.server_memory", str(folder / "memory")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peak, idle = (float(part) for part in done.stdout.split()[-2:])
    volume = pixels.nbytes / 1e6
    name = f"{x}x{y}x{z} int16"
    yield Row(name, "server, idle", "MB", idle)
    yield Row(name, "server, volume read, labelled, prompted", "MB", peak)
    yield Row(name, "allowed: 2 x volume + 500 MB", "MB", 2 * volume + 500)


def _workflow(folder: Path, shape: tuple[int, int, int]) -> Workflow:
    store = Store(folder)
    store.add_class("one")
    store.add_image(Scan("volume", np.zeros(shape, np.uint8), (1.0, 1.0, 1.0), None))
    return Workflow(store, PromptService(store))


def _label(n: int) -> tuple[LabelMessage, bytes]:
    rng = np.random.default_rng(n)
    row, column = (int(v) for v in rng.integers(90, 420, 2))
    rows, columns = np.ogrid[-80:80, -80:80]
    radius = 60 + 15 * np.sin(6 * np.arctan2(rows, columns) + n)
    classes = np.where(rows**2 + columns**2 < radius**2, 1, 255).astype(np.uint8)
    place: dict[str, Any] = {
        "image": 1,
        "axis": 0,
        "index": n % 64,
        "box": (row - 80, column - 80, row + 80, column + 80),
    }
    prompts = {"points": [[row, column]], "labels": [1]}
    said: dict[str, Any] = {"source": "prompted", "base_rev": n, "prompts": prompts, "seconds": 3.0}
    message = LabelMessage(t="label", id=uuid.uuid4().hex, **place, **said)
    return message, encode_runs(classes)


def _fsync_floor(path: Path) -> float:
    from storage.arrays import write_bytes

    return _timed(lambda: write_bytes(path, b"x" * 4096))


def _timed(act) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def _ratio(times: list[float]) -> float:
    tenth = max(1, len(times) // 10)
    return percentile(times[-tenth:], 0.5) / percentile(times[:tenth], 0.5)


def _bytes(folder: Path) -> int:
    return sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-wal"
    )


if __name__ == "__main__":
    main()
