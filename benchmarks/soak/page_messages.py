"""What open pages are sent while one person labels and a learner trains.

    python -m benchmarks.soak.page_messages [--tabs 10] [--minutes 3]

Every tab has an image of the demo open, half of them the one that is labelled. A slice is labelled every ten seconds.
Prints messages and bytes by kind, of all tabs together and of one tab in a minute.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from websockets.exceptions import ConnectionClosed

from annotator.protocol.frames import encode_runs, unpack
from benchmarks.common import machine_line
from tests.support.chromium import start_server
from tests.support.socket_client import SocketClient, label_message

EVERY_SECONDS = 10.0


class Tab:
    """Reads whatever it is sent, in a thread of its own."""

    def __init__(self, address: str, image: int) -> None:
        self.client = SocketClient(address)
        self.client.send({"t": "open", "image": image})
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.client.close()
        self._thread.join(10)

    def _read(self) -> None:
        try:
            for frame in self.client.socket:
                assert isinstance(frame, bytes)
                kind = unpack(frame)[0]["t"]
                self.messages[kind] += 1
                self.bytes[kind] += len(frame)
        except ConnectionClosed:
            return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder), "--example", "demo", "--no-download", learn=True)
        try:
            tabs = [Tab(server.address, 1 if n % 2 else 2 + n // 2 % 10) for n in range(options.tabs)]
            _label(tabs[1 % len(tabs)].client, options.minutes * 60)
            for tab in tabs:
                tab.close()
        finally:
            server.stop()
    _print(tabs, options.minutes)


def _label(client: SocketClient, seconds: float) -> None:
    """One person, slice after slice of volume 1: some object in it, and all else background."""
    client.http.post("/api/classes", json={"op": "add", "name": "thing"}).raise_for_status()
    depth, rows, columns = client.http.get("/api/images/1").raise_for_status().json()["shape"]
    until, at = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        index = (depth // 2 + 3 * at) % depth
        classes = np.full((rows // 3, columns // 3), 1, np.uint8)
        client.send(label_message(1, 0, index, classes, at=(rows // 3, columns // 3)), encode_runs(classes))
        complete = {"t": "complete", "id": f"{at:032x}", "image": 1, "axis": 0, "index": index, "on": True}
        client.send(complete)
        at += 1
        time.sleep(min(EVERY_SECONDS, max(0.0, until - time.monotonic())))


def _print(tabs: list[Tab], minutes: float) -> None:
    messages = sum((tab.messages for tab in tabs), Counter())
    sizes = sum((tab.bytes for tab in tabs), Counter())
    share = len(tabs) * minutes
    print(f"{len(tabs)} tabs, {minutes:g} minutes, {machine_line()}")
    print("| message | all tabs | a tab and minute | kB a tab and minute |\n| --- | --- | --- | --- |")
    for kind, count in messages.most_common():
        print(f"| `{kind}` | {count:,} | {count / share:.1f} | {sizes[kind] / share / 1000:.2f} |")
    print(
        f"| all | {messages.total():,} | {messages.total() / share:.1f} | {sizes.total() / share / 1000:.2f} |"
    )


if __name__ == "__main__":
    main()
