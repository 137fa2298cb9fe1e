"""Which files an import takes up, and in which order. Opens nothing."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

COMPANIONS = (
    ".md", ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".bval", ".bvec", ".log",
)  # fmt: skip
UNTOUCHED = {"license", "readme", "copying", "notice", "thumbs.db", "desktop.ini", "__macosx"}
DETACHED = {
    ".raw": (".mhd", ".nhdr"),
    ".zraw": (".mhd",),
    ".gz": (".nhdr",),
}  # pixels of a header beside them


@dataclass(frozen=True)
class FileListing:
    """The files below a root, in a stable order, and those whose very names stand in the way."""

    root: Path
    files: tuple[Path, ...]
    unreadable: tuple[str, ...] = ()
    closed: tuple[Path, ...] = ()  # folders that may not be opened

    def shown(self, path: Path) -> str:
        """The path below the root, for people and for the project: always with forward slashes."""
        return PurePosixPath(*path.relative_to(self.root).parts).as_posix()


def find_files(path: Path, apart_from: Path | None = None) -> FileListing:
    """A file on its own, or every file below a folder but hidden ones; links to folders are not followed.

    `apart_from`: a folder that is passed over, such as a project kept among its images.
    """
    root = path.parent if path.is_file() else path
    files, unreadable = [], []
    closed: list[OSError] = []
    for file in [path] if path.is_file() else _walk(path, closed, apart_from):
        below = file.relative_to(root)
        if readable_name(below):
            files.append(file)
        else:
            unreadable.append(str(below).encode("unicode_escape").decode("ascii"))
    shut = tuple(sorted(Path(str(error.filename)) for error in closed))
    files.sort(key=lambda file: natural(file.relative_to(root)))
    return FileListing(root, tuple(files), tuple(sorted(unreadable)), shut)


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


def _walk(root: Path, closed: list[OSError], apart_from: Path | None) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = sorted(f for f in folders if not _hidden(f) and Path(folder, f) != apart_from)
        yield from (
            Path(folder, name) for name in names if not _hidden(name) and Path(folder, name).is_file()
        )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")
