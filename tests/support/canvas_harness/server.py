"""A test double of the server for the canvas engine: made-up images over HTTP.

`python -m tests.support.canvas_harness.server` serves the page to try by hand.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
STATIC = HERE.parents[2] / "annotator" / "page" / "static"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
UNLABELLED = 255
PREDICTION = 5  # the id of every pseudo-label here


@dataclass(frozen=True)
class ServedPicture:
    """One made-up image; `make` gives (Z, Y, X[, 3])."""

    name: str
    make: Callable[[], NDArray]
    spacing_mm: tuple[float, float, float] | None = None
    marks: tuple[tuple[str, str], ...] | None = None
    window: tuple[float, float] = (0, 255)


def ramp() -> NDArray[np.int16]:
    """(12, 40, 56): the value of voxel (z, y, x) is 1000 z + 20 y + x - 500."""
    z, y, x = np.indices((12, 40, 56))
    return (1000 * z + 20 * y + x - 500).astype(np.int16)


def body(depth: int, height: int, width: int) -> NDArray[np.int16]:
    """An ellipsoid with organs and grain, roughly in CT numbers."""
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[-1 : 1 : depth * 1j, -1 : 1 : height * 1j, -1 : 1 : width * 1j]
    out = np.full((depth, height, width), -1000, np.float32)
    out[(x / 0.85) ** 2 + (y / 0.62) ** 2 + (z / 1.3) ** 2 < 1] = 40
    for cz, cy, cx, radius, value in [
        (0, -0.1, -0.35, 0.3, 110),
        (0.2, 0.2, 0.4, 0.2, 180),
        (-0.3, 0.3, 0, 0.16, 400),
    ]:
        out[(x - cx) ** 2 + (y - cy) ** 2 + (0.7 * (z - cz)) ** 2 < radius**2] = value
    return (out + rng.normal(0, 18, out.shape)).astype(np.int16)


def colours() -> NDArray[np.uint8]:
    """(1, 90, 120, 3): red is the row, green the column, blue 7."""
    _, y, x = np.indices((1, 90, 120))
    return np.stack([y, x, np.full_like(x, 7)], axis=-1).astype(np.uint8)


def sheet() -> NDArray[np.uint8]:
    """(1, 5000, 6000): discs on a slope, large enough to be cut into tiles."""
    y, x = np.ogrid[:5000, :6000]
    discs = (y % 500 - 250) ** 2 + (x % 500 - 250) ** 2 < 150**2
    return ((x * 120 // 6000 + 20 + 100 * discs)[None]).astype(np.uint8)


def waves() -> NDArray[np.float32]:
    """(1, 64, 80) between -0.002 and 0.002."""
    y, x = np.mgrid[:64, :80]
    return (0.002 * np.sin(x / 9) * np.cos(y / 7))[None].astype(np.float32)


HEAD = (("S", "I"), ("A", "P"), ("R", "L"))
PICTURES = {
    1: ServedPicture("ramp", ramp, (3.0, 1.0, 1.5), HEAD, (-500, 12000)),
    2: ServedPicture("colours", colours),
    3: ServedPicture("body 256", lambda: body(128, 256, 256), (1.5, 0.8, 0.8), HEAD, (-160, 320)),
    4: ServedPicture("body 640", lambda: body(44, 640, 640), (4.0, 0.6, 0.6), HEAD, (-160, 320)),
    5: ServedPicture("sheet", sheet, (1.0, 0.01, 0.01)),
    6: ServedPicture("waves", waves, None, None, (-0.002, 0.002)),
}


class Fake:
    """Images made once and labels that a test may set: `labels[image]` is (Z, Y, X) uint8."""

    def __init__(self) -> None:
        self.pixels: dict[int, NDArray] = {}
        self.labels: dict[int, NDArray[np.uint8]] = {}
        self.objects: dict[int, NDArray[np.uint16]] = {}
        self.slices: dict[int, list[tuple[int, int, str]]] = {}
        self.rev: dict[int, int] = {}
        self.proposals: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}  # classes, confidence
        self.next: dict[int, dict] = {}
        self.history: dict = {"undo": [], "redo": []}
        self.asked: list[str] = []
        self._making = threading.Lock()

    def reset(self) -> None:
        """As at the start, pixels kept."""
        for store in (self.labels, self.objects, self.slices, self.rev, self.proposals, self.next):
            store.clear()
        self.asked.clear()
        self.history = {"undo": [], "redo": []}

    def volume(self, image: int) -> NDArray:
        with self._making:
            if image not in self.pixels:
                self.pixels[image] = PICTURES[image].make()
            return self.pixels[image]

    def describe(self, image: int) -> dict:
        picture, volume = PICTURES[image], self.volume(image)
        return {
            "id": image,
            "name": picture.name,
            "kind": "volume" if volume.shape[0] > 1 else "image",
            "shape": volume.shape[:3],
            "channels": volume.shape[3] if volume.ndim == 4 else 1,
            "dtype": volume.dtype.name,
            "spacing_mm": picture.spacing_mm,
            "marks": picture.marks,
            "window": picture.window,
            "range": [float(volume.min()), float(volume.max())],
            "presets": [],
            "modality": "CT",
            "rev": self.rev.get(image, 0),
            "slices": self.slices.get(image, []),
            "problems": [],
        }

    def answer(self, path: str, query: dict[str, int]) -> tuple[str, bytes, int]:
        """Kind, body and revision for a path below /api/."""
        parts = path.split("/")
        if parts == ["history"]:
            return "application/json", json.dumps(self.history).encode(), 0
        image = int(parts[1])
        volume = self.volume(image)
        span = slice(query.get("z0", 0), query.get("z1"))
        blank = np.broadcast_to(np.uint8(UNLABELLED), volume.shape[:3])
        if parts[2:] == ["next-slice"]:
            nothing = {"axis": None, "index": None, "reason": "Nothing here is in doubt."}
            return "application/json", json.dumps(self.next.get(image, nothing)).encode(), 0
        if parts[2:] == ["prediction"]:
            return self._proposal(image, span if "z0" in query else None)
        if len(parts) == 2:
            return "application/json", json.dumps(self.describe(image)).encode(), 0
        array = {
            "pixels": lambda: volume[span],
            "slice": lambda: volume[(slice(None),) * int(parts[3]) + (int(parts[4]),)],
            "labels": lambda: self.labels.get(image, blank)[span],
            "instances": lambda: self.objects.get(image, np.zeros(volume.shape[:3], np.uint16))[span],
        }[parts[2]]()
        return "application/octet-stream", np.ascontiguousarray(array).tobytes(), self.rev.get(image, 0)

    def _proposal(self, image: int, span: slice | None) -> tuple[str, bytes, int]:
        """The list of pseudo-labels, or a slab of classes and confidence."""
        if span is not None:
            return "application/octet-stream", np.stack([p[span] for p in self.proposals[image]]).tobytes(), 0
        row = {"id": PREDICTION, "producer": "walker", "kind": "propagated", "behind": False}
        facts = {"predictions": [row] if image in self.proposals else [], "running": False, "propagators": []}
        return "application/json", json.dumps(facts).encode(), 0


class Handler(BaseHTTPRequestHandler):
    fake: Fake

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        try:
            if url.path.startswith("/api/"):
                self.fake.asked.append(self.path)
                said = parse_qs(url.query)
                query = {key: int(value[0]) for key, value in said.items() if value[0].isdigit()}
                self._send(*self.fake.answer(url.path.removeprefix("/api/"), query))
            else:
                file = self._file(url.path)
                self._send(KINDS[file.suffix], file.read_bytes(), 0)
        except (KeyError, OSError, ValueError, IndexError):
            self.send_error(404)

    def _file(self, path: str) -> Path:
        if path.startswith("/ui/"):
            return STATIC / path.removeprefix("/ui/")
        return HERE / (path.removeprefix("/") or "index.html")

    def _send(self, kind: str, body: bytes, rev: int) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("x-revision", str(rev))
        self.send_header("x-prediction", str(PREDICTION))
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def start(fake: Fake, port: int = 0) -> ThreadingHTTPServer:
    """A server on a free port in its own thread; `shutdown()` and `server_close()` end it."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"fake": fake}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    running = start(Fake(), 8123)
    print("http://127.0.0.1:8123/?image=3&auto=1  (Enter ends)")
    input()
    running.shutdown()
