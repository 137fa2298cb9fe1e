"""Files on their way in: staged under names of our own making until the import has read them."""

import hashlib
import re
import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from annotator.server_settings import GIGABYTE, ServerSettings
from storage.database import StorageFull

if TYPE_CHECKING:
    from annotator.exchange.import_look import StagedImport

BATCHES_PER_PERSON = 4  # uploads that one person may have under way
IDLE_SECONDS = 120.0  # an upload that nobody continued makes room for another
MAX_FILES = 100_000
MAX_DEPTH, MAX_NAME = 12, 240  # folders and bytes in a staged name; file systems take 255
MAX_ENDING = 16  # bytes; what is longer is part of the name
ZARR = (".zgroup", ".zattrs", ".zarray", ".zmetadata")  # names that Zarr cannot do without
BLOCK = 1 << 20
RESERVE = GIGABYTE // 4  # disk that labels can still be saved on
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
FULL = "the disk is almost full; free some space and upload the rest again"


@dataclass
class UploadBatch:
    """One upload. `paths` says which file came as which number."""

    user: str
    folder: Path
    touched: float = field(default_factory=time.monotonic)
    paths: dict[int, Path] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    bytes: int = 0
    staged: "StagedImport | None" = None  # what was seen of its files

    @property
    def seen(self) -> "StagedImport":
        """Raises LookupError before there was a look."""
        if self.staged is None:
            raise LookupError("these files were not looked at yet; wait a moment")
        return self.staged

    @property
    def files(self) -> Path:
        return self.folder / "upload"


