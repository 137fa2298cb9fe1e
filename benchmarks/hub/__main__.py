"""What a click of another tool takes above the model's own time, and what real clients of MONAI Label do.

    python -m benchmarks.hub [--clients PYTHON]

A server answers over loopback; the model's own time is that of the same question in the same process, taken in turns
with it. PYTHON is an interpreter that has `monailabel` 0.8.5 and `requests` (Python 3.12 or older).
"""

import argparse
import http.client
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import uvicorn

from annotator.dialects.monai.asked import asked_of
from annotator.dialects.subjects import subject_of
from annotator.dialects.volume_masks import mask_by_clicks
from annotator.prompting.prompt_workers import make_prompt_workers
from annotator.prompting.service import PromptService
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
            point = ",".join(map(str, reversed(volume.centre)))
            subprocess.run([asked.clients, str(CALLS), f"http://127.0.0.1:{port}/monai", folder, point])
            return
        for model, times in (("click_slice", asked.times), ("click_volume", max(3, asked.times // 5))):
            print(measured(app.context.workflow, port, model, times), flush=True)


@contextmanager
def running(folder: Path, volume: Ball) -> Iterator[tuple[App, int]]:
    """A server with one volume of a bright ball in noise."""
    store = Store(folder / "project")
    store.add_class("ball")
    grid = np.ogrid[tuple(slice(n) for n in volume.shape)]
    inside = sum((axis - at) ** 2 for axis, at in zip(grid, volume.centre, strict=True)) < volume.radius**2
    noise = np.random.default_rng(0).normal(0, 10, volume.shape)
    store.add_image(Scan("ball", (60 + 90 * inside + noise).astype(np.float32), (1.0, 1.0, 1.0), None))
    workflow = Workflow(store, PromptService(store, workers=make_prompt_workers(1, "process", None)))
    app = assemble(workflow, ServerSettings(serve=("monai", "labelstudio"), learn=False), with_page=False)
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


def measured(workflow: Workflow, port: int, model: str, times: int) -> str:
    """One line: medians, and what the dialect adds."""
    assert workflow.background is not None
    subject, flat = subject_of(workflow.store.image(1)), model == "click_slice"
    background = workflow.background
    alone, through = [], []
    for n in range(times + 1):
        params = {
            "foreground": [[LARGE.centre[2] + n % 5, LARGE.centre[1], LARGE.centre[0]]],
            "label": "ball",
        }
        clicks = asked_of(params, subject, flat=flat)
        who = "bench", subject
        direct = timed(partial(mask_by_clicks, workflow, background, who, clicks, flat=flat))
        over = timed(partial(posted, port, model, params))
        if n:  # the first loads the model
            alone.append(direct)
            through.append(over)
    added = [b - a for a, b in zip(alone, through, strict=True)]
    return (
        f"{model}: {1000 * median(through):.0f} ms, of that {1000 * median(alone):.0f} ms the model's own; "
        f"added {1000 * median(added):.0f} ms, ratio {median(through) / median(alone):.2f} (n = {times})"
    )


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


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
