"""kill -9 at any moment loses nothing that was acknowledged, and the project opens again."""

import contextlib
import random
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from annotator.protocol.frames import encode_runs
from storage.arrays import SliceRef
from storage.fold import fold
from storage.store import Store
from tests.conftest import ROOT, ball, drawn
from tests.support.chromium import RunningServer, start_server
from tests.support.socket_client import SocketClient, label_message

SCRIPT = """
import sys, uuid
from pathlib import Path
import numpy as np
from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store

store = Store(Path(sys.argv[1]))
n = store.newest_label()
print("open", flush=True)
while True:
    n += 1
    if n % 7 == 0:
        pixels = np.full((3, 40, 50), n % 250, np.uint8)
        print("image", store.add_image(Scan(f"s{n}", pixels, None, None)), n % 250, flush=True)
    value = n % 3 + 1
    classes = np.full((n % 5 + 1, n % 4 + 1), value, np.uint8)
    box = Box(0, 0, *classes.shape)
    row = store.add_label(NewLabel(SliceRef(1, n % 3, n % 9), Patch(box, classes), uuid.uuid4().hex, "ann"))
    print("label", row.id, value, flush=True)
    if n % 4 == 0:
        store.revoke(row.client_id, client_id=uuid.uuid4().hex, author="ann")
        print("revoke", row.id, flush=True)
"""


@pytest.mark.thorough
def test_fifteen_kills_of_a_writing_process_lose_nothing_acknowledged(tmp_path):
    project = tmp_path / "project"
    store = Store(project)
    store.add_image(ball()[0])
    store.close()
    chance = random.Random(1)
    labels: dict[int, int] = {}
    images: dict[int, int] = {}
    revoked: set[int] = set()
    unsure: set[int] = set()
    last = 0
    for _ in range(15):
        for line in acknowledged(project, chance.uniform(0.01, 0.25)):
            kind, number, *value = line.split()
            if kind == "label":
                labels[int(number)] = int(value[0])
                last = int(number)
            elif kind == "image":
                images[int(number)] = int(value[0])
            else:
                revoked.add(int(number))
        unsure.add(last)  # taking it back may have been durable although nobody was told any more
    store = Store(project)
    live = {row.id: row for row in store.labels(1)}
    assert len(labels) > 20 and images
    for label_id, value in labels.items():
        assert (label_id in live) == (label_id not in revoked) or label_id in unsure
        if label_id in live:
            assert (np.load(live[label_id].path)["classes"] == value).all()
    for image_id, value in images.items():
        assert (store.pixels(image_id) == value).all()
    assert fold((9, 17, 23), store.labels(1)).problems == []
    store.close()


def acknowledged(project: Path, seconds: float) -> list[str]:
    """What a process said it had made durable before it was killed; a line cut short does not count."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(project)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    time.sleep(seconds)
    process.kill()
    rest, _ = process.communicate()
    return [line for line in rest.split("\n")[:-1] if line]


@pytest.mark.slow
def test_a_killed_server_keeps_every_commit_it_acknowledged(tmp_path):
    project = tmp_path / "project"
    store = Store(project)
    store.add_image(ball()[0])
    store.add_class("one")
    store.close()
    chance = random.Random(2)
    acked: dict[int, tuple[int, int, int]] = {}
    for _ in range(4):
        server = start_server(tmp_path, "--project", str(project))
        browser = SocketClient(server.address)
        deadline = time.monotonic() + chance.uniform(0.2, 1.0)
        acked |= scripted_session(browser, chance, lambda at=deadline: time.monotonic() > at, server)
        server.kill()
    store = Store(project)
    rows = {row.id: row for row in store.labels(1)}
    assert len(acked) > 20
    for label_id, (axis, index, height) in acked.items():
        row = rows[label_id]
        assert (row.axis, row.index, row.box.shape[0]) == (axis, index, height)
    assert fold((9, 17, 23), store.labels(1)).problems == []
    store.close()


def scripted_session(
    browser: SocketClient, chance: random.Random, late, server: RunningServer
) -> dict[int, tuple[int, int, int]]:
    """Label without waiting, several in flight; the server dies in the middle. What it acknowledged until then."""
    sent: dict[str, tuple[int, int, int]] = {}
    acked: dict[int, tuple[int, int, int]] = {}
    for n in range(10_000):
        classes = np.ones((chance.randint(1, 8), 4), np.uint8)
        message = label_message(1, n % 3, chance.randint(0, 8), classes)
        sent[message["id"]] = (message["axis"], message["index"], classes.shape[0])
        try:
            browser.send(message, encode_runs(classes))
            if n % 3 == 2:
                ack, _ = browser.wait("ack", timeout=20)
                acked[ack["label"]] = sent[ack["id"]]
        except ConnectionClosed:
            break
        if late():
            server.process.kill()
    return acked | remaining(browser, sent)


def remaining(
    browser: SocketClient, sent: dict[str, tuple[int, int, int]]
) -> dict[int, tuple[int, int, int]]:
    """Acknowledgements that had reached this side before the connection broke."""
    out: dict[int, tuple[int, int, int]] = {}
    try:
        while True:
            ack, _ = browser.wait("ack", timeout=1)
            out[ack["label"]] = sent[ack["id"]]
    except (ConnectionClosed, TimeoutError):
        return out


@pytest.mark.thorough
def test_an_export_that_is_killed_leaves_nothing_or_a_whole_archive(tmp_path):
    project, target = tmp_path / "project", tmp_path / "out.zip"
    store = Store(project)
    store.add_class("one")
    for seed in range(40):
        image_id = store.add_image(ball((20, 60, 70), seed)[0])
        store.add_label(drawn(SliceRef(image_id, 0, 4), np.ones((30, 40), np.uint8)))
    before = store.newest_label()
    store.close()
    command = [sys.executable, "app.py", "export", str(target), "--project", str(project)]
    whole = 0
    for seconds in (1.2, 1.8, 2.4, 30):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        process.wait()
        if target.exists():
            whole += 1
            assert zipfile.ZipFile(target).testzip() is None
            target.unlink()
    assert whole, "the last one had time to end"
    store = Store(project)
    assert store.newest_label() == before and store.labels(1)
    store.close()
