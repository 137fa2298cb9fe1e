"""kill -9 at any moment: what was acknowledged is there, what was not is there as a whole or not at all.

    python -m benchmarks.soak.kills --kills 1000

A child process works on a project and says what it has made durable; it is killed after a random time, and the project
is opened again and compared with what was said. The kinds of work are in `kill_kinds`. Needs a system that forks.
"""

import argparse
import os
import random
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import machine_line
from benchmarks.soak.kill_kinds import KINDS, KillKind


@dataclass
class Tally:
    """What came of the kills of one kind."""

    kills: int = 0
    acknowledged: int = 0
    in_doubt: int = 0  # killed between the write and the word of it: there as a whole, or not at all
    faults: list[str] = field(default_factory=list)


def soak(kind: KillKind, kills: int, folder: Path, seed: int) -> Tally:
    """So many kills, one after another on one project."""
    chance, tally = random.Random(seed), Tally()
    kind.prepare(folder)
    for _ in range(kills):
        said = killed(lambda tell: kind.work(folder, tell), chance.uniform(0, kind.seconds))
        tally.kills += 1
        tally.acknowledged += len(said)
        doubt, faults = kind.verify(folder, said)
        tally.in_doubt += doubt
        tally.faults += faults
    return tally


def killed(work: Callable[[Callable[[str], None]], None], seconds: float) -> list[str]:
    """The lines that a child said before it was killed, so long after its first line; "open" is not among them."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    text = os.read(reading, 1 << 16)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        if not (more := os.read(reading, 1 << 16)):
            break
        text += more
    os.kill(child, signal.SIGKILL)
    while more := os.read(reading, 1 << 16):
        text += more
    os.waitpid(child, 0)
    os.close(reading)
    return [line for line in text.decode().split("\n")[:-1] if line != "open"]


def _work(work: Callable[[Callable[[str], None]], None], writing: int) -> None:
    """In the child; never returns."""

    def tell(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    try:
        work(tell)
    finally:
        os._exit(0)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--kills", type=int, default=1000, help="in all, shared among the kinds")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--kind", action="append", choices=list(KINDS), help="only this one; may be repeated"
    )
    given = options.parse_args()
    names = given.kind or list(KINDS)
    print(
        "| killed during | kills | acknowledged | in doubt | lost or half |\n| --- | --- | --- | --- | --- |"
    )
    faults: list[str] = []
    for name in names:
        with TemporaryDirectory() as folder:
            tally = soak(KINDS[name](), -(-given.kills // len(names)), Path(folder), given.seed)
        print(
            f"| {name} | {tally.kills} | {tally.acknowledged:,} | {tally.in_doubt} | {len(tally.faults)} |",
            flush=True,
        )
        faults += tally.faults
    print(machine_line(), *faults, sep="\n")


if __name__ == "__main__":
    main()
