"""From click to painted mask and from wheel to painted slice, in a real server and a real Chromium.

The model's own time comes from the server's answer to the same click, so the difference is what the page, the
network and the server add. Scrolling dispatches one wheel event per animation frame.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from skimage import data as pictures

from benchmarks.common import Row, finish, parser, percentile
from benchmarks.store import add_small_images
from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.support.chromium import ARGUMENTS, CHROMIUM, new_context, open_page, start_server

SCROLL = """async ({view, seconds}) => {
  const app = window.__slicewise, canvas = document.querySelectorAll('.sw-host canvas[tabindex]')[view];
  const box = canvas.getBoundingClientRect(), at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
  const times = []; let down = true, before = app.stats.frames;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: down ? 100 : -100, bubbles: true, cancelable: true, ...at}));
    const now = await new Promise(requestAnimationFrame);
    if (app.stats.frames !== before) { before = app.stats.frames; times.push(now); }
    const {index} = app.state, depth = app.image?.shape?.[0] ?? 44;
    if (index <= 1) down = true; else if (index >= depth - 2) down = false;
  }
  return times;
}"""


SCROLL_LIST = """async () => {
  const list = document.querySelector('.sw-list'), times = []; let blank = 0, rows = 0;
  for (let n = 0; n < 240; n++) {
    list.scrollTop = n < 200 ? n * 144 : list.scrollHeight * (n - 199) / 40;
    times.push(await new Promise(requestAnimationFrame));
    for (const row of list.querySelectorAll('[role=option]')) { rows++; blank += !row.textContent.trim(); }
  }
  return [times, blank / rows];
}"""
TRAINING = """async () => {
  const { rounds } = await (await fetch('/api/learn')).json();
  return rounds.some(({ state, phase }) => state === 'running' && phase === 'training');
}"""
LOADED = "() => { const {done, total} = window.__slicewise.state.loading; return done >= total }"


def main() -> None:
    options = parser(__doc__.splitlines()[0]).parse_args()
    clicks = 10 if options.quick else 40
    with tempfile.TemporaryDirectory() as folder:
        names = _project(Path(folder) / "project", options.data)
        with _served(Path(folder) / "project") as address:
            rows = _measure(address, names, clicks, 2.0 if options.quick else 6.0)
        count = 1_000 if options.quick else 10_000
        add_small_images(Path(folder) / "many", count)
        with _served(Path(folder) / "many") as address:
            rows += _in_browser(address, lambda page: queue(page, count))
        _labelled(Path(folder) / "learning")
        for learn in (False, True):
            with _served(Path(folder) / "learning", learn=learn) as address:
                name = f"512x512 picture, {'a' if learn else 'no'} round running"
                rows += _in_browser(address, partial(beside, name=name, count=clicks, learn=learn))
    finish(rows, options.json)


@contextmanager
def _served(project: Path, *, learn: bool = False) -> Iterator[str]:
    server = start_server(project.parent, "--project", str(project), learn=learn)
    try:
        yield server.address
    finally:
        server.stop()


def _in_browser(address: str, measure: Callable[[Page], Iterator[Row]]) -> list[Row]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = new_context(chromium, viewport={"width": 1600, "height": 900}).new_page()
        open_page(page, address)
        rows = list(measure(page))
        chromium.close()
    return rows


def _measure(address: str, names: dict[str, int], clicks: int, seconds: float) -> list[Row]:
    def measure(page: Page) -> Iterator[Row]:
        for name, image_id in names.items():
            page.evaluate("async (id) => { await window.__slicewise.open(id) }", image_id)
            page.wait_for_selector(".sw-host[data-ready='1']")
            page.wait_for_function(LOADED, timeout=120_000)
            yield from scroll(page, name, seconds) if "volume" in name else click(page, name, clicks)

    return _in_browser(address, measure)


def queue(page: Page, count: int) -> Iterator[Row]:
    """Scroll through the list of images, three rows a frame, and jump to its end."""
    page.get_by_role("tab", name="Images").click()
    page.wait_for_selector(".sw-list [role=option]")
    times, blank = page.evaluate(SCROLL_LIST)
    gaps = np.diff(times)
    name = f"list of {count} images"
    yield Row(name, "scroll", "median frames/s", 1000 / float(np.median(gaps)), len(gaps))
    yield Row(name, "scroll", "mean frames/s", 1000 / float(np.mean(gaps)), len(gaps))
    yield Row(name, "scroll", "p95 ms a frame", percentile(gaps.tolist(), 0.95), len(gaps))
    yield Row(name, "scroll", "share of rows not read yet", float(blank), len(gaps))


def click(page: Page, name: str, count: int) -> Iterator[Row]:
    """Single clicks, each on a clean slate, spread over the picture."""
    box = page.locator(".sw-host canvas[tabindex]").first.bounding_box()
    assert box is not None
    side = min(box["width"], box["height"]) * 0.8
    rng = np.random.default_rng(0)
    for _ in range(count + 3):  # the first ones warm up
        dx, dy = (float(v) for v in rng.uniform(-0.5, 0.5, 2) * side)
        before = page.evaluate("() => window.__slicewise.stats.predictions.length")
        page.mouse.click(box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy)
        page.wait_for_function(
            "(n) => window.__slicewise.stats.predictions.length > n", arg=before, timeout=20_000
        )
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    taken = page.evaluate("(n) => window.__slicewise.stats.predictions.slice(-n)", count)
    total, model = [p["ms"] for p in taken], [p["model_ms"] for p in taken]
    added = [a - b for a, b in zip(total, model)]
    yield Row(name, "click to painted mask", "median ms", median(total), count)
    yield Row(name, "click to painted mask", "p95 ms", percentile(total, 0.95), count)
    yield Row(name, "the model alone", "median ms", median(model), count)
    yield Row(name, "the model alone", "p95 ms", percentile(model, 0.95), count)
    yield Row(name, "added by page, network and server", "median ms", median(added), count)
    yield Row(name, "added by page, network and server", "p95 ms", percentile(added, 0.95), count)


def beside(page: Page, name: str, count: int, learn: bool) -> Iterator[Row]:
    """Clicks while a learner trains in the background, or without."""
    if learn:
        until = time.monotonic() + 120
        while not page.evaluate(TRAINING):
            if time.monotonic() > until:
                raise SystemExit("no round began within two minutes")
            page.wait_for_timeout(500)
    yield from click(page, name, count)
    if learn and not page.evaluate(TRAINING):
        raise SystemExit("the round ended before the clicks did; give it more seconds")


def scroll(page: Page, name: str, seconds: float) -> Iterator[Row]:
    """Wheel through the first axis with all three planes on screen."""
    times = page.evaluate(SCROLL, {"view": 0, "seconds": seconds})
    gaps = np.diff(times)
    yield Row(name, "wheel", "median frames/s", 1000 / float(np.median(gaps)), len(gaps))
    yield Row(name, "wheel", "mean frames/s", 1000 / float(np.mean(gaps)), len(gaps))
    yield Row(name, "wheel", "p95 ms a frame", percentile(gaps.tolist(), 0.95), len(gaps))


def _project(root: Path, data: Path) -> dict[str, int]:
    """Pictures and volumes to measure on: name -> image id."""
    store = Store(root)
    store.add_class("one")
    scans = {"512x512 picture": _picture(pictures.camera()), "1024x1024 picture": _picture(_retina())}
    scans["256x256x128 volume"] = Scan(
        "volume", _volume((128, 256, 256)), (1.5, 1.0, 1.0), None, window=(-200, 900)
    )
    ids = {name: store.add_image(scan) for name, scan in scans.items()}
    large = data / "mr-640-nolabel" / "images"
    if large.is_dir():
        from storage.formats import read

        ids["640x640x44 volume"] = store.add_image(read(next(large.iterdir())))
    else:
        print("the 640x640x44 volume of ../shared/data is not there; left out")
    store.close()
    return ids


def _labelled(root: Path) -> None:
    """A picture to click on, and others with complete labels: a round on them takes minutes."""
    store = Store(root)
    store.add_class("one")
    store.set_setting("learning", json.dumps({"seconds": 900, "learners": ["supervised"]}))
    store.add_image(_picture(pictures.camera()))
    for turn in range(1, 9):
        other = np.rot90(pictures.camera(), turn % 4).copy()
        ref = SliceRef(store.add_image(_picture(np.roll(other, 40 * turn, 0))), 0, 0)
        patch = Patch(Box(0, 0, *other.shape), (other < 60).astype(np.uint8))
        store.add_label(NewLabel(ref, patch, uuid.uuid4().hex, "ann"))
        store.add_label(NewLabel(ref, None, uuid.uuid4().hex, "ann"))
    store.close()


def _retina() -> NDArray[np.uint8]:
    return np.ascontiguousarray(pictures.retina()[190:1214, 190:1214])


def _picture(pixels: NDArray[np.uint8]) -> Scan:
    return Scan(f"picture {pixels.shape[0]}", pixels[None], spacing_mm=None, marks=None)


def _volume(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    body = ((z - 64) / 90) ** 2 + ((y - 128) / 100) ** 2 + ((x - 128) / 110) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 40, shape)
    return (body * 600 - 100 + noise).astype(np.int16)


if __name__ == "__main__":
    main()
