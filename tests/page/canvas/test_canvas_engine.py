"""The canvas engine in real headless Chromium, on a harness page whose link records what the canvas says."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.canvas_harness.server import UNLABELLED, Fake, start

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path(os.environ.get("SLICEWISE_CHROMIUM", "/usr/bin/chromium"))
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
ERASED = 254
# A mouse moves in whole screen pixels: at this zoom the centres of the small pictures' pixels lie on them.
WHOLE_PIXELS = """() => {
    for (const view of app.views.filter((v) => v.camera.width && v.camera.rows < 200)) {
        const { camera } = view;
        camera.zoomAt(4 / camera.zoom);
        camera.tx = Math.round(camera.tx);
        camera.ty = Math.round(camera.ty);
        view.redraw();
    }
}"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}"),
]


@dataclass(frozen=True)
class SentEvent:
    """One message of the outbox, its runs laid out over its box."""

    message: dict
    classes: NDArray[np.uint8] | None

    def on(self, rows: int, cols: int) -> NDArray[np.uint8]:
        """What it says about the whole slice, UNLABELLED where nothing."""
        r0, c0, r1, c1 = self.message["box"]
        whole = np.full((rows, cols), UNLABELLED, np.uint8)
        whole[r0:r1, c0:c1] = self.patch
        return whole

    @property
    def patch(self) -> NDArray[np.uint8]:
        """Its classes, (rows, columns), of a message that has some."""
        assert self.classes is not None
        return self.classes


class Canvas:
    """The harness page, driven like a person would; positions are (row, column) of a slice."""

    def __init__(self, page, fake: Fake, faults: list[str]) -> None:
        self.page, self.fake, self.faults = page, fake, faults

    def open(self, image: int = 1, limit: int | None = None) -> "Canvas":
        self.run("given => begin(given)", {"image": image, "limit": limit})
        self.page.wait_for_function("app.labels.missing === 0")
        self.run(WHOLE_PIXELS)
        self.frame()
        return self

    def ignore(self, part: str) -> None:
        """A fault of the page that the test provokes."""
        self.faults[:] = [fault for fault in self.faults if part not in fault]

    def run(self, script: str, argument: object = None) -> Any:
        """What the script answers, as JSON has it."""
        return self.page.evaluate(script, argument)

    def at(self, row: float, col: float, axis: int = 0) -> tuple[float, float]:
        """Where a pixel lies on the page."""
        x, y = self.run(
            """([axis, row, col]) => {
                const view = app.views[axis], b = view.overlay.getBoundingClientRect();
                const p = view.camera.toScreen(row, col);
                return [b.left + p.x / view.camera.dpr, b.top + p.y / view.camera.dpr];
            }""",
            [axis, row, col],
        )
        return x, y

    def click(self, row: float, col: float, axis: int = 0, **how: object) -> None:
        self.page.mouse.click(*self.at(row, col, axis), **how)

    def drag(self, *points: tuple[float, float], axis: int = 0, button: str = "left") -> None:
        places = [self.at(row, col, axis) for row, col in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down(button=button)
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up(button=button)

    def frame(self) -> None:
        self.run("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def events(self) -> list[SentEvent]:
        raw = self.run(
            "() => link.queue.map(({message, payload}) => [message, payload ? [...new Uint16Array(payload)] : null])"
        )
        return [SentEvent(message, self._decode(message, runs)) for message, runs in raw]

    def labels(self, axis: int = 0, index: int | None = None) -> NDArray[np.uint8]:
        """The slice as the label volume of the browser has it."""
        rows, cols, flat = self.run(
            """([axis, index]) => {
                const view = app.views[axis], {rows, cols} = view.size, out = new Uint8Array(rows * cols);
                app.labels.read(axis, index ?? view.index, view.whole, out);
                return [rows, cols, [...out]];
            }""",
            [axis, index],
        )
        return np.array(flat, np.uint8).reshape(rows, cols)

    def state(self) -> dict:
        return self.run("() => app.state")

    def sent(self, kind: str) -> list[dict]:
        return self.run("kind => link.sent.map(s => s.message).filter(m => m.t === kind)", kind)

    def messages(self) -> list[str]:
        return [m["text"] for m in self.run("() => told.message")]

    def answer(
        self, box: tuple[int, int, int, int], rows: list[str] | None = None, seq: int | None = None
    ) -> None:
        """A mask for the newest question (or `seq`): all ones over `box` unless `rows` says otherwise."""
        r0, c0, r1, c1 = box
        shape = {"box": box, "score": 0.9, "rows": rows or ["1" * (c1 - c0)] * (r1 - r0)}
        self.run("([seq, shape]) => link.mask(seq ?? app.prompts.seq, [shape])", [seq, shape])

    def region(self, box: tuple[int, ...], classes: NDArray[np.uint8], rev: int) -> None:
        self.run(
            "([box, rev, bytes]) => link.deliver('region',"
            " {image: app.image.id, rev, by: 'ann', box, instances: false}, Uint8Array.from(bytes).buffer)",
            [box, rev, classes.ravel().tolist()],
        )

    @staticmethod
    def _decode(message: dict, runs: list[int] | None) -> NDArray[np.uint8] | None:
        if runs is None:
            return None
        r0, c0, r1, c1 = message["box"]
        flat = np.repeat(np.array(runs[::2], np.uint8), runs[1::2])
        return flat.reshape(r1 - r0, c1 - c0)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[ThreadingHTTPServer, Fake]]:
    fake = Fake()
    running = start(fake)
    yield running, fake
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def harness(server: tuple[ThreadingHTTPServer, Fake]) -> Iterator[tuple]:
    """The harness page and the list in which its faults are collected."""
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET.split())
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.extend([line.text] if line.type == "error" else []))
        page.goto(f"http://127.0.0.1:{server[0].server_address[1]}/")
        page.wait_for_selector("body[data-harness]", timeout=20_000)
        yield page, faults
        browser.close()


@pytest.fixture
def canvas(harness, server: tuple[ThreadingHTTPServer, Fake]) -> Iterator[Canvas]:
    """A fresh canvas for every test in one page; a fault in the page fails the test."""
    page, faults = harness
    server[1].reset()
    yield Canvas(page, server[1], faults)
    seen, faults[:] = list(faults), []
    assert not seen


def capsule(
    shape: tuple[int, int], ends: list[tuple[float, float]], radius: tuple[float, float]
) -> NDArray[np.bool_]:
    """Pixels within the radius (rows, columns) of the line between two points."""
    scale = np.array(radius)
    points = np.moveaxis(np.indices(shape), 0, -1) / scale
    a, b = (np.array(end) / scale for end in ends)
    along = b - a
    t = np.clip(((points - a) @ along) / max(along @ along, 1e-12), 0, 1)
    return np.linalg.norm(points - a - t[..., None] * along, axis=-1) <= 1 + 1e-6


# Strokes and shapes


