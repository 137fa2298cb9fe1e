"""A project as one archive: its database at one moment and the files that belong to it, each with its checksum."""

import hashlib
import json
import os
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from annotator.jobs import Job
from storage.arrays import sync_directory
from storage.database import full_disk_told
from storage.lock import check_there
from storage.safety.contents import (
    NamedFiles,
    clock_in,
    copy_database,
    files_named,
    forget_proposals,
)
from storage.safety.own_files import DATABASE
from storage.safety.writable import need_room

MANIFEST = "backup.json"
FORMAT = 1
BLOCK = 1 << 20
RESERVE = 256 << 20  # bytes of the project's disk that stay free for labels
TRIES = 3  # the bin may be emptied while files are read


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    project: str
    made: str
    clock: int  # the newest event in it
    files: dict[str, tuple[int, str]]  # place -> size and SHA-256


class FileGone(LookupError):
    """A file that the copied database names went while it was being read."""


def back_up(root: Path, target: Path, job: Job) -> Manifest:
    """Write the archive; the project may be open and worked on meanwhile. Raises FileExistsError, StorageFull, and
    Cancelled out of the job."""
    check_there(root)
    if target.exists():
        raise FileExistsError(f"{target} is there already; give another name or delete it")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    database = target.with_name(f"{target.name}.db.unfinished")
    database.unlink(missing_ok=True)  # of one that was killed
    try:
        with full_disk_told("free some space and back up again"):
            for tried in range(1, TRIES + 1):
                try:
                    manifest = _write(root, unfinished, database, job)
                    break
                except FileGone:
                    if tried == TRIES:
                        raise
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
        database.unlink(missing_ok=True)
    sync_directory(target.parent)
    return manifest


def _write(root: Path, archive: Path, database: Path, job: Job) -> Manifest:
    database.unlink(missing_ok=True)
    copy_database(root, database)
    named = files_named(database, root)
    need_room(archive.parent, _size(root, database, named), "the backup")
    with open(archive, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as content:
        files = _add_all(content, root, named, job)
        forget_proposals(database, files)  # replaced while the archive was written
        files[DATABASE] = _add(content, database, DATABASE)
        made = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        manifest = Manifest(FORMAT, root.resolve().name, made, clock_in(database), files)
        content.writestr(MANIFEST, json.dumps(asdict(manifest)))
        content.close()
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _size(root: Path, database: Path, named: NamedFiles) -> int:
    """Bytes of the archive and of what labels need beside it, where both are on one disk."""
    paths = [path for place in named.own + named.derived if (path := root / place).exists()]
    beside = RESERVE if database.stat().st_dev == root.stat().st_dev else 0
    return sum(path.stat().st_size for path in [database, *paths]) + beside


def _add_all(content: zipfile.ZipFile, root: Path, named: NamedFiles, job: Job) -> dict[str, tuple[int, str]]:
    files: dict[str, tuple[int, str]] = {}
    everything = named.own + named.derived
    for number, place in enumerate(everything):
        job.check()
        job.report("backing up", number, len(everything), place)
        try:
            files[place] = _add(content, root / place, place)
        except FileNotFoundError:
            if place in named.own and _still_named(root, place):
                job.refuse(f"{place} is missing in the project; the command check says what it was")
            elif place in named.own:
                raise FileGone(f"{place} was deleted while it was backed up; back up again") from None
    return files


def _still_named(root: Path, place: str) -> bool:
    """Whether a file is missing for good, not because its row went just now."""
    with TemporaryDirectory() as folder:
        database = Path(folder) / DATABASE
        copy_database(root, database)
        return place in files_named(database, root).own


def _add(content: zipfile.ZipFile, path: Path, place: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as source:
        info = zipfile.ZipInfo.from_file(path, place, strict_timestamps=False)
        with content.open(info, "w", force_zip64=True) as target:
            while block := source.read(BLOCK):
                digest.update(block)
                size += len(block)
                target.write(block)
    return size, digest.hexdigest()
