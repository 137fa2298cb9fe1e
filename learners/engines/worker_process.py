"""How a worker behaves beside the person: it gives way, uses few threads, and ends with the app."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

import psutil

LEAST = 15  # of what lasts for days: below rounds at NICE, and not so low that a busy machine starves it
NICE = 10  # beside a learner at the same priority a click waits twice as long (measured)


def set_up_worker(threads: int, nice: int = NICE) -> None:
    """In a worker: give way to the person (unless `nice` is 0: it answers one), use few threads, and end with the
    parent, not before it: Ctrl+C and service managers signal all processes of the app, and a round that dies so would
    look like one that cannot be run."""
    lower_process_priority(threads, nice)
    parent = multiprocessing.parent_process()
    if parent is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def lower_process_priority(threads: int, nice: int = NICE) -> None:
    """Doing it twice changes nothing. With `nice` 0 the priority stays the server's own."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if nice:
        lower_priority(nice)
    import torch

    torch.set_num_threads(threads)


def lower_priority(nice: int = NICE) -> None:
    """Of this process, by so much below the app's, which a service may have lowered too. Doing it twice changes
    nothing."""
    with contextlib.suppress(OSError, psutil.Error):
        if sys.platform == "win32":  # which knows classes of priority, and no numbers
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(max(0, _niceness_of_the_app() + nice - os.nice(0)))


def _niceness_of_the_app() -> int:
    """0 where this process is not one that it started."""
    parent = multiprocessing.parent_process()
    return 0 if parent is None or parent.pid is None else psutil.Process(parent.pid).nice()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
