"""Label Studio itself at work with our server: the calls that its people's clicks cause, and what came of each.

    python -m benchmarks.hub.labelstudio_real ADDRESS TOKEN

ADDRESS and TOKEN are those of a running Label Studio 1.23.2 on this computer, started with `label-studio start` and
`LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false`: by default it refuses
addresses of this computer. It gets a new project.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from annotator.dialects.labelstudio.rle import decode, encode
from benchmarks.hub.__main__ import serving
from benchmarks.hub.labelstudio import SIDE, pre_annotated
from storage.store import Store

COUNT = 12  # pictures
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="one"/><Label value="two"/></BrushLabels>
<KeyPointLabels name="click" toName="image" smart="true"><Label value="one"/></KeyPointLabels></View>"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("address")
    options.add_argument("token")
    asked = options.parse_args()
    for line in tried_with(asked.address, asked.token):
        print(line, flush=True)


def tried_with(address: str, token: str) -> Iterator[str]:
    """A line for each thing that people do."""
    headers = {"authorization": f"Token {token}"}
    with (
        tempfile.TemporaryDirectory() as folder,
        httpx.Client(base_url=address, headers=headers, timeout=120, follow_redirects=True) as studio,
    ):
        store = pre_annotated(Path(folder), COUNT)
        with serving(store) as (_, port):
            yield from LabelStudioSession(studio, store, f"http://127.0.0.1:{port}/labelstudio").lines()


class LabelStudioSession:
    """One project of Label Studio."""

    def __init__(self, studio: httpx.Client, store: Store, ours: str) -> None:
        self.studio, self.store, self.ours = studio, store, ours
        about = {"title": f"Slicewise {time.time():.0f}", "label_config": CONFIG}
        self.project = self.call("POST", "/api/projects/", json=about)["id"]
        self.model: dict[str, Any] = {}

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.studio.request(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else {}

    def lines(self) -> Iterator[str]:
        yield f"Label Studio {self.call('GET', '/api/version')['release']}"
        for name, work in (
            ("import of pictures", self._import),
            ("connect model (health, setup)", self._connect),
            ("retrieve predictions", self._retrieve),
            ("smart click", self._click),
            ("webhook, annotation created", self._annotate),
        ):
            yield f"{name}: {_tried(work)}"

    def _import(self) -> str:
        files = [(f"file{n}", (f"{n:05}.png", _png(self.store, n), "image/png")) for n in range(COUNT)]
        told = self.call("POST", f"/api/projects/{self.project}/import", files=files)
        return f"{told['task_count']} tasks"

    def _connect(self) -> str:
        about = {"project": self.project, "url": self.ours, "title": "Slicewise", "is_interactive": True}
        self.model = self.call("POST", "/api/ml/", json=about)
        assert self.model["state"] == "CO", self.model
        return f"connected, version {self.model['model_version']!r}"

    def _tasks(self) -> list[dict[str, Any]]:
        told = self.call("GET", f"/api/tasks?project={self.project}&fields=all&page_size=100")
        return sorted(told["tasks"], key=lambda task: str(task["data"]["image"]).rpartition("-")[2])

    def _retrieve(self) -> str:
        asked = {"selectedItems": {"all": True, "excluded": []}}
        began = time.perf_counter()
        self.call("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={self.project}", json=asked)
        seconds = time.perf_counter() - began
        same = 0
        for n, task in enumerate(self._tasks()):
            (prediction,) = task["predictions"]
            values = {row.name: row.id for row in self.store.classes()}
            found = np.zeros((SIDE, SIDE), np.uint8)
            for region in prediction["result"]:
                mask = decode(region["value"]["rle"], found.shape)
                found[mask] = values[region["value"]["brushlabels"][0]]
            proposed = self.store.predictions.newest(n + 1)
            assert proposed is not None
            same += np.array_equal(found, proposed.classes()[0])
        assert same == COUNT, f"{same} of {COUNT} are the proposals"
        return f"{same} of {COUNT} tasks show the very proposal, in {seconds:.1f} s"

    def _click(self) -> str:
        task = self._tasks()[0]
        proposed = self.store.predictions.newest(1)
        assert proposed is not None
        truth = proposed.classes()[0] == 1
        row, column = np.argwhere(truth)[truth.sum() // 2]
        place = {"x": 100 * (column + 0.5) / SIDE, "y": 100 * (row + 0.5) / SIDE, "width": 0.3}
        about = {"original_width": SIDE, "original_height": SIDE, "from_name": "click", "to_name": "image"}
        click = {
            **about,
            "type": "keypointlabels",
            "is_positive": 1,
            "value": {**place, "keypointlabels": ["one"]},
        }
        asked = {"task": task["id"], "context": {"result": [click]}}
        told = self.call("POST", f"/api/ml/{self.model['id']}/interactive-annotating", json=asked)
        (region,) = told["data"]["result"]
        mask = decode(region["value"]["rle"], (SIDE, SIDE))
        assert mask[row, column], told
        return f"a brush mask of {int(mask.sum())} pixels"

    def _annotate(self) -> str:
        hook = {
            "url": f"{self.ours}/webhook",
            "project": self.project,
            "send_payload": True,
            "send_for_all_actions": False,
            "actions": ["ANNOTATION_CREATED", "ANNOTATION_UPDATED"],
        }
        self.call("POST", "/api/webhooks/", json=hook)
        mask = np.zeros((SIDE, SIDE), np.bool_)
        mask[20:60, 30:90] = True
        about = {"original_width": SIDE, "original_height": SIDE, "image_rotation": 0, "type": "brushlabels"}
        value = {"format": "rle", "rle": encode(mask), "brushlabels": ["two"]}
        region = {**about, "from_name": "brush", "to_name": "image", "value": value}
        task = self._tasks()[1]
        self.call("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": [region]})
        until = time.monotonic() + 30
        while not self.store.labels(2) and time.monotonic() < until:
            time.sleep(0.1)
        assert self.store.labels(2), "no label came within 30 s"
        return f"{len(self.store.labels(2))} label events here"


def _tried(work: Callable[[], str]) -> str:
    try:
        return f"works: {work()}"
    except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
        return f"FAILED: {error}"


def _png(store: Store, number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array(store.pixels(number + 1))[0]).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
