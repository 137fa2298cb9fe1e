"""What this machine has, and how a thread of the server behaves beside the person."""

import contextlib
import ctypes
import os
import shutil
import sys
import threading


def has_gpu() -> bool:
    """Without loading torch: the driver's own tool."""
    return shutil.which("nvidia-smi") is not None


def lower_thread_priority() -> None:
    """Clicks come before what is made ahead of them. Only Linux can lower one thread (and those it starts)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def give_memory_back() -> None:
    """What was freed goes back to the system, in some milliseconds. The C library of Linux keeps it otherwise: a
    gigabyte after three pages had sent large frames."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
