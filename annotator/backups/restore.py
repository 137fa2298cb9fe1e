"""A project made anew from a backup or from a nightly snapshot. Nothing of what is there already is touched."""

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.backups.backup import FORMAT, MANIFEST, Manifest
from annotator.jobs import Job
from learners.training.bounded import read_member, unpack_member
from storage.arrays import sync_directory
from storage.database import full_disk_told
from storage.safety.contents import files_named, forget_proposals
from storage.safety.own_files import DATABASE
from storage.safety.writable import need_room
from storage.store import Store

PLACES = re.compile(
    r"project\.db|(images|channels)/[0-9a-f]{32}\.npy|labels/[0-9a-f]{32}\.npz|predictions/[0-9a-f]{32}\.[a-z-]+\.npy"
    r"|(rounds|tuned)/([A-Za-z0-9_][A-Za-z0-9_.-]*/){0,3}[A-Za-z0-9_][A-Za-z0-9_.-]*"
)
MAX_MANIFEST = 1 << 28  # bytes: some million files
NO_BACKUP = "choose an archive that the command backup made, or a .db file of a project's backups"


def restore(source: Path, root: Path, job: Job) -> int:
    """Make the project `root` from a backup's archive or a snapshot's database; how many files. Raises FileExistsError
    where something is there, ValueError where it is no whole backup; then nothing is left."""
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"{root} is there already and is not written over; give --project a new folder")
    if not source.is_file():
        raise FileNotFoundError(f"{source} does not exist; {NO_BACKUP}")
    root.parent.mkdir(parents=True, exist_ok=True)
    unpack: Callable[[Path, Path, Job], int] = _from_snapshot if source.suffix == ".db" else _from_archive
    with full_disk_told("free some space and restore again"), _whole_or_nothing(root) as folder:
        count = unpack(source, folder, job)
        _refuse_odd_rows(folder)
        Store(folder).close()  # it opens, in the tables of this version
    return count


@contextmanager
def _whole_or_nothing(root: Path) -> Iterator[Path]:
    folder = root.with_name(f".{root.name}.restoring")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        if root.exists():
            root.rmdir()
        os.replace(folder, root)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync_directory(root.parent)


def _from_archive(source: Path, folder: Path, job: Job) -> int:
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive)
            entries = {entry.filename: entry for entry in archive.infolist()}
            need_room(folder, sum(size for size, _ in manifest.files.values()), "the project")
            for number, (place, (size, digest)) in enumerate(manifest.files.items()):
                job.check()
                job.report("restoring", number, len(manifest.files), place)
                if place not in entries:
                    raise ValueError(f"{place} is missing in {source.name}; use another backup")
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                unpack_member(archive, entries[place], target, size)
                if target.stat().st_size != size or _digest(target) != digest:
                    raise ValueError(f"{place} in {source.name} is damaged; use another backup")
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"{source.name} cannot be read ({error}); {NO_BACKUP}") from error
    return len(manifest.files)


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    """Raises ValueError for names that lead elsewhere, sizes that are none, and other archives."""
    if MANIFEST not in archive.namelist():
        raise ValueError(f"this archive holds no {MANIFEST}; {NO_BACKUP}")
    told = read_member(archive, archive.getinfo(MANIFEST), MAX_MANIFEST)
    try:
        files = {str(place): (int(size), str(digest)) for place, (size, digest) in told["files"].items()}
        manifest = Manifest(
            int(told["format"]), str(told["project"]), str(told["made"]), int(told["clock"]), files
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the {MANIFEST} of this archive is damaged; {NO_BACKUP}") from error
    if manifest.format != FORMAT:
        raise ValueError("a newer version made this backup; update the app and restore again")
    if odd := next((place for place in files if not PLACES.fullmatch(place) or ".." in place), None):
        raise ValueError(f"{odd!r} is no file of a project, so this is no backup; {NO_BACKUP}")
    if DATABASE not in files or any(size < 0 for size, _ in files.values()):
        raise ValueError(f"the {MANIFEST} of this archive is damaged; {NO_BACKUP}")
    return manifest


def _from_snapshot(source: Path, folder: Path, job: Job) -> int:
    """The database is the snapshot's; its files lie beside it, once for all snapshots."""
    shutil.copyfile(source, folder / DATABASE)
    places = files_named(folder / DATABASE, folder).own
    sizes = {place: path.stat().st_size for place in places if (path := source.parent / place).is_file()}
    if lost := len(places) - len(sizes):
        job.refuse(f"{lost} files of this snapshot are missing; the command check names them")
    need_room(folder, sum(sizes.values()), "the project")
    for number, place in enumerate(sizes):
        job.check()
        job.report("restoring", number, len(sizes), place)
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(source.parent / place, folder / place)
    forget_proposals(folder / DATABASE, ())
    return len(sizes)


def _refuse_odd_rows(folder: Path) -> None:
    """A database that names files elsewhere would have them read, and deleted with their images. Raises ValueError."""
    named = files_named(folder / DATABASE, folder)
    if odd := next((place for place in named.rows if not PLACES.fullmatch(place)), None):
        raise ValueError(f"a row of this backup names {odd!r}, which is no file of a project; {NO_BACKUP}")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
