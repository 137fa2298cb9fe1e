"""Processes beside a working server are killed, one or several, and a click and a label follow at once.

    python -m benchmarks.soak.processes --rounds 20

A server with two prompt workers, a learner and fills. Each round kills one process, two, or all that answer prompts,
learn and fill. The click must get its mask and the label must be saved, however that was.
"""

import argparse
import random
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from annotator.protocol.frames import unpack
from benchmarks.common import machine_line
from benchmarks.load import click_once, make_project
from benchmarks.load_people import Subject
from tests.support.chromium import start_server
from tests.support.socket_client import SocketClient

PATIENCE = 180.0  # seconds for a click: a new worker loads PyTorch
TRACKER = "resource_tracker"  # Python's own, which tells a traceback of its own when it is killed


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.soak.processes", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine_line(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        attack(Path(folder) / "project", random.Random(options.seed), options.rounds)


def attack(root: Path, chance: random.Random, rounds: int) -> None:
    subjects = make_project(root)
    server = start_server(root.parent, "--project", str(root), "--prompt-workers", "2", learn=True)
    clicks, labels, killed, refused = [], [], 0, 0
    try:
        click_once(server.address, subjects[0])
        tab = SocketClient(server.address)
        for number in range(rounds):
            killed += kill_some(psutil.Process(server.process.pid), chance)
            seconds, answered = click(tab, chance.choice(subjects), number)
            clicks.append(seconds)
            refused += not answered
            labels.append(label(tab, chance.choice(subjects)))
        tab.close()
    finally:
        server.stop()
    said = "".join(server.said)
    print(f"{killed} processes killed in {rounds} rounds, {refused} clicks refused")
    print(f"mask after {np.median(clicks):.1f} s (median), {max(clicks):.1f} s (worst)")
    print(f"label saved after {np.median(labels):.2f} s (median), {max(labels):.2f} s (worst)")
    print(f"{len(re.findall('^Traceback', said, re.MULTILINE))} tracebacks in the log")


def kill_some(server: psutil.Process, chance: random.Random) -> int:
    """At a moment like any other; how many."""
    time.sleep(chance.uniform(0, 1))
    there = [one for one in server.children(recursive=True) if TRACKER not in " ".join(one.cmdline())]
    how = chance.choice(("one", "two", "workers"))
    if how == "workers":
        chosen = [one for one in there if one.ppid() != server.pid]  # of the fork server
    else:
        chosen = chance.sample(there, min(len(there), 1 if how == "one" else 2))
    for one in chosen:
        one.kill()
    return len(chosen)


def click(tab: SocketClient, subject: Subject, seq: int) -> tuple[float, bool]:
    """Seconds, and whether a mask came. Raises TimeoutError where nothing did."""
    index, row, column, _ = subject.objects[seq % len(subject.objects)]
    place = {"image": subject.image, "axis": 0, "index": index, "window": [0, 255]}
    began = time.monotonic()
    points = [[round(row, 1), round(column, 1)]]
    tab.send({"t": "predict", "seq": seq, **place, "points": points, "labels": [1]})
    while True:
        left = began + PATIENCE - time.monotonic()
        frame = tab.socket.recv(timeout=max(0.01, left))
        assert isinstance(frame, bytes)
        told, _ = unpack(frame)
        if told["t"] in ("mask", "refused") and told.get("seq") == seq:
            return time.monotonic() - began, told["t"] == "mask"


def label(tab: SocketClient, subject: Subject) -> float:
    """Seconds until it is durable."""
    began = time.monotonic()
    tab.label(subject.image, 0, subject.objects[0][0], np.ones((20, 20), np.uint8))
    return time.monotonic() - began


if __name__ == "__main__":
    main()
