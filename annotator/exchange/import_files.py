"""Which files an import takes up, and in which order. Opens nothing."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.safety.own_files import PROJECT, is_own, is_project

COMPANIONS = (
    ".md", ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".bval", ".bvec", ".log",
)  # fmt: skip
UNTOUCHED = {"license", "readme", "copying", "notice", "thumbs.db", "desktop.ini", "__macosx"}
DETACHED = {
    ".raw": (".mhd", ".nhdr"),
    ".zraw": (".mhd",),
    ".gz": (".nhdr",),
}  # pixels of a header beside them
ZARR = (".zgroup", ".zattrs", "zarr.json")  # of which a folder of Zarr holds one
NOWHERE = "it is a link that leads nowhere; mend it or delete it"
TWICE = "it is a link to a folder that is imported anyway, or that holds this one; it was passed over"


@dataclass(frozen=True)
class FileListing:
    """The files below a root, in a stable order, and those whose very names stand in the way."""

    root: Path
    files: tuple[Path, ...]
    unreadable: tuple[str, ...] = ()
    closed: tuple[Path, ...] = ()  # folders that may not be opened
    lost: tuple[tuple[Path, str], ...] = ()  # links that are passed over, and why

    def shown(self, path: Path) -> str:
        """The path below the root, for people and for the project: always with forward slashes."""
        return PurePosixPath(*path.relative_to(self.root).parts).as_posix()


def find_files(path: Path, apart_from: Path | None = None) -> FileListing:
    """A file on its own, or every file below a folder but hidden ones; links are followed, each folder once.

    `apart_from`: a folder that is passed over, such as a project kept among its images.
    """
    root = path.parent if is_one(path) else path
    files, unreadable = [], []
    walk = Walk(root, apart_from)
    for file in [path] if is_one(path) else walk.files():
        below = file.relative_to(root)
        if readable_name(below):
            files.append(file)
        else:
            unreadable.append(str(below).encode("unicode_escape").decode("ascii"))
    shut = tuple(sorted(Path(str(error.filename)) for error in walk.closed))
    files.sort(key=lambda file: natural(file.relative_to(root)))
    return FileListing(root, tuple(files), tuple(sorted(unreadable)), shut, tuple(sorted(walk.lost)))


def is_one(path: Path) -> bool:
    """A file, or a folder that counts as one: OME-Zarr."""
    return path.is_file() or is_zarr(path)


def is_zarr(path: Path) -> bool:
    return path.name.lower().endswith(".zarr") and any((path / name).is_file() for name in ZARR)


def natural(path: Path) -> list[tuple[int | str, ...]]:
    """A sort key by which slice2 comes before slice10."""
    pieces = [re.split(r"(\d+)", part) for part in path.parts]
    return [tuple((int(p) if n % 2 else p.casefold()) for n, p in enumerate(piece)) for piece in pieces]


def readable_name(path: Path) -> bool:
    """Whether the name is text: bytes of another encoding cannot be shown or stored."""
    try:
        str(path).encode("utf-8")
        return True
    except UnicodeEncodeError:
        return False


def companion(path: Path) -> bool:
    """A file that goes with a data set and is no image: notes, tables, detached pixels."""
    suffix = path.suffix.lower()
    if suffix in COMPANIONS or path.stem.lower() in UNTOUCHED or path.name.lower() in UNTOUCHED:
        return True
    bare = path.with_suffix("")
    return any(bare.with_suffix(header).is_file() for header in DETACHED.get(suffix, ()))


class Walk:
    """Every file below a folder, through links to folders too; what stands in the way is noted."""

    def __init__(self, root: Path, apart_from: Path | None) -> None:
        self.closed: list[OSError] = []
        self.lost: list[tuple[Path, str]] = []
        self._root, self._apart_from = root, apart_from
        self._linked: set[Path] = set()  # folders entered by a link, as they really are

    def files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._root, onerror=self.closed.append, followlinks=True):
            here = Path(folder)
            own = self._own(here, (*folders, *names))
            wanted = [name for name in folders if name not in own and not _hidden(name)]
            yield from (here / name for name in wanted if is_zarr(here / name))
            wanted = [name for name in wanted if not is_zarr(here / name)]
            folders[:] = sorted(name for name in wanted if self._enters(here / name))
            for name in names:
                if name in own:
                    continue
                if (here / name).is_file() and not _hidden(name):
                    yield here / name
                elif (here / name).is_symlink() and not (here / name).exists() and not _hidden(name):
                    self.lost.append((here / name, NOWHERE))

    def _own(self, folder: Path, names: Iterable[str]) -> set[str]:
        """Of a project or a folder of one: what the app keeps there, told once for each project."""
        if not (is_project(folder) or is_project(folder.parent)):
            return set()
        own = {name for name in names if is_own(folder / name)}
        if own and (folder == self._root or is_project(folder)):
            self.lost.append((folder, PROJECT))
        return own

    def _enters(self, folder: Path) -> bool:
        if folder == self._apart_from:
            return False
        if not folder.is_symlink():
            return True
        real, root = folder.resolve(), self._root.resolve()
        if real == self._apart_from:
            return False
        if real in self._linked or real.is_relative_to(root) or root.is_relative_to(real):
            self.lost.append((folder, TWICE))  # a link to a folder around it would go round for ever
            return False
        self._linked.add(real)
        return True


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")
