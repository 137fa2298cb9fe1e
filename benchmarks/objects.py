"""6,400 numbered objects on a picture of 4000 x 4000: import, open, draw, prompt, undo and export, in a real Chromium.

Each step says how long it took, how long the page could not answer meanwhile, and how long it said nothing about it.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import import_path
from annotator.exchange.writers import WRITERS
from annotator.jobs import Job
from benchmarks.common import Row, finish, parser
from storage.store import Store
from tests.support.chromium import ARGUMENTS, CHROMIUM, new_context, open_page, start_server

SIDE, GRID = 4000, 80  # pixels; objects along a side
NAME = f"{GRID * GRID:,} objects on {SIDE}x{SIDE}"
LOADED = "() => { const {done, total} = window.__slicewise.state.loading; return total > 0 && done >= total }"
SAVED = "(rev) => window.__slicewise.state.rev > rev"
WATCH = """() => { window.__gaps = []; let last = performance.now();
  const tick = (now) => { window.__gaps.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick); }"""
LONGEST = "() => { const longest = Math.max(0, ...window.__gaps); window.__gaps.length = 0; return longest / 1000; }"


def main() -> None:
    options = parser(__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, project = Path(place) / "data", Path(place) / "project"
        save(folder)
        rows = list(imported(folder, project))
        rows += on_the_page(project)
        rows += list(exported(project, Path(place) / "out"))
    finish(rows, options.json)


def save(folder: Path) -> None:
    """A grey picture, and its objects numbered from 1 in 16 bits."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    numbers = objects()
    noise = np.random.default_rng(0).integers(0, 60, numbers.shape, np.uint8)
    Image.fromarray(noise + np.where(numbers > 0, np.uint8(150), np.uint8(40))).save(folder / "images/a.png")
    Image.fromarray(numbers).save(folder / "labels/a.png")


def objects() -> NDArray[np.uint16]:
    """(SIDE, SIDE): disks in a grid."""
    cell = SIDE // GRID
    row, column = np.mgrid[:cell, :cell] - cell / 2
    disk = row**2 + column**2 < (0.4 * cell) ** 2
    numbers = np.arange(1, GRID * GRID + 1, dtype=np.uint16).reshape(GRID, GRID)
    return np.kron(numbers, disk.astype(np.uint16))


def imported(folder: Path, project: Path) -> Iterator[Row]:
    store = Store(project)
    started, used = time.monotonic(), time.process_time()
    import_path(store, folder, Job("import"))
    yield Row(NAME, "import", "s", time.monotonic() - started)
    yield Row(NAME, "import", "CPU s", time.process_time() - used)
    store.close()


def exported(project: Path, out: Path) -> Iterator[Row]:
    store = Store.read_only(project)
    for name in WRITERS:
        started, used = time.monotonic(), time.process_time()
        try:
            export(store, out / name, ExportRequest((name,)), Job("export"))
        except ValueError:  # a format for volumes alone
            continue
        yield Row(NAME, f"export {name}", "s", time.monotonic() - started)
        yield Row(NAME, f"export {name}", "CPU s", time.process_time() - used)
    store.close()


def on_the_page(project: Path) -> list[Row]:
    server = start_server(project.parent, "--project", str(project), "--no-fill", "--no-download")
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = new_context(chromium, viewport={"width": 1600, "height": 900}).new_page()
            started = time.monotonic()
            open_page(page, server.address)
            page.wait_for_function(LOADED, timeout=120_000)
            rows = [Row(NAME, "open the page and the picture", "s", time.monotonic() - started)]
            page.evaluate(WATCH)
            rows += [row for step in STEPS for row in timed(page, step)]
            chromium.close()
    finally:
        server.stop()
    return rows


STEPS = ("open it again", "draw a stroke", "undo it", "click an object and accept", "undo that")


def timed(page: Page, step: str) -> Iterator[Row]:
    rev = page.evaluate("() => window.__slicewise.state.rev")
    page.evaluate(LONGEST)
    started = time.monotonic()
    if step == "open it again":
        page.evaluate("async () => { await window.__slicewise.open(1) }")
        page.wait_for_function(LOADED, timeout=120_000)
    else:
        act(page, step)
        page.wait_for_function(SAVED, arg=rev, timeout=120_000)
    seconds = time.monotonic() - started
    page.wait_for_timeout(300)
    yield Row(NAME, step, "s", seconds)
    yield Row(NAME, step, "longest time without a frame, s", page.evaluate(LONGEST))


def act(page: Page, step: str) -> None:
    box = page.locator("canvas[role=application]").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if step.startswith("undo"):
        page.keyboard.press("Control+z")
    elif step == "draw a stroke":
        page.keyboard.press("b")
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 80, y + 60, steps=8)
        page.mouse.up()
    else:
        page.keyboard.press("s")
        page.mouse.click(x + 7, y + 7)
        page.wait_for_function("() => window.__slicewise.state.mask", timeout=120_000)
        page.keyboard.press("Enter")


if __name__ == "__main__":
    main()
