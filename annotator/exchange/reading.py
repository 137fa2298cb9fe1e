"""The files of an import read ahead of their turn; a file that is known by its content is not read again."""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from annotator.exchange.export_report import version
from annotator.exchange.import_items import ImportItem, ImportSight, named_scans
from annotator.exchange.import_plan import ImportPlan
from storage.formats import FileRefused
from storage.formats.base import PartOfAnother
from storage.scan import Scan

AHEAD = 8  # pictures read before their turn
READERS = 2  # at once; decoders let go of the interpreter
WHOLE = ("picture", "nifti")  # kinds of which one file holds all there is
FULL_IMAGES, FULL_BYTES = 64, 64_000_000  # of a batch, which the disk takes at once
BLOCK = 1 << 20


@dataclass(frozen=True)
class ReadItem:
    """An item of an import: its image if it is known, else its scans or why there are none."""

    number: int
    item: ImportItem
    fingerprint: bytes | None  # of its file; None where one file does not say it all
    known: int | None = None
    scans: tuple[Scan, ...] = ()
    refusal: str = ""
    is_part: bool = False  # of an image in several files, which comes in with another of them


def read_items(plan: ImportPlan, known: Mapping[bytes, int]) -> Iterator[ReadItem]:
    """In the order of the plan. `known`: fingerprints of files with their images."""
    todo = iter(enumerate(plan.items))
    waiting: deque[tuple[int, ImportItem, Future[ReadItem] | None]] = deque()
    with ThreadPoolExecutor(READERS, "reading") as pool:
        try:
            while True:
                for number, item in islice(todo, AHEAD - len(waiting)):
                    # volumes wait for their turn: several of them may not fit into memory
                    ahead = pool.submit(_read, plan.sight, number, item, known) if _is_small(item) else None
                    waiting.append((number, item, ahead))
                if not waiting:
                    return
                number, item, ahead = waiting.popleft()
                yield ahead.result() if ahead else _read(plan.sight, number, item, known)
        finally:
            pool.shutdown(cancel_futures=True)


def is_full(batch: Sequence[ReadItem]) -> bool:
    """Whether these are enough to be written together."""
    scans = [scan for read in batch for scan in read.scans]
    size = sum(a.nbytes for scan in scans for a in (scan.pixels, *(c.values for c in scan.named)))
    return len(batch) >= FULL_IMAGES or size >= FULL_BYTES


def _is_small(item: ImportItem) -> bool:
    return item.kind == "picture" and not item.channels


def _read(sight: ImportSight, number: int, item: ImportItem, known: Mapping[bytes, int]) -> ReadItem:
    fingerprint = _fingerprint(sight, item)
    if fingerprint is not None and fingerprint in known:
        return ReadItem(number, item, fingerprint, known=known[fingerprint])
    try:
        return ReadItem(number, item, fingerprint, scans=tuple(named_scans(sight, item)))
    except PartOfAnother:
        return ReadItem(number, item, None, is_part=True)
    except FileRefused as refusal:
        return ReadItem(number, item, None, refusal=str(refusal))


def _fingerprint(sight: ImportSight, item: ImportItem) -> bytes | None:
    """Of content, place and this program's version: another version may read the same file better."""
    if (
        item.kind not in WHOLE
        or item.channels
        or sight.identities.in_path(source := sight.found.shown(item.files[0]))
    ):
        return None
    digest = hashlib.blake2b(f"{version()}\0{source}\0".encode(), digest_size=16)
    try:
        _update(digest, item.files[0])
    except OSError:
        return None
    return digest.digest()


def _update(digest: "hashlib.blake2b", path: Path) -> None:
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
