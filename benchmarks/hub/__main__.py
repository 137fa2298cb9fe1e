"""What a click of another tool takes above the model's own time, and what real clients of MONAI Label do.

    python -m benchmarks.hub [--clients PYTHON]

A server answers over loopback. What its models took for the very same click it says itself. PYTHON is an interpreter
that has `monailabel` 0.8.5 and `requests` (Python 3.12 or older); its calls sign in.
"""

import argparse
import http.client
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import uvicorn

from annotator.prompting.service import PromptService
from annotator.prompting.workers.prompt_workers import make_prompt_workers
from annotator.server import App, assemble
from annotator.server_settings import ServerSettings
from annotator.workflow import Workflow
from benchmarks.common import machine
from storage.scan import Scan
from storage.store import Store


@dataclass(frozen=True)
class Ball:
    """A volume with a bright ball in noise, (Z, Y, X)."""

    shape: tuple[int, int, int]
    centre: tuple[int, int, int]
    radius: int


LARGE, SMALL = Ball((128, 256, 256), (60, 120, 140), 40), Ball((32, 64, 72), (15, 30, 35), 10)
WHO = "ann", "a password for an hour"
CALLS = Path(__file__).with_name("monai_calls.py")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--clients", help="an interpreter that has the clients, whose calls are tried instead"
    )
    options.add_argument(
        "--times", type=int, default=15, help="clicks on a slice; a fifth of them in the volume"
    )
    asked = options.parse_args()
    print(json.dumps(machine()))
    volume = SMALL if asked.clients else LARGE
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), volume) as (app, port):
        if asked.clients:
            app.context.sessions.accounts.add_user(*WHO)
            point = ",".join(map(str, reversed(volume.centre)))
            subprocess.run([asked.clients, str(CALLS), f"http://127.0.0.1:{port}/monai", folder, point, *WHO])
            return
        for model, times in (("click_slice", asked.times), ("click_volume", max(3, asked.times // 5))):
            print(measured(port, model, times), flush=True)


@contextmanager
def running(folder: Path, volume: Ball) -> Iterator[tuple[App, int]]:
    """A server with one volume of a bright ball in noise."""
    store = Store(folder / "project")
    store.add_class("ball")
    grid = np.ogrid[tuple(slice(n) for n in volume.shape)]
    inside = sum((axis - at) ** 2 for axis, at in zip(grid, volume.centre, strict=True)) < volume.radius**2
    noise = np.random.default_rng(0).normal(0, 10, volume.shape)
    pixels = (60 + 90 * inside + noise).astype(np.float32)
    store.add_image(Scan("ball", pixels, (1.0, 1.0, 1.0), None))
    with serving(store) as served:
        yield served


@contextmanager
def serving(store: Store) -> Iterator[tuple[App, int]]:
    """A server for other tools, and its port."""
    workflow = Workflow(store, PromptService(store, workers=make_prompt_workers(1, "process", None)))
    app = assemble(
        workflow,
        ServerSettings(serve=("monai", "labelstudio", "nninteractive"), learn=False),
        with_page=False,
    )
    server = uvicorn.Server(uvicorn.Config(app.guard, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield app, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        workflow.close()


def measured(port: int, model: str, times: int) -> str:
    """One line: medians, and what the dialect adds to what the models took for the same click. Models answer in other
    processes, so that the processor time of this one is what the dialect costs, however busy the machine is."""
    own, whole, worked = [], [], []
    for n in range(times + 1):
        z, y, x = LARGE.centre
        params = {"foreground": [[x, y, z + n]], "label": "ball"}  # on a slice that nobody asked about yet
        began, busy = time.perf_counter(), time.process_time()
        answer = posted(port, model, params)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        if n:  # the first loads the model
            whole.append(seconds)
            own.append(told_ms(answer) / 1000)
            worked.append(busy)
    added = median(b - a for a, b in zip(own, whole, strict=True))
    return (
        f"{model}: {1000 * median(whole):.0f} ms, of that {1000 * median(own):.0f} ms of the models; "
        f"added {1000 * added:.0f} ms, ratio {median(whole) / median(own):.2f}, "
        f"{1000 * median(worked):.0f} ms of processor in server and client (n = {times})"
    )


def told_ms(answer: bytes) -> float:
    """What the server says that its models took."""
    head = answer.partition(b"application/json\r\n\r\n")[2].partition(b"\r\n")[0]
    return float(json.loads(head)["latencies"]["infer"])


def posted(port: int, model: str, params: dict[str, Any]) -> bytes:
    """As a client does it: a new connection, a form, the whole mask back."""
    head = b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n'
    body = head + json.dumps(params).encode() + b"\r\n--x--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    told = {"content-type": "multipart/form-data; boundary=x"}
    connection.request("POST", f"/monai/infer/{model}?image=1-ball", body, told)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return content


if __name__ == "__main__":
    main()
