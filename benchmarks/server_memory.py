"""Peak memory of a real server while a tab reads one volume whole, prompts on it and labels it.

Prints the peak and the idle resident size in MB. Needs a project with one volume as image 1.
"""

import sys
import threading
from pathlib import Path

import numpy as np
import psutil

from tests.support.chromium import start_server
from tests.support.socket_client import SocketClient


def main() -> None:
    project = Path(sys.argv[1])
    server = start_server(project.parent, "--project", str(project))
    process = psutil.Process(server.process.pid)
    idle = process.memory_info().rss / 1e6
    watch = MemoryWatch(process)
    browser = SocketClient(server.address)
    use(browser)
    peak = watch.stop()
    browser.close()
    server.stop()
    print(f"{peak:.0f} {idle:.0f}")


def use(browser: SocketClient) -> None:
    """What a page does with a volume in its first minute."""
    browser.http.post("/api/classes", json={"op": "add", "name": "one"}).raise_for_status()
    image = browser.http.get("/api/images/1").raise_for_status().json()
    depth, rows, columns = image["shape"]
    for z in range(0, depth, 16):
        browser.http.get(
            "/api/images/1/pixels", params={"z0": z, "z1": min(depth, z + 16)}
        ).raise_for_status()
    browser.http.get("/api/images/1/labels", params={"z0": 0, "z1": depth}).raise_for_status()
    for axis, index in ((0, depth // 2), (1, rows // 2), (2, columns // 2)):
        message = {
            "t": "predict",
            "seq": axis + 1,
            "image": 1,
            "axis": axis,
            "index": index,
            "box": None,
            "view": None,
        }
        points = {"points": [[20.0, 30.0]], "labels": [1], "scribbles": [], "mask_box": None}
        browser.send({**message, **points, "window": image["window"]})
        browser.wait("mask", seq=axis + 1)
        browser.label(1, axis, index, np.ones((20, 30), np.uint8), instance=-1)


class MemoryWatch:
    """Samples the resident size in a thread of its own."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._peak, self._done = process, 0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.02):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def stop(self) -> float:
        """The peak in MB."""
        self._done.set()
        self._thread.join()
        return self._peak / 1e6


if __name__ == "__main__":
    main()
