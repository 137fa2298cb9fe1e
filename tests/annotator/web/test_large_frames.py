"""Large frames: refused before they are read, few of them in memory, and the memory given back."""

import asyncio
import threading
import time

import numpy as np
import psutil
import pytest

from annotator.byte_queue import ByteQueue
from annotator.protocol.frames import MAX_FRAME, pack
from annotator.protocol.incoming import CompleteMessage
from annotator.workflow import Workflow
from tests.annotator.test_server import running, signed_in, workflow  # noqa: F401
from tests.conftest import ROOT
from tests.support.asgi_client import small_app
from tests.support.socket_client import label_message

TABS, FRAMES = 3, 16
HELD_MB = 500  # by all tabs together, with what sends them here; all their frames are 624
STUCK_SECONDS = 3.0  # for so long nothing can be saved
KEPT_MB = 120


def megabytes() -> float:
    return psutil.Process().memory_info().rss / 1e6


def test_the_page_knows_the_servers_limit():
    script = (ROOT / "annotator" / "page" / "static" / "net" / "frame.js").read_text("utf-8")
    assert f"MAX_FRAME = {MAX_FRAME >> 20} * 2 ** 20;" in script


def test_many_large_frames_cost_little_memory_and_it_is_given_back(
    workflow: Workflow,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    commit, gate = workflow.commit, threading.Event()
    monkeypatch.setattr(workflow, "commit", lambda *given: (gate.wait(60), commit(*given))[1])
    message = label_message(1, 0, 0, np.zeros((2, 2), np.uint8))
    frame = pack(message, bytes(MAX_FRAME - (1 << 20)))
    with running(small_app(workflow)) as (_, address):
        tabs = [signed_in(address) for _ in range(TABS)]
        before, most = megabytes(), [0.0]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                most[0] = max(most[0], megabytes())

        watching = threading.Thread(target=watch)
        watching.start()
        senders = [threading.Thread(target=send, args=(tab, frame)) for tab in tabs]
        for sender in senders:
            sender.start()
        opening = threading.Timer(STUCK_SECONDS, gate.set)
        opening.start()
        for sender in senders:
            sender.join(60)
        done.set()
        watching.join()
        for tab in tabs:
            tab.close()
        assert most[0] - before < HELD_MB
        until = time.monotonic() + 20
        while megabytes() - before > KEPT_MB:
            assert time.monotonic() < until, f"{megabytes() - before:.0f} MB are kept"
            time.sleep(0.1)


def send(tab, frame: bytes) -> None:
    """Until every frame was answered, or the server closed the connection."""
    try:
        for _ in range(FRAMES):
            tab.send(frame)
        for _ in range(FRAMES):
            tab.recv(30)
    except Exception:  # noqa: BLE001  closed as a broken one: that is an answer too
        return


def test_a_queue_is_full_by_bytes_and_by_items_and_always_takes_one():
    async def story() -> None:
        queue = ByteQueue(items=2, payload_bytes=10)
        item = CompleteMessage(t="complete", id="a" * 32, image=1, axis=0, index=0, on=True)
        await queue.put((item, bytes(50)))  # alone, whatever its size
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await queue.put((item, b"1"))
        assert len((await queue.get() or (item, b""))[1]) == 50
        await queue.put((item, bytes(6)))
        await queue.put((item, bytes(4)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await queue.put((item, b""))
        await queue.end()
        assert [len(found[1]) if (found := await queue.get()) else None for _ in range(3)] == [6, 4, None]

    asyncio.run(story())
