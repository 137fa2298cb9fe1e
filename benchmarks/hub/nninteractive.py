"""What nnInteractive's own client does on our server, and what a click takes above the models' own time.

    python -m benchmarks.hub.nninteractive [--times 5]

Needs `nninteractive-client` 2.6.0. A server answers over loopback on a volume of 256 x 256 x 128, as the table of MONAI
Label. What models took for the very same click the server says itself.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import machine
from benchmarks.hub.__main__ import LARGE, SMALL, Ball, running
from storage.store import Store


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--times", type=int, default=5, help="clicks that are measured")
    asked = options.parse_args()
    print(json.dumps(machine()))
    with connected(SMALL) as (session, pixels, truth):
        for line in calls(session, pixels, truth):
            print(line, flush=True)
    with connected(LARGE) as (session, pixels, _):
        print(measured(session, pixels, asked.times))


@contextmanager
def connected(ball: Ball) -> Iterator[tuple[Any, NDArray[np.float32], NDArray[np.bool_]]]:
    """The client, a volume (Z, Y, X) and where its ball is."""
    from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession as RemoteSession

    with tempfile.TemporaryDirectory() as folder, running(Path(folder), ball) as (_, port):
        store = Store.read_only(Path(folder) / "project")
        pixels = np.array(store.pixels(1), np.float32)
        store.close()
        grid = np.ogrid[tuple(slice(n) for n in ball.shape)]
        squares = (((axis - at) / ball.radius) ** 2 for axis, at in zip(grid, ball.centre, strict=True))
        with RemoteSession(f"http://127.0.0.1:{port}/nninteractive") as session:
            yield session, pixels, np.asarray(sum(squares) < 1)


def calls(session: Any, pixels: NDArray[np.float32], truth: NDArray[np.bool_]) -> Iterator[str]:
    """Everything that the client can ask, and what came of it."""
    yield f"ping {session.ping()}, capabilities {session.supported_interactions}"
    session.set_image(pixels[None], {"spacing": [1.0, 1.0, 1.0]})
    mask = np.zeros(pixels.shape, np.uint8)
    session.set_target_buffer(mask)
    centre = [int(v) for v in np.argwhere(truth).mean(axis=0)]

    def told(what: str) -> str:
        overlap = 2 * np.sum(truth & (mask > 0)) / max(1, truth.sum() + mask.sum())
        return f"{what}: Dice {overlap:.2f}"

    session.add_point_interaction(centre, True)
    yield told("point")
    outside = [centre[0], 1, 1]
    session.add_point_interaction(outside, False)
    yield told("point that is not the object")
    yield f"undo {session.undo()}, {told('then')}"
    session.reset_interactions()
    rows, columns = np.flatnonzero(truth[centre[0]].any(1)), np.flatnonzero(truth[centre[0]].any(0))
    box = [[centre[0], centre[0] + 1], [rows[0], rows[-1] + 1], [columns[0], columns[-1] + 1]]
    session.add_bbox_interaction([[int(a), int(b)] for a, b in box], True)
    yield told("box")
    session.reset_interactions()
    stroke = np.zeros(pixels.shape, np.uint8)
    stroke[centre[0] - 3 : centre[0] + 4, centre[1], centre[2]] = 1  # a stroke across slices
    session.add_scribble_interaction(stroke, True)
    yield told("scribble in another plane")
    session.reset_interactions()
    around = np.zeros(pixels.shape, np.uint8)
    around[:, centre[1]] = truth[:, centre[1]]
    session.add_lasso_interaction(around, True)
    yield told("lasso")
    session.reset_interactions()
    session.add_initial_seg_interaction((truth & (np.indices(truth.shape)[2] <= centre[2])).astype(np.uint8))
    yield told("half of it as initial segmentation")
    session.add_point_interaction([centre[0], centre[1], centre[2] + 4], True)
    yield told("then a point in the other half")
    session.set_do_autozoom(False)
    yield f"heartbeat {session.heartbeat() > 0}, lease {session.lease_status()['remaining_seconds'] > 0}"


def measured(session: Any, pixels: NDArray[np.float32], times: int) -> str:
    models: list[float] = []
    session._http.event_hooks["response"].append(
        lambda answer: models.append(json.loads(answer.headers.get("x-meta", "{}")).get("ms", 0) / 1000)
    )
    began = time.perf_counter()
    session.set_image(pixels[None], {"spacing": [1.0, 1.0, 1.0]})
    sent = time.perf_counter() - began
    session.set_target_buffer(np.zeros(pixels.shape, np.uint8))
    added, whole = [], []
    for n in range(times + 1):
        z, y, x = LARGE.centre
        began = time.perf_counter()
        session.add_point_interaction([z + n, y, x], True)
        seconds = time.perf_counter() - began
        if n:  # the first loads the model
            whole.append(seconds)
            added.append(seconds - models[-1])
    return (
        f"image sent in {sent:.2f} s; a click takes {1000 * median(whole):.0f} ms, of that "
        f"{1000 * median(added):.0f} ms above the models (n = {times})"
    )


if __name__ == "__main__":
    main()
