"""How many tasks a second get their pre-annotation through Label Studio's dialect, and where the time goes.

    python -m benchmarks.hub.labelstudio [--pictures 400]

Pictures of 512 x 512 with twelve objects of two classes, which a learner has proposed: no model runs, so that all
of the time is the dialect's. A server answers over loopback, and the whole answer is read.
Server and client share a process, so that the processor time is that of both.
"""

import argparse
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, machine
from benchmarks.hub.__main__ import serving
from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store

SIDE, OBJECTS, RADIUS = 512, 12, 30
BATCHES = 1, 10, 100
CONFIG = """<View><Image name="image" value="$image"/><{kind} name="mark" toName="image">
<Label value="one"/><Label value="two"/></{kind}></View>"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pictures", type=int, default=400)
    count = options.parse_args().pictures
    print(json.dumps(machine()))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = pre_annotated(Path(folder), count)
        with serving(store) as (_, port):
            predict(port, "BrushLabels", [0])
            for kind in ("BrushLabels", "RectangleLabels"):
                rows += [row for size in BATCHES for row in measured(port, kind, size, count)]
    finish(rows, None)


def pre_annotated(folder: Path, count: int) -> Store:
    store = Store(folder / "project")
    classes = [store.add_class(name).id for name in ("one", "two")]
    for n in range(count):
        rng = np.random.default_rng(n)
        truth = discs(rng, classes)
        pixels = (60 + 60 * truth + rng.normal(0, 10, truth.shape)).clip(0, 255).astype(np.uint8)
        image = store.add_image(Scan(f"set/{n:05}.png", pixels, None, None))
        sure = np.full(truth.shape, 200, np.uint8)
        store.predictions.add(NewPrediction(image, "supervised", "predicted", 0, truth, sure))
    return store


def discs(rng: np.random.Generator, classes: list[int]) -> NDArray[np.uint8]:
    """(1, SIDE, SIDE)."""
    truth, (rows, columns) = np.zeros((1, SIDE, SIDE), np.uint8), np.ogrid[:SIDE, :SIDE]
    for number in range(OBJECTS):
        row, column = rng.integers(0, SIDE, 2)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < RADIUS**2
        truth[0][inside] = classes[number % len(classes)]
    return truth


def measured(port: int, kind: str, size: int, count: int) -> list[Row]:
    """All tasks, so many in one question."""
    began, busy = time.perf_counter(), time.process_time()
    for start in range(0, count, size):
        answer = predict(port, kind, list(range(start, min(start + size, count))))
        assert all(one["result"] for one in answer["results"])
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    asked = f"{size} tasks a question"
    return [
        Row(kind, asked, "tasks a second", round(count / seconds, 1), count, 0, seconds),
        Row(kind, asked, "ms of processor a task", round(1000 * busy / count, 1), count, 0, seconds),
    ]


def predict(port: int, kind: str, numbers: list[int]) -> Any:
    """As the connector of Label Studio asks."""
    tasks = [{"id": n, "data": {"image": f"/data/upload/1/0a1b2c3d-{n:05}.png"}} for n in numbers]
    said = {"tasks": tasks, "label_config": CONFIG.format(kind=kind), "project": "1.1", "params": {}}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/labelstudio/predict", json.dumps(said), {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return json.loads(content)


if __name__ == "__main__":
    main()