class Uploads:
    """Thread-safe. The folder is emptied at start: an upload does not outlive its server."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self._folder, self._settings = folder, settings
        self._lock = threading.Lock()  # protects _batches and what is in them
        self._batches: dict[str, UploadBatch] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, user: str) -> str:
        """The id of a new batch; the oldest idle one of this user makes room. Raises ValueError."""
        with self._lock:
            mine = [(batch.touched, key) for key, batch in self._batches.items() if batch.user == user]
            idle = sorted(key for touched, key in mine if time.monotonic() - touched > IDLE_SECONDS)
            if len(mine) >= BATCHES_PER_PERSON and not idle:
                raise ValueError("you have four uploads under way; finish one of them first")
            old = [self._batches.pop(key) for key in idle]
            batch_id = secrets.token_hex(8)
            batch = self._batches[batch_id] = UploadBatch(user, self._folder / batch_id)
        for left in old:
            shutil.rmtree(left.folder, ignore_errors=True)
        batch.files.mkdir(parents=True)
        return batch_id

    async def put(self, batch: UploadBatch, number: int, name: str, body: AsyncIterator[bytes]) -> int:
        """Write one file of a batch; its size in bytes. Raises ValueError, StorageFull; keeps no part of it."""
        part = batch.folder / f"{secrets.token_hex(8)}.part"
        try:
            size = await self._write(batch, number, part, body)
            await anyio.to_thread.run_sync(self._place, batch, number, name, part)
        except FileNotFoundError as error:
            raise LookupError("this upload was stopped; start it again") from error
        finally:
            await anyio.to_thread.run_sync(lambda: part.unlink(missing_ok=True))
        return size

    def of(self, batch_id: str, user: str) -> UploadBatch:
        """The batch with this id, if it is this user's. Raises LookupError."""
        with self._lock:
            batch = self._batches.get(batch_id)
            if batch is None or batch.user != user:
                raise LookupError("this upload is not known any more; start it again")
            batch.touched = time.monotonic()
            return batch

    def take(self, batch_id: str, user: str) -> UploadBatch:
        """As `of`; nobody else finds it from now on. Call `discard` when its files were read."""
        batch = self.of(batch_id, user)
        if not batch.paths:
            raise ValueError("no file has arrived yet; choose some files first")
        with self._lock:
            if self._batches.pop(batch_id, None) is None:
                raise LookupError("this upload is not known any more; start it again")
        return batch

    def give_back(self, batch: UploadBatch) -> None:
        """Undo `take`: the import could not start."""
        with self._lock:
            self._batches[batch.folder.name] = batch

    def discard(self, batch: UploadBatch) -> None:
        shutil.rmtree(batch.folder, ignore_errors=True)

    async def _write(self, batch: UploadBatch, number: int, part: Path, body: AsyncIterator[bytes]) -> int:
        size, buffer = 0, bytearray()
        async with await anyio.open_file(part, "xb") as file:
            async for chunk in body:
                buffer += chunk
                size += len(chunk)
                if len(buffer) >= BLOCK:
                    self._check_room(batch, number, size)
                    await file.write(bytes(buffer))
                    buffer.clear()
            self._check_room(batch, number, size)
            await file.write(bytes(buffer))
        return size

    def _check_room(self, batch: UploadBatch, number: int, size: int) -> None:
        with self._lock:
            batch.touched = time.monotonic()
            batch.bytes += size - batch.sizes.get(number, 0)
            batch.sizes[number] = size
        if len(batch.sizes) > MAX_FILES:
            raise ValueError(
                f"an upload holds at most {MAX_FILES} files; import the folder on the command line"
            )
        if batch.bytes > self._settings.max_batch_bytes:
            limit = self._settings.max_batch_bytes // GIGABYTE
            raise ValueError(f"an upload holds at most {limit} GB; import the folder on the command line")
        if shutil.disk_usage(batch.folder).free < RESERVE:
            raise StorageFull(FULL)

    def _place(self, batch: UploadBatch, number: int, name: str, part: Path) -> None:
        """Give a file that arrived whole its place among the others."""
        with self._lock:
            old = batch.paths.pop(number, None)
            if old is not None:
                old.unlink(missing_ok=True)
            target = _free_place(batch.files, safe_parts(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
            batch.paths[number] = target


def safe_parts(name: str) -> list[str]:
    """The folders and the file name that a path from a browser becomes: nothing that leads elsewhere.

    No separators, `..`, drive letters, device names, control characters or leading dots; at least one part.
    """
    parts = [_safe_part(part) for part in re.split(r"[/\\]", name)]
    kept = [part for part in parts if part]
    return kept[-MAX_DEPTH:] or ["file"]


def _safe_part(part: str) -> str:
    part = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode())
    part = re.sub(r'[<>:"|?*]', "_", "".join(c for c in part if c.isprintable()))
    if part in ZARR:
        return part
    part = part.strip(". ")
    if DEVICES.match(part):
        part = f"_{part}"
    return _shortened(part)


def _shortened(part: str) -> str:
    """At most MAX_NAME bytes. The ending stays, because it says what the file is; a hash of all before it stands for
    what is cut, so that names stay apart and an image and its mask stay alike."""
    if len(part.encode()) <= MAX_NAME:
        return part
    from annotator.exchange.matching import bare_name  # the readers take a second to load

    stem = bare_name(part)
    ending = part[len(stem) :]
    if not ending:
        stem, dot, ending = part.rpartition(".")
        stem, ending = (stem, dot + ending) if dot and len(ending.encode()) <= MAX_ENDING else (part, "")
    mark = "~" + hashlib.blake2b(stem.encode(), digest_size=4).hexdigest()
    room = MAX_NAME - max(MAX_ENDING, len(ending.encode())) - len(mark)
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + mark + ending


def _free_place(root: Path, parts: list[str]) -> Path:
    """A path under `root` for these parts where nothing is yet, whatever the file system thinks of case."""
    folder = root
    for part in parts[:-1]:
        folder = folder / part
        if folder.is_file():
            folder = folder.with_name(f"{part}-{secrets.token_hex(3)}")
    target = folder / parts[-1]
    if target.exists():
        stem, dot, ending = parts[-1].partition(".")
        target = folder / f"{stem}-{secrets.token_hex(3)}{dot}{ending}"
    assert target.resolve().is_relative_to(root.resolve()), "a staged file would leave its folder"
    return target
