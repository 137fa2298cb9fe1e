"""What this machine has, and how a thread of the server behaves beside the person."""

import contextlib
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
