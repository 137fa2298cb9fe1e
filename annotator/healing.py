"""A project that could not be written is opened anew as soon as it can be."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from storage.safety.writable import can_be_written

log = logging.getLogger(__name__)

TRY_SECONDS = 5.0


async def open_when_writable(root: Path, heal: Callable[[], None]) -> None:
    """Call `heal` once there is room and the folder may be written; for the event loop."""
    while not await asyncio.to_thread(can_be_written, root):
        await asyncio.sleep(TRY_SECONDS)
    log.info("the project can be written again, so it is opened anew")
    heal()