def test_a_brush_dab_is_a_disc_in_the_smallest_box(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(2); app.setBrushRadius(3)")
    canvas.click(30, 50)
    (event,) = canvas.events()
    assert event.message["box"] == [27, 47, 34, 54]
    said = event.on(90, 120)
    assert np.array_equal(said == 2, capsule((90, 120), [(30, 50), (30, 50)], (3, 3)))
    assert set(np.unique(said)) == {2, UNLABELLED}
    assert np.array_equal(canvas.labels() == 2, said == 2)


def test_a_stroke_is_one_label_without_gaps_between_samples(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(2)")
    canvas.drag((10, 10), (60, 95))
    (event,) = canvas.events()
    said = event.on(90, 120) == 1
    assert np.array_equal(said, capsule((90, 120), [(10, 10), (60, 95)], (2, 2)))
    assert (event.message["t"], event.message["source"], event.message["base_rev"]) == ("label", "drawn", 0)
    assert event.message["id"] and 0 <= event.message["seconds"] <= 300


def test_the_brush_is_round_in_millimetres_where_voxels_are_not_square(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(6)")
    canvas.click(6, 28, axis=1)  # rows are z with 3 mm, columns x with 1.5 mm: the radius counts in 1.5 mm
    (event,) = canvas.events()
    assert event.message["axis"] == 1
    assert np.array_equal(event.on(12, 56) == 1, capsule((12, 56), [(6, 28), (6, 28)], (3, 6)))


def test_a_stroke_in_one_plane_shows_in_the_others(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.setClass(3); app.setBrushRadius(0.5)")
    canvas.click(5, 9, axis=2)  # sagittal slice x = 28: row is z, column is y
    assert canvas.labels(axis=0, index=5)[9, 28] == 3
    assert canvas.labels(axis=1, index=9)[5, 28] == 3
    canvas.run("app.gotoSlice(1, 9)")
    canvas.frame()
    assert canvas.run("app.views[1].labels[5 * app.views[1].size.cols + 28]") == 3


def test_the_eraser_says_erased_only_where_something_was(canvas: Canvas) -> None:
    labels = np.full((1, 90, 120), UNLABELLED, np.uint8)
    labels[0, 20:40, 20:40] = 1
    canvas.fake.labels[2] = labels
    canvas.open(2).run("app.setTool('erase'); app.setBrushRadius(4)")
    canvas.drag((30, 30), (30, 60))
    said = canvas.events()[0].on(90, 120)
    assert np.array_equal(said == ERASED, capsule((90, 120), [(30, 30), (30, 60)], (4, 4)) & (labels[0] == 1))
    assert (canvas.labels()[said == ERASED] == UNLABELLED).all()


def test_a_background_stroke_is_class_zero(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(0); app.setBrushRadius(2)")
    canvas.click(10, 10)
    assert set(np.unique(canvas.events()[0].patch)) == {0, UNLABELLED}


def test_a_polygon_takes_the_pixels_whose_centres_it_holds(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('polygon'); app.setClass(1)")
    for corner in [(10, 10), (10, 30), (40, 60), (28, 30), (28, 10)]:
        canvas.click(corner[0] - 0.4, corner[1] - 0.4)
        canvas.page.wait_for_timeout(5)
    canvas.click(70, 70)
    canvas.page.keyboard.press("Backspace")  # the last corner was a slip
    canvas.page.keyboard.press("Enter")
    said = canvas.events()[0].on(90, 120) == 1
    rows, cols = np.indices((90, 120))
    low, right = 9.6, cols - 29.6 <= rows - 9.6
    inside = (rows > low) & (rows < 27.6) & (cols > 9.6) & right
    assert np.array_equal(said[:28], inside[:28])
    assert said[30, 36] and not said[30, 20] and not said[60, 60]


def test_escape_gives_up_a_polygon_and_says_nothing(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('polygon')")
    for corner in [(10, 10), (10, 30), (30, 30)]:
        canvas.click(*corner)
    canvas.page.keyboard.press("Escape")
    canvas.page.keyboard.press("Enter")
    assert canvas.events() == []


def test_a_lasso_fills_the_loop(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('lasso'); app.setClass(2)")
    ring = [(40 + 20 * math.sin(a / 10 * math.pi), 60 + 30 * math.cos(a / 10 * math.pi)) for a in range(21)]
    canvas.drag(*ring)
    said = canvas.events()[0].on(90, 120) == 2
    rows, cols = np.indices((90, 120))
    oval = ((rows - 40) / 20) ** 2 + ((cols - 60) / 30) ** 2
    assert said[oval < 0.9].all() and not said[oval > 1.02].any()


def test_fill_holes_fills_what_is_enclosed_and_nothing_else(canvas: Canvas) -> None:
    labels = np.full((1, 90, 120), UNLABELLED, np.uint8)
    labels[0, 10:30, 10:30] = 1
    labels[0, 15:20, 15:20] = UNLABELLED
    labels[0, 50:60, 0:10] = 1
    labels[0, 53:56, 0:5] = UNLABELLED  # open to the edge: no hole
    canvas.fake.labels[2] = labels
    canvas.open(2).run("app.setTool('fill'); app.setClass(1)")
    canvas.click(25, 25)
    (event,) = canvas.events()
    assert event.message["box"] == [15, 15, 20, 20] and (event.patch == 1).all()
    canvas.run("app.undo()")
    canvas.click(17, 17)  # in the hole itself
    assert canvas.events()[-1].message["box"] == [15, 15, 20, 20]
    canvas.click(70, 70)
    assert "click inside an outline" in canvas.messages()[-1]


def test_a_stroke_ends_on_the_slice_it_began_on(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.setBrushRadius(1)")
    canvas.page.mouse.move(*canvas.at(10, 10))
    canvas.page.mouse.down()
    canvas.page.keyboard.press("PageDown")
    canvas.page.mouse.wheel(0, 120)
    canvas.page.keyboard.press("Control+z")
    canvas.page.mouse.up()
    assert [(e.message["t"], e.message["index"]) for e in canvas.events()] == [("label", 6)]
    assert canvas.labels(0, 6)[10, 10] == 1 and canvas.state()["index"] == 6


@pytest.mark.parametrize("tool", ["brush", "lasso", "box", "scribble"])
def test_escape_in_the_middle_of_a_drag_gives_it_up(canvas: Canvas, tool: str) -> None:
    canvas.open(1).run("tool => app.setTool(tool)", tool)
    canvas.page.mouse.move(*canvas.at(10, 10))
    canvas.page.mouse.down()
    canvas.page.mouse.move(*canvas.at(12, 30))
    canvas.page.keyboard.press("Escape")
    canvas.page.mouse.move(*canvas.at(30, 35))
    canvas.page.mouse.up()
    assert canvas.events() == [] and canvas.sent("predict") == []
    assert (canvas.labels() == UNLABELLED).all()
    assert canvas.run("app.views[0].labels.every(c => c === 255)")


# Protection


def test_a_locked_class_is_never_overwritten(canvas: Canvas) -> None:
    labels = np.full((1, 90, 120), UNLABELLED, np.uint8)
    labels[0, :, 50:60], labels[0, :, 60:70] = 2, 3
    canvas.fake.labels[2] = labels
    canvas.open(2).run(
        "app.setClasses([{id:1,name:'a',color:'#ff0000'},{id:2,name:'b',color:'#00ff00',locked:true},"
        "{id:3,name:'c',color:'#0000ff'}]); app.setTool('brush'); app.setClass(1); app.setBrushRadius(5)"
    )
    canvas.drag((30, 40), (30, 80))
    said = canvas.events()[0].on(90, 120)
    assert not (said[:, 50:60] == 1).any() and (said[30, 60:70] == 1).all()
    canvas.run("app.setTool('erase')")
    canvas.drag((30, 40), (30, 80))
    assert not (canvas.events()[1].on(90, 120)[:, 50:60] == ERASED).any()
    assert (canvas.labels()[:, 50:60] == 2).all()


def test_protecting_others_keeps_every_other_class_but_not_background(canvas: Canvas) -> None:
    labels = np.zeros((1, 90, 120), np.uint8)
    labels[0, :, 50:60] = 2
    canvas.fake.labels[2] = labels
    canvas.open(2).run(
        "app.setProtectOthers(true); app.setClass(1); app.prompts.add({axis:0,index:0},"
        " {kind:'box', r0:0, c0:40, r1:10, c1:70}, 0)"
    )
    canvas.answer((0, 40, 10, 70))
    canvas.page.keyboard.press("Enter")
    said = canvas.events()[0].on(90, 120)
    assert (
        (said[:10, 40:50] == 1).all()
        and (said[:10, 60:70] == 1).all()
        and (said[:, 50:60] == UNLABELLED).all()
    )


def test_nothing_left_to_say_is_said_to_the_person_and_not_to_the_server(canvas: Canvas) -> None:
    canvas.fake.labels[2] = np.full((1, 90, 120), 2, np.uint8)
    canvas.open(2).run("app.setProtectOthers(true); app.setTool('brush'); app.setClass(1)")
    canvas.click(30, 30)
    assert canvas.events() == [] and (canvas.labels() == 2).all()


# Undo


def test_undo_takes_back_strokes_newest_first_and_redo_brings_them_again(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(4)")
    canvas.click(20, 20)
    first = canvas.labels()
    canvas.run("app.setClass(2)")
    canvas.click(22, 22)
    both = canvas.labels()
    canvas.page.keyboard.press("Control+z")
    assert np.array_equal(canvas.labels(), first)
    canvas.page.keyboard.press("Control+z")
    assert (canvas.labels() == UNLABELLED).all()
    canvas.page.keyboard.press("Control+Shift+z")
    canvas.page.keyboard.press("Control+y")
    assert np.array_equal(canvas.labels(), both)
    told = [(e.message["t"], e.message.get("target")) for e in canvas.events()]
    a, b = (e.message["id"] for e in canvas.events()[:2])
    assert told[2:] == [("undo", b), ("undo", a), ("redo", a), ("redo", b)]


def test_undo_goes_to_the_slice_of_the_stroke_first(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.gotoSlice(0, 3)")
    canvas.click(20, 20)
    canvas.run("app.gotoSlice(2, 50)")
    canvas.run("app.undo()")
    assert (canvas.state()["axis"], canvas.state()["index"]) == (0, 3)
    assert (canvas.labels(0, 3) == UNLABELLED).all()


def test_undo_reaches_an_event_on_another_image_only_when_asked(canvas: Canvas) -> None:
    old = {"id": "old", "image": 1, "axis": 2, "index": 7, "act": "prompted", "name": "torso"}
    canvas.fake.history = {"undo": [old], "redo": []}
    canvas.open(2).run("app.undo()")
    said = "Nothing to undo on this image. Press Ctrl+Alt+Z to undo a mask on “torso”."
    assert canvas.run("told.message.at(-1).text") == said and not canvas.events()
    assert not canvas.state()["canUndo"] and canvas.state()["canUndoElsewhere"]
    canvas.page.keyboard.press("Control+Alt+z")
    canvas.page.wait_for_function("link.queue.length === 1")
    assert canvas.run("told.navigate") == [{"image": 1, "axis": 2, "index": 7}]
    (event,) = canvas.events()
    assert (event.message["t"], event.message["target"], event.message["image"]) == ("undo", "old", 1)
    assert (canvas.state()["image"], canvas.state()["axis"], canvas.state()["index"]) == (1, 2, 7)


def test_undo_takes_back_what_was_done_here_though_something_newer_is_elsewhere(canvas: Canvas) -> None:
    here = {"id": "here", "image": 1, "axis": 2, "index": 7, "act": "accepted", "name": "torso"}
    newer = {"id": "newer", "image": 2, "axis": 0, "index": 0, "act": "drawn", "name": "coins"}
    canvas.fake.history = {"undo": [here, newer], "redo": []}
    canvas.open(1).run("app.undo()")
    assert canvas.run("told.message.at(-1).text") == "Undone: what you accepted on sagittal slice 8."
    canvas.run("app.redo()")
    assert canvas.run("told.message.at(-1).text") == "Redone: what you accepted on sagittal slice 8."
    assert [(e.message["t"], e.message["target"]) for e in canvas.events()] == [
        ("undo", "here"),
        ("redo", "here"),
    ]
    assert canvas.state()["canUndo"] and not canvas.state()["canRedo"]


def test_clearing_asks_the_server_and_is_undone_as_one(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.clear()")
    assert canvas.run("told.message.at(-1).text") == "Nothing is labelled on this slice."
    canvas.click(20, 20)
    canvas.run("app.clear(); app.clear({image: true}); app.gotoSlice(1, 3); app.clear(); app.undo()")
    said = canvas.run("told.message.map((one) => one.text)")
    assert "No label was made on this slice; what you see was made on slices that cross it." in said
    slice_, image, undo = (event.message for event in canvas.events()[1:])
    assert (slice_["t"], slice_["axis"], "index" in image) == ("clear", 0, False)
    assert (undo["t"], undo["target"]) == ("undo", image["id"])


def test_a_new_edit_clears_redo(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush')")
    canvas.click(20, 20)
    canvas.run("app.undo()")
    assert canvas.state()["canRedo"]
    canvas.click(60, 60)
    assert not canvas.state()["canRedo"]


def test_undo_takes_back_prompts_before_labels(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush')")
    canvas.click(20, 20)
    canvas.run("app.setTool('click')")
    canvas.click(50, 50)
    canvas.click(60, 60, button="right")
    canvas.run("app.undo()")
    assert (canvas.sent("predict")[-1]["points"], canvas.sent("predict")[-1]["labels"]) == ([[50, 50]], [1])
    canvas.run("app.redo()")
    assert canvas.sent("predict")[-1]["labels"] == [1, 0]
    canvas.run("app.undo(); app.undo()")
    assert canvas.state()["prompts"] == 0 and len(canvas.events()) == 1
    canvas.run("app.undo()")
    assert canvas.events()[-1].message["t"] == "undo"


# Prompts


def test_clicks_boxes_and_scribbles_ask_together(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.click(50, 60, button="right")
    canvas.run("app.setTool('box')")
    canvas.drag((20, 30), (60, 80))
    canvas.run("app.setTool('scribble')")
    canvas.drag((25, 35), (25, 45), (30, 50))
    question = canvas.sent("predict")[-1]
    assert question["points"] == [[30, 40], [50, 60]] and question["labels"] == [1, 0]
    assert question["box"] == [20, 30, 61, 81]
    (scribble,) = question["scribbles"]
    assert scribble["label"] == 1 and scribble["points"][0] == [25, 35] and scribble["points"][-1] == [30, 50]
    assert [m["seq"] for m in canvas.sent("predict")] == [1, 2, 3, 4]
    assert question["view"] == [0, 0, 90, 120] and question["window"] == [0, 255]


def test_an_answer_to_an_older_question_never_shows(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.click(50, 60)
    canvas.answer((0, 0, 5, 5), seq=1)
    assert canvas.state()["mask"] is None and canvas.state()["waiting"]
    canvas.answer((20, 30, 60, 70), seq=2)
    assert canvas.state()["mask"]["candidates"] == 1
    canvas.page.keyboard.press("Enter")
    event = canvas.events()[0]
    assert event.message["box"] == [20, 30, 60, 70] and event.message["source"] == "prompted"
    assert (
        event.message["prompts"]["points"] == [[30, 40], [50, 60]]
        and event.message["prompts"]["model"] == "fake"
    )


def test_an_answer_to_a_question_taken_back_never_shows(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.run("app.undo()")
    canvas.answer((0, 0, 5, 5), seq=1)
    assert canvas.state()["mask"] is None and canvas.state()["prompts"] == 0


def test_tab_goes_through_the_candidates_and_enter_takes_the_shown_one(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    shapes = [
        {"box": [10 * i, 10, 10 * i + 3, 13], "score": 0.9 - i / 10, "rows": ["010", "111", "010"]}
        for i in (1, 2, 3)
    ]
    canvas.run("shapes => link.mask(app.prompts.seq, shapes)", shapes)
    canvas.page.keyboard.press("Tab")
    assert canvas.state()["mask"] == {
        "score": pytest.approx(0.7),
        "candidate": 1,
        "candidates": 3,
        "mends": None,
    }
    canvas.page.keyboard.press("Enter")
    said = canvas.events()[0].on(90, 120)
    assert [tuple(p) for p in np.argwhere(said == 1)] == [(20, 11), (21, 10), (21, 11), (21, 12), (22, 11)]
    assert canvas.state()["prompts"] == 0


def test_a_double_click_accepts_even_before_the_mask_has_come(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.page.mouse.dblclick(*canvas.at(30, 40))
    assert len(canvas.sent("predict")) == 1 and canvas.events() == []
    canvas.answer((20, 30, 25, 35))
    assert canvas.events()[0].message["box"] == [20, 30, 25, 35]


def test_a_click_after_an_accept_that_waits_for_its_mask_is_the_next_object(canvas: Canvas) -> None:
    canvas.open(2)
    for row, col in ((30, 40), (50, 60), (70, 80)):
        canvas.click(row, col)
        canvas.page.keyboard.press("Enter")
    assert len(canvas.sent("predict")) == 1 and canvas.state()["accepting"]
    canvas.run("app.undo()")  # the third click
    for seq, (row, col) in enumerate(((30, 40), (50, 60)), start=1):
        assert canvas.sent("predict")[-1]["points"] == [[row, col]]
        canvas.answer((row - 5, col - 5, row + 5, col + 5), seq=seq)
    assert [event.message["box"] for event in canvas.events()] == [[25, 35, 35, 45], [45, 55, 55, 65]]
    assert canvas.state()["prompts"] == 0 and len(canvas.sent("predict")) == 2


def test_where_each_click_is_accepted_at_once_objects_take_a_click_each(canvas: Canvas) -> None:
    canvas.open(2).run("app.setAtOnce(true)")
    for row, col in ((30, 30), (60, 60)):
        canvas.click(row, col)
        canvas.answer((row - 2, col - 2, row + 2, col + 2))
    assert [event.message["source"] for event in canvas.events()] == ["prompted", "prompted"]
    assert canvas.state()["prompts"] == 0 and (canvas.labels() == 1).sum() == 32
    canvas.page.keyboard.down("Shift")
    canvas.click(30, 30)
    canvas.page.keyboard.up("Shift")
    canvas.answer((28, 28, 31, 31))
    assert len(canvas.events()) == 2 and canvas.state()["mask"], "a correction waits to be looked at"
    canvas.page.keyboard.press("Escape")
    canvas.click(80, 80, button="right")
    assert canvas.state()["prompts"] == 1, "what is not the object says none"


def test_masks_accepted_ahead_of_their_coming_have_the_class_of_that_moment(canvas: Canvas) -> None:
    canvas.open(2).run("app.setClass(1)")
    for class_id, (row, col) in ((1, (30, 40)), (2, (50, 60)), (1, (70, 80))):
        canvas.run("id => app.setClass(id)", class_id)
        canvas.click(row, col)
        canvas.page.keyboard.press("Enter")
    canvas.run("app.setClass(2)")
    for seq, (row, col) in enumerate(((30, 40), (50, 60), (70, 80)), start=1):
        canvas.answer((row - 5, col - 5, row + 5, col + 5), seq=seq)
    assert [set(np.unique(event.patch)) for event in canvas.events()] == [{1}, {2}, {1}]


def test_an_accept_whose_mask_comes_late_is_kept_on_the_slice_it_was_meant_for(canvas: Canvas) -> None:
    canvas.open(1)
    canvas.click(20, 20)
    canvas.page.keyboard.press("Enter")
    canvas.run("app.gotoSlice(0, 3)")
    canvas.click(10, 30)
    canvas.answer((15, 15, 25, 25), seq=1)
    assert canvas.events() == [], "the answer to an older question"
    canvas.answer((5, 25, 15, 35))
    first, _, again = canvas.sent("predict")
    assert {**again, "seq": 1} == first, "asked again as it was"
    canvas.answer((15, 15, 25, 25))
    assert [(e.message["index"], e.message["box"]) for e in canvas.events()] == [(6, [15, 15, 25, 25])]
    assert canvas.state()["mask"], "what is offered on the open slice still waits for its Enter"


def test_another_image_opens_when_the_accepted_mask_has_become_a_label(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.page.keyboard.press("Enter")
    canvas.run("() => { window.opened = app.open(1); }")
    canvas.page.wait_for_timeout(300)
    assert canvas.state()["image"] == 2
    canvas.answer((20, 30, 25, 35))
    assert canvas.run("async () => await window.opened") and canvas.state()["image"] == 1
    assert [(e.message["image"], e.message["box"]) for e in canvas.events()] == [(2, [20, 30, 25, 35])]


def test_without_a_class_enter_asks_for_one_at_once_and_the_mask_waits(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.run("app.setClasses([{ id: 0, name: 'background', color: '#000000' }])")
    canvas.run("window.asked = 0; app.addEventListener('classless', () => window.asked++)")
    canvas.click(30, 40)
    canvas.page.keyboard.press("Enter")
    assert canvas.run("window.asked") == 1 and not canvas.state()["accepting"], "before the mask has come"
    canvas.answer((25, 35, 35, 45))
    assert canvas.events() == [] and canvas.state()["mask"]
    one = "{ id: 0, name: 'background', color: '#000000' }, { id: 1, name: 'a', color: '#ff0000' }"
    canvas.run(f"app.setClasses([{one}])")
    canvas.page.keyboard.press("Enter")
    assert [event.message["box"] for event in canvas.events()] == [[25, 35, 35, 45]]


def test_where_the_model_finds_nothing_the_next_object_is_asked_for_alone(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.page.keyboard.press("Enter")
    canvas.click(50, 60)
    canvas.run("link.mask(1, [])")
    assert canvas.sent("predict")[-1]["points"] == [[50, 60]] and canvas.events() == []


def test_prompts_stay_with_their_slice_until_escape(canvas: Canvas) -> None:
    canvas.open(1)
    canvas.click(10, 10)
    canvas.answer((5, 5, 15, 15))
    canvas.run("app.gotoSlice(0, 2)")
    assert canvas.state()["prompts"] == 0
    canvas.run("app.gotoSlice(0, 6)")
    assert canvas.state()["prompts"] == 1 and canvas.state()["mask"]
    canvas.page.keyboard.press("Escape")
    assert canvas.state()["prompts"] == 0 and canvas.state()["mask"] is None


def test_shift_click_on_a_label_refines_it_and_erases_what_the_new_mask_lacks(canvas: Canvas) -> None:
    labels = np.full((1, 90, 120), UNLABELLED, np.uint8)
    labels[0, 20:30, 20:30], labels[0, 60:70, 60:70] = 2, 2
    canvas.fake.labels[2] = labels
    canvas.open(2)
    canvas.page.keyboard.down("Shift")
    canvas.click(25, 25)
    canvas.page.keyboard.up("Shift")
    assert canvas.sent("predict")[-1]["mask_box"] == [20, 20, 30, 30]
    assert (
        canvas.run("[...new Uint8Array(link.sent.findLast(s => s.message.t === 'predict').payload)]")
        == [255, 3] * 10
    )
    canvas.answer((20, 20, 25, 34))
    canvas.page.keyboard.press("Enter")
    event = canvas.events()[0]
    said = event.on(90, 120)
    assert event.message["source"] == "refined" and (said[20:25, 20:34] == 2).all()
    assert (said[25:30, 20:30] == ERASED).all() and (said == ERASED).sum() == 50


def handed(canvas: Canvas) -> list[int] | None:
    """The box of the mask that went along with the newest question; its bits are checked for a full box."""
    sent = canvas.sent("predict")[-1]
    box = sent["mask_box"]
    payload = canvas.run(
        "() => [...new Uint8Array(link.sent.findLast(s => s.message.t === 'predict').payload ?? [])]"
    )
    if box is None:
        assert payload == []
        return None
    r0, c0, r1, c1 = box
    bits = np.unpackbits(np.array(payload, np.uint8).reshape(r1 - r0, -1), axis=1, bitorder="little")
    assert bits[:, : c1 - c0].all() and bits.sum() == (r1 - r0) * (c1 - c0)
    return list(box)


def test_from_the_third_prompt_on_the_mask_that_it_corrects_goes_along(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    canvas.answer((20, 30, 40, 50))
    canvas.click(50, 60)
    assert handed(canvas) is None, "two clicks may still mean something else than the first"
    canvas.answer((20, 30, 60, 70))
    canvas.click(22, 32, button="right")
    assert handed(canvas) == [20, 30, 60, 70]
    canvas.answer((25, 35, 60, 70))
    canvas.click(27, 37, button="right")
    assert handed(canvas) == [25, 35, 60, 70]
    canvas.page.keyboard.press("Control+z")
    assert len(canvas.sent("predict")[-1]["points"]) == 3 and handed(canvas) == [20, 30, 60, 70]
    canvas.page.keyboard.press("Control+y")
    assert len(canvas.sent("predict")[-1]["points"]) == 4 and handed(canvas) == [25, 35, 60, 70]


def test_a_candidate_that_was_picked_is_what_the_next_click_corrects(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.click(30, 40)
    shapes = [
        {"box": box, "score": 0.9, "rows": ["1" * (box[3] - box[1])] * (box[2] - box[0])}
        for box in ((20, 30, 40, 50), (10, 20, 60, 80))
    ]
    canvas.run("shapes => link.mask(app.prompts.seq, shapes)", shapes)
    canvas.page.keyboard.press("Tab")
    canvas.click(12, 22, button="right")
    assert handed(canvas) == [10, 20, 60, 80]


def test_another_model_is_asked_for_a_mask_of_its_own(canvas: Canvas) -> None:
    canvas.open(2)
    for row in (30, 40, 50):
        canvas.click(row, 40)
        canvas.answer((20, 30, row + 5, 50))
    assert handed(canvas) == [20, 30, 45, 50]
    canvas.run("app.prompts.again({ axis: 0, index: 0 })")
    assert len(canvas.sent("predict")[-1]["points"]) == 3 and handed(canvas) is None


def test_offline_prompts_are_asked_again_when_the_connection_is_back(canvas: Canvas) -> None:
    canvas.open(2).run("link.online = false")
    canvas.click(30, 40)
    assert "The server cannot be reached" in canvas.messages()[-1] and canvas.sent("predict") == []
    canvas.run("link.online = true; link.dispatchEvent(new CustomEvent('up'))")
    assert canvas.sent("predict")[-1]["points"] == [[30, 40]]


def test_new_objects_ask_for_a_number_and_a_stroke_from_an_object_keeps_its_own(canvas: Canvas) -> None:
    labels = np.full((1, 90, 120), UNLABELLED, np.uint8)
    labels[0, 20:30, 20:30] = 1
    canvas.fake.labels[2] = labels
    canvas.fake.objects[2] = np.where(labels == 1, 7, 0).astype(np.uint16)
    canvas.open(2).run("app.setInstances(true); app.setTool('brush'); app.setBrushRadius(2)")
    canvas.drag((25, 25), (25, 34))
    canvas.click(60, 60)
    assert [e.message["instance"] for e in canvas.events()] == [7, -1]
    canvas.page.mouse.move(*canvas.at(25, 33))
    canvas.frame()
    assert canvas.run("told.hover.at(-1)")["instance"] == 7


# What the server says


def test_a_region_is_taken_over_but_own_unsaved_strokes_stay_on_top(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(3)")
    canvas.click(30, 30)
    canvas.region((0, 1, 20, 40, 20, 40), np.full((20, 20), 2, np.uint8), rev=5)
    labels = canvas.labels()
    disc = capsule((90, 120), [(30, 30), (30, 30)], (3, 3))
    assert (labels[disc] == 1).all() and (labels[20:40, 20:40][~disc[20:40, 20:40]] == 2).all()
    canvas.run("link.ack(link.queue[0].message.id)")
    canvas.region((0, 1, 20, 40, 20, 40), np.full((20, 20), 3, np.uint8), rev=6)
    assert (canvas.labels()[20:40, 20:40] == 3).all() and canvas.state()["rev"] == 6


def test_a_region_does_not_disturb_a_stroke_in_progress(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(3)")
    canvas.page.mouse.move(*canvas.at(30, 30))
    canvas.page.mouse.down()
    canvas.region((0, 1, 20, 40, 20, 40), np.full((20, 20), 2, np.uint8), rev=5)
    assert canvas.run("app.views[0].labels[30 * 120 + 30]") == 1
    canvas.page.mouse.up()
    assert canvas.labels()[30, 30] == 1 and canvas.labels()[21, 21] == 2


def test_a_stroke_undone_before_it_was_saved_stays_undone(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(3)")
    canvas.click(30, 30)
    drawn = canvas.labels()
    canvas.run("app.undo(); link.ack(link.queue[0].message.id)")
    canvas.region((0, 1, 0, 90, 0, 120), drawn, rev=5)  # the server's word on the stroke alone
    assert (canvas.labels() == UNLABELLED).all()


def test_unsaved_strokes_of_an_earlier_visit_are_laid_over_the_loaded_labels(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.setClass(1); app.setBrushRadius(3)")
    canvas.click(30, 30)
    before = canvas.labels()
    canvas.run("app.open(1)")
    canvas.page.wait_for_function("app.image?.id === 1")
    canvas.run(
        "app.editor.history.drop(link.queue[0].message.id)"
    )  # as after a reload: only the outbox knows
    canvas.run("app.open(2)")
    canvas.page.wait_for_function("app.image?.id === 2 && app.labels.missing === 0")
    assert np.array_equal(canvas.labels(), before)
    canvas.run("app.undo()")
    assert (canvas.labels() == UNLABELLED).all()


def test_a_refused_label_disappears(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush')")
    canvas.click(30, 30)
    canvas.run(
        "link.outbox = []; link.deliver('refused', {id: link.queue[0].message.id, message: 'no', retry: false})"
    )
    canvas.page.wait_for_function("app.labels.classes.every(p => p === null)")
    assert not canvas.state()["canUndo"]


def test_completing_a_slice_makes_the_unknown_background_and_can_be_undone(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('brush'); app.setClass(2); app.setBrushRadius(3)")
    canvas.click(20, 20)
    before = canvas.labels()
    canvas.run("app.setComplete(true)")
    assert canvas.state()["complete"] and canvas.events()[-1].message["on"] is True
    assert np.array_equal(canvas.labels(), np.where(before == UNLABELLED, 0, before))
    canvas.run("app.undo()")
    assert not canvas.state()["complete"] and np.array_equal(canvas.labels(), before)


def test_labels_that_are_not_here_yet_cannot_be_drawn_over(canvas: Canvas) -> None:
    canvas.open(1).run("app.labels.loaded.fill(0); app.setTool('brush')")
    canvas.click(20, 20)
    assert canvas.events() == [] and "loading" in canvas.messages()[-1]


def test_an_image_opens_again_where_it_was_left(canvas: Canvas) -> None:
    canvas.open(1).run("app.gotoSlice(0, 3)")
    canvas.run("async () => { await app.open(2); await app.open(1); }")
    assert canvas.state()["cursor"] == [3, 20, 28]


def test_an_image_that_is_not_there_leaves_the_open_one_alone(canvas: Canvas) -> None:
    canvas.open(1)
    assert canvas.run("app.open(99)") is None
    assert "cannot be opened" in canvas.messages()[-1] and canvas.state()["image"] == 1
    canvas.ignore("404")


# Seeing


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_plane_has_the_proportions_of_the_patient(canvas: Canvas, axis: int) -> None:
    canvas.open(1)
    spacing = [s for i, s in enumerate((3.0, 1.0, 1.5)) if i != axis]
    down, right = canvas.run("axis => [app.views[axis].camera.sy, app.views[axis].camera.sx]", axis)
    assert down / right == pytest.approx(spacing[0] / spacing[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hover_tells_the_voxel_and_its_value(canvas: Canvas, axis: int) -> None:
    canvas.open(1)
    canvas.page.mouse.move(*canvas.at(4, 9, axis))
    canvas.frame()
    told = canvas.run("told.hover.at(-1)")
    z, y, x = told["position"]
    assert told["value"] == 1000 * z + 20 * y + x - 500
    assert told["mm"] == pytest.approx([3.0 * z, y, 1.5 * x]) and told["className"] == "unlabelled"
    assert [v for i, v in enumerate((z, y, x)) if i != axis] == [4, 9]


def test_hover_on_a_colour_image_tells_all_three_channels(canvas: Canvas) -> None:
    canvas.open(2)
    canvas.page.mouse.move(*canvas.at(31, 77))
    canvas.frame()
    assert canvas.run("told.hover.at(-1)")["value"] == [31, 77, 7]


@pytest.mark.parametrize("image", [1, 2, 6])
def test_the_screen_shows_the_windowed_value(canvas: Canvas, image: int) -> None:
    canvas.open(image)
    canvas.run("app.layout('axial'); app.views[0].camera.zoomAt(4)")
    canvas.frame()
    lo, hi = canvas.state()["window"]
    volume = canvas.fake.volume(image)
    rows, cols = volume.shape[1:3]
    row, col, index = rows // 2 + 2, cols // 2 + 3, volume.shape[0] // 2
    shown = canvas.run(
        """([row, col]) => {
            const view = app.views[0], {x, y} = view.camera.toScreen(row, col);
            return [...view.context.getImageData(Math.round(x), Math.round(y), 1, 1).data].slice(0, 3);
        }""",
        [row, col],
    )
    value = np.atleast_1d(volume[index, row, col]).astype(float)
    expected = np.clip((value - lo) / (hi - lo) * 255, 0, 255)
    assert np.allclose(shown, np.broadcast_to(expected, 3), atol=1.5)


def test_the_wheel_steps_through_slices_and_zooms_with_control(canvas: Canvas) -> None:
    canvas.open(1)
    canvas.page.mouse.move(*canvas.at(20, 20))
    for _ in range(3):
        canvas.page.mouse.wheel(0, 120)
    canvas.frame()
    assert canvas.state()["index"] == 9
    canvas.page.mouse.wheel(0, -120)
    canvas.frame()
    assert canvas.state()["index"] == 8
    before = canvas.at(20, 20)
    canvas.page.keyboard.down("Control")
    canvas.page.mouse.wheel(0, -240)
    canvas.page.keyboard.up("Control")
    canvas.frame()
    assert canvas.state()["index"] == 8 and canvas.at(20, 20) == pytest.approx(before, abs=0.6)
    assert canvas.run("!app.views[0].camera.fitted")


def test_the_crosshair_links_the_planes(canvas: Canvas) -> None:
    canvas.open(1).run("app.setTool('crosshair')")
    canvas.click(33, 11)
    assert canvas.state()["cursor"] == [6, 33, 11]
    canvas.page.keyboard.press("ArrowRight")
    assert canvas.state()["cursor"] == [6, 33, 12]
    assert canvas.run("[app.views[1].index, app.views[2].index]") == [33, 12]


def test_dragging_the_window_tool_changes_width_and_level(canvas: Canvas) -> None:
    canvas.open(6).run("app.setTool('window')")
    canvas.drag((30, 30), (30, 50))
    lo, hi = canvas.state()["window"]
    assert hi - lo > 0.004 * 1.2 and lo + hi == pytest.approx(0, abs=1e-4)


def test_space_drag_pans_with_any_tool(canvas: Canvas) -> None:
    canvas.open(2).run("app.setTool('brush'); app.zoom(2)")
    before = canvas.at(0, 0)
    canvas.page.keyboard.down("Space")
    canvas.drag((40, 40), (45, 50))
    canvas.page.keyboard.up("Space")
    assert canvas.events() == [] and canvas.at(0, 0)[0] > before[0] + 20


def test_keys_typed_into_a_field_stay_there(canvas: Canvas) -> None:
    canvas.open(1).run("document.body.append(Object.assign(document.createElement('input'), {id: 'name'}))")
    canvas.run("document.querySelector('#name').focus()")
    canvas.page.keyboard.press("PageDown")
    assert canvas.state()["index"] == 6


def test_a_volume_above_the_limit_is_read_slice_by_slice_with_its_neighbours(canvas: Canvas) -> None:
    canvas.open(1, limit=1000)
    canvas.page.wait_for_function("app.views.every(v => v.pixels)")
    assert not any("/pixels" in path for path in canvas.fake.asked)
    canvas.run("app.gotoSlice(0, 9)")
    canvas.page.wait_for_function("app.views[0].pixels !== null")
    canvas.page.mouse.move(*canvas.at(4, 9))
    canvas.frame()
    assert canvas.run("told.hover.at(-1)")["value"] == 1000 * 9 + 20 * 4 + 9 - 500
    assert "/api/images/1/slice/0/10" in canvas.fake.asked


def test_a_sheet_larger_than_the_screen_is_painted_in_tiles(canvas: Canvas) -> None:
    canvas.open(5)
    assert canvas.run("[...app.views[0].picture.base.tiles.keys()].every(k => !k.startsWith('0/'))")
    canvas.run("app.setTool('brush'); app.setBrushRadius(40)")
    canvas.click(2600, 3100)
    said = canvas.events()[0].on(5000, 6000)
    centre = np.argwhere(said == 1).mean(axis=0)
    assert (said == 1).sum() == pytest.approx(math.pi * 40**2, rel=0.02) and centre == pytest.approx(
        [2600, 3100], abs=6
    )
    canvas.run("app.views[0].camera.zoomAt(40); app.views[0].redraw()")
    canvas.frame()
    assert canvas.run(
        "[...app.views[0].picture.base.tiles.keys()].filter(k => k.startsWith('0/')).length"
    ) in range(1, 9)


def test_the_canvas_ends_with_its_element(canvas: Canvas) -> None:
    canvas.open(1).run("document.querySelector('#root').remove()")
    canvas.frame()
    assert canvas.run("app.signal.aborted && app.session.abort.signal.aborted")


def test_the_focusable_parts_have_names(canvas: Canvas) -> None:
    canvas.open(1)
    names = canvas.run(
        "[...document.querySelectorAll('[tabindex], button')].map(e => e.ariaLabel || e.textContent)"
    )
    assert len(names) == 9 and all(names)
    slider = canvas.page.get_by_role("slider", name="axial slice")
    assert slider.get_attribute("aria-valuenow") == "7" and slider.get_attribute("aria-valuemax") == "12"


# Proposals


def proposal() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Of image 1, (12, 40, 56): a box of class 2 with a sure and an unsure half, background elsewhere."""
    classes, sure = np.zeros((12, 40, 56), np.uint8), np.full((12, 40, 56), 250, np.uint8)
    classes[3:9, 10:30, 12:40] = 2
    sure[3:9, 10:30, 26:40] = 100
    return classes, sure


def proposing(canvas: Canvas) -> Canvas:
    canvas.fake.proposals[1] = proposal()
    canvas.fake.next[1] = {"axis": 2, "index": 33, "reason": "it crosses what is in doubt"}
    canvas.open(1)
    canvas.page.wait_for_function("app.proposals.prediction && app.proposals.next")
    canvas.frame()
    return canvas


def colour(canvas: Canvas, row: int, col: int) -> list[int]:
    """The mean over some stripes around a pixel of the axial view."""
    canvas.frame()
    return canvas.run(
        """([row, col]) => {
            const view = app.views[0], p = view.camera.toScreen(row, col), side = 14;
            const {data} = view.context.getImageData(p.x - side / 2, p.y - side / 2, side, side);
            const sum = [0, 0, 0];
            for (let i = 0; i < data.length; i++) if (i % 4 < 3) sum[i % 4] += data[i];
            return sum.map(v => v / (side * side));
        }""",
        [row, col],
    )


def test_proposals_show_in_their_colour_only_where_nobody_labelled_and_as_sure_as_asked(
    canvas: Canvas,
) -> None:
    labels = np.full((12, 40, 56), UNLABELLED, np.uint8)
    labels[6, 10:20, 12:20] = 0
    canvas.fake.labels[1] = labels
    proposing(canvas).run("app.setOpacity(1); app.layout('axial')")

    def blue(row: int, col: int) -> bool:
        red, _, strong = colour(canvas, row, col)
        return strong - red > 30

    assert blue(15, 23) and blue(15, 35)
    assert not blue(14, 16), "somebody said that this is background"
    assert not blue(35, 50), "proposed background shows nothing"
    canvas.run("app.setMinConfidence(0.8)")
    assert blue(15, 23) and not blue(15, 35)
    canvas.run("app.setProposalsVisible(false)")
    assert not blue(15, 23)


def test_the_doubt_about_proposals_is_a_layer_of_its_own(canvas: Canvas) -> None:
    proposing(canvas).run("app.layout('axial'); app.setOpacity(0.3)")
    before = colour(canvas, 15, 35), colour(canvas, 15, 18)
    canvas.run("app.setUncertainty(true)")
    after = colour(canvas, 15, 35), colour(canvas, 15, 18)
    assert after[0][0] - before[0][0] > 40, "what is in doubt is red"
    assert abs(after[1][0] - before[1][0]) < 10, "what is sure stays as it was"


def test_the_hover_tells_what_is_proposed_and_how_sure(canvas: Canvas) -> None:
    proposing(canvas)
    canvas.page.mouse.move(*canvas.at(14, 30))
    canvas.page.mouse.move(*canvas.at(15, 30))
    canvas.frame()
    said = canvas.run("told.hover.at(-1)")
    assert said["className"] == "unlabelled"
    assert (said["proposed"]["className"], round(said["proposed"]["sure"], 2)) == ("kidney", 0.39)


def test_accepting_sends_what_is_seen_and_undo_takes_it_back_as_one(canvas: Canvas) -> None:
    proposing(canvas).run("app.setMinConfidence(0.8); app.acceptSlice()")
    (event,) = canvas.events()
    seen = {k: event.message[k] for k in "t image axis lo hi min_confidence producer prediction".split()}
    assert seen == {
        "t": "accept", "image": 1, "axis": 0, "lo": 6, "hi": 7,
        "min_confidence": 0.8, "producer": "walker", "prediction": 5,
    }  # fmt: skip
    canvas.run("app.gotoSlice(1, 20); app.acceptRange(4, 30); app.acceptRange()")
    assert [(e.message["axis"], e.message["lo"], e.message["hi"]) for e in canvas.events()[1:]] == [
        (1, 4, 30),
        (1, 0, 40),
    ]
    canvas.run("app.gotoSlice(0, 1); app.undo(); app.redo(); app.undo()")
    last = canvas.events()[-1].message
    assert (last["t"], last["target"]) == ("undo", canvas.events()[2].message["id"])


def test_what_the_server_lays_hides_the_proposal_under_it(canvas: Canvas) -> None:
    proposing(canvas).run("app.layout('axial'); app.setOpacity(1); app.acceptSlice()")
    canvas.region((6, 7, 0, 40, 0, 56), proposal()[0][6], 1)
    canvas.frame()
    assert canvas.run("app.views[0].labels[15 * 56 + 30]") == 2
    canvas.page.mouse.move(*canvas.at(14, 30))
    canvas.page.mouse.move(*canvas.at(15, 30))
    canvas.frame()
    assert canvas.run("told.hover.at(-1).proposed") is None


def test_background_is_veiled_only_while_some_of_the_slice_is_unknown(canvas: Canvas) -> None:
    proposing(canvas).run("app.layout('axial'); app.setOpacity(1)")
    plain = colour(canvas, 35, 50)
    canvas.region((6, 7, 0, 39, 0, 56), proposal()[0][6, :39], 1)
    veiled = colour(canvas, 35, 50)
    canvas.region((6, 7, 0, 40, 0, 56), proposal()[0][6], 2)
    assert max(abs(a - b) for a, b in zip(plain, veiled)) > 15
    assert np.allclose(colour(canvas, 35, 50), plain, atol=1)


def test_where_nothing_is_left_to_accept_nothing_is_sent(canvas: Canvas) -> None:
    proposing(canvas).run("app.layout('axial'); app.setMinConfidence(1); app.acceptSlice()")
    assert canvas.events() == [] and "below your confidence limit" in canvas.messages()[-1]


def test_without_proposals_accepting_says_what_to_do(canvas: Canvas) -> None:
    canvas.open(1).run("app.acceptSlice()")
    assert canvas.events() == [] and "label an object on one slice" in canvas.messages()[-1]


def test_rejecting_says_background_where_something_is_proposed_and_nowhere_else(canvas: Canvas) -> None:
    proposing(canvas).run("app.setMinConfidence(0.8); app.rejectSlice()")
    (event,) = canvas.events()
    assert event.message["box"] == [10, 12, 30, 26] and (event.patch == 0).all()
    assert event.message["prompts"]["rejected"] == {"producer": "walker", "id": 5}


def shift_click(canvas: Canvas, row: int, col: int) -> dict:
    """Returns the question to the model."""
    canvas.page.keyboard.down("Shift")
    canvas.click(row, col)
    canvas.page.keyboard.up("Shift")
    return canvas.sent("predict")[-1]


def test_shift_click_on_a_proposal_calls_that_part_a_spill_and_enter_says_background(canvas: Canvas) -> None:
    proposing(canvas)
    asked = shift_click(canvas, 20, 20)
    assert asked["mend"] and asked["mask_box"] == [10, 12, 30, 40] and asked["box"] is None
    assert len(asked["points"]) == 1 and asked["labels"] == [0]
    canvas.answer((11, 13, 21, 30))
    (mend,) = canvas.sent("mend")
    assert mend["box"] == [11, 13, 21, 30] and (mend["value"], mend["prediction"]) == (0, 5)
    canvas.page.keyboard.press("Enter")
    (event,) = canvas.events()
    assert event.message["source"] == "refined" and "mends" in event.message["prompts"]
    assert event.message["box"] == [11, 13, 21, 30] and (event.patch == 0).all()


def test_shift_click_beside_a_proposal_adds_what_is_missing_to_its_class(canvas: Canvas) -> None:
    proposing(canvas).run("app.setClass(1)")
    asked = shift_click(canvas, 20, 50)
    assert asked["mend"] and asked["mask_box"] == [10, 12, 30, 40] and asked["labels"] == [1]
    canvas.answer((15, 40, 25, 55))
    assert canvas.state()["mask"]["mends"] == {"adds": True, "className": "kidney", "slices": None}
    canvas.page.keyboard.press("Enter")
    (event,) = canvas.events()
    assert event.message["box"] == [15, 40, 25, 55] and (event.patch == 2).all()
    assert canvas.state()["classId"] == 1, "the class in hand stays"


def mended(canvas: Canvas, box: tuple[int, ...], value: int) -> None:
    """The server's answer to the newest question: all of a box becomes one class."""
    count = 2 * math.prod(b - a for a, b in zip(box[::2], box[1::2]))
    canvas.run(
        """([box, value, count]) => link.deliver('mended', {seq: app.mending.seq, image: app.image.id,
            prediction: app.proposals.prediction, box, voxels: count / 2, slices: box[1] - box[0], ms: 1},
            new Uint8Array(count).fill(value).fill(200, count / 2).buffer)""",
        [list(box), value, count],
    )


def proposed_on(canvas: Canvas, axis: int, index: int) -> NDArray[np.uint8]:
    rows, cols, flat = canvas.run(
        """([axis, index]) => { const {whole, size} = app.views[axis];
            return [size.rows, size.cols, [...app.proposals.slice(axis, index, whole).classes]]; }""",
        [axis, index],
    )
    return np.array(flat, np.uint8).reshape(rows, cols)


def test_what_a_mended_part_changes_is_on_show_in_every_plane_until_escape(canvas: Canvas) -> None:
    proposing(canvas)
    index = canvas.state()["index"]
    before = [proposed_on(canvas, 0, index + 1), proposed_on(canvas, 1, 17), proposed_on(canvas, 2, 41)]
    shift_click(canvas, 20, 50)
    canvas.answer((15, 40, 25, 55))
    mended(canvas, (index - 1, index + 2, 15, 25, 40, 55), 2)
    after = [proposed_on(canvas, 0, index + 1), proposed_on(canvas, 1, 17), proposed_on(canvas, 2, 41)]
    assert (after[0][15:25, 40:55] == 2).all() and ((after[0] != before[0]).sum()) == 150
    assert (after[1][index - 1 : index + 2, 40:55] == 2).all()
    assert (after[2][index - 1 : index + 2, 15:25] == 2).all()
    assert canvas.state()["mask"]["mends"]["slices"] == 3
    canvas.page.keyboard.press("Escape")
    again = [proposed_on(canvas, 0, index + 1), proposed_on(canvas, 1, 17), proposed_on(canvas, 2, 41)]
    assert all((a == b).all() for a, b in zip(before, again)) and canvas.state()["mask"] is None


def test_while_an_object_is_prompted_its_proposal_is_not_drawn_and_no_key_accepts_any(canvas: Canvas) -> None:
    proposing(canvas).run("app.setOpacity(0.9); app.setUncertainty(false)")
    striped = colour(canvas, 20, 30)
    canvas.click(20, 30)
    canvas.answer((18, 14, 28, 20))
    assert np.ptp(striped) > 15
    assert np.ptp(colour(canvas, 14, 36)) < 15, "grey: all of the touched proposal is away"
    canvas.run("app.acceptSlice(); app.acceptRange(0, 3); app.rejectSlice()")
    assert canvas.events() == [] and "clear it (Esc) first" in canvas.messages()[-1]
    canvas.page.keyboard.press("Escape")
    assert np.abs(np.subtract(colour(canvas, 20, 30), striped)).max() < 6
    canvas.run("app.acceptSlice()")
    assert len(canvas.sent("accept") or canvas.events()) == 1


def test_the_next_slice_is_marked_and_one_call_away_in_any_plane(canvas: Canvas) -> None:
    proposing(canvas).run("app.layout('axial')")
    canvas.run("app.gotoProposed()")
    canvas.page.wait_for_function("app.state.axis === 2 && app.state.index === 33")
    assert canvas.run("app.views[2].shown")
    assert canvas.messages()[-1] == "Sagittal slice 34: it crosses what is in doubt"
    canvas.frame()
    text = canvas.run("app.views[2].ruler.host.getAttribute('aria-valuetext')")
    assert text == "slice 34 of 56, not labelled; slice 34 is worth labelling next"


def test_a_new_fill_is_read_and_a_fill_that_is_gone_leaves_nothing(canvas: Canvas) -> None:
    proposing(canvas)
    classes, sure = proposal()
    classes[6] = 3
    canvas.fake.proposals[1] = classes, sure
    canvas.run("link.deliver('fill', {image: 1, state: 'running', progress: 0.4, producer: 'walker'})")
    assert canvas.state()["proposal"]["progress"] == 0.4
    canvas.run("link.deliver('fill', {image: 1, state: 'done', producer: 'walker', prediction: 5})")
    canvas.page.wait_for_function("app.views[0].proposed?.classes[0] === 3 && !app.state.proposal.running")
    del canvas.fake.proposals[1]
    canvas.run("link.deliver('fill', {image: 1, state: 'none'})")
    canvas.page.wait_for_function("app.views[0].proposed === null")
    canvas.run("link.deliver('fill', {image: 1, state: 'failed', message: 'The fill failed: no memory.'})")
    assert "no memory" in canvas.messages()[-1]
