"""How much of a core a server takes while nobody does anything: with no page open, and with one quiet page.

    python -m benchmarks.soak.idle [--seconds 60]

Reads the processor time that the system counted for the server's process and its children.
"""

import argparse
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from benchmarks.common import machine_line
from tests.support.chromium import ARGUMENTS, CHROMIUM, RunningServer, new_context, open_page, start_server

LOOK = 10.0  # seconds of each look whether what a start or a page brings is done
LOOKS, BUSY = 18, 1.0  # percent of a core; prompt workers warm up for some 40 s on a busy machine


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=60)
    seconds = options.parse_args().seconds
    print(f"{seconds:g} s each, {machine_line()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder), learn=True)
        try:
            print(f"no page open: {_share(server, seconds):.2f} % of a core", flush=True)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                open_page(new_context(browser).new_page(), server.address)
                print(f"one quiet page: {_share(server, seconds):.2f} % of a core", flush=True)
                browser.close()
        finally:
            server.stop()


def _share(server: RunningServer, seconds: float) -> float:
    """Percent of one core, of the server and of all its processes, once the start's own work is done."""
    time.sleep(LOOK)
    for _ in range(LOOKS):
        if _share_now(server, LOOK) < BUSY:
            break
    return _share_now(server, seconds)


def _share_now(server: RunningServer, seconds: float) -> float:
    before, began = _spent(server), time.monotonic()
    time.sleep(seconds)
    return 100 * (_spent(server) - before) / (time.monotonic() - began)


def _spent(server: RunningServer) -> float:
    """Seconds of processor time."""
    top = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


if __name__ == "__main__":
    main()
