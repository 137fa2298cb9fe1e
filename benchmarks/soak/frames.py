"""Memory of a real server under large frames: three tabs send such that are too large, and then such that just fit.

python -m benchmarks.soak.frames
"""

import contextlib
import logging
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from websockets.exceptions import ConnectionClosed

from annotator.protocol.frames import MAX_FRAME, pack
from benchmarks.common import Row, machine_line, table
from tests.support.chromium import start_server
from tests.support.socket_client import SocketClient, label_message

TABS, FRAMES = 3, 16
TOO_LARGE = 60_000_000
AFTER_SECONDS = 15.0
PATIENCE = 60.0  # for an answer on a busy machine


def main() -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it logs that the server cuts it off
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder), "--example", "gallery", "--no-fill")
        process = psutil.Process(server.process.pid)
        try:
            SocketClient(server.address).close()
            rows = [Row("server", "idle", "MB", megabytes(process))]
            for name, size in (("60 MB frames", TOO_LARGE), ("frames that just fit", MAX_FRAME - (1 << 20))):
                peak, refused = under_fire(server.address, process, size)
                time.sleep(AFTER_SECONDS)
                rows.append(Row("server", name, "MB at most", peak, TABS * FRAMES))
                rows.append(Row("server", name, "MB 15 s later", megabytes(process), TABS * FRAMES))
                rows.append(Row("server", name, "tabs cut off", refused, TABS))
        finally:
            server.stop()
    print(table(rows))
    print(machine_line())


def under_fire(address: str, process: psutil.Process, size: int) -> tuple[float, int]:
    """The most memory while every tab sends its frames, and how many tabs were cut off."""
    message = label_message(1, 0, 0, np.zeros((2, 2), np.uint8))
    frame, cut, done, most = pack(message, bytes(size)), [0], threading.Event(), [0.0]

    def send() -> None:
        tab = SocketClient(address)
        try:
            for _ in range(FRAMES):
                tab.socket.send(frame)
            for _ in range(FRAMES):
                tab.socket.recv(PATIENCE)
        except ConnectionClosed:
            cut[0] += 1
        with contextlib.suppress(ConnectionClosed):
            tab.close()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], megabytes(process))

    senders = [threading.Thread(target=send) for _ in range(TABS)]
    watching = threading.Thread(target=watch)
    for thread in (watching, *senders):
        thread.start()
    for sender in senders:
        sender.join()
    done.set()
    watching.join()
    return most[0], cut[0]


def megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


if __name__ == "__main__":
    main()
