"""Which files an import takes up, in which order, and which masks belong to which images. Opens nothing."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from storage.formats import stem

IMAGE_FOLDERS = {"labels": "images", "masks": "images", "labelstr": "imagestr", "labelsts": "imagests"}
COMPANIONS = (
    ".md", ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".bval", ".bvec", ".log",
)  # fmt: skip
UNTOUCHED = {"license", "readme", "copying", "notice", "thumbs.db", "desktop.ini", "__macosx"}
DETACHED = {
    ".raw": (".mhd", ".nhdr"),
    ".zraw": (".mhd",),
    ".gz": (".nhdr",),
}  # pixels of a header beside them
CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net names an image case_0000 and its mask case

Key = tuple[str, ...]  # folders and stem, the same for an image and its mask


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


@dataclass(frozen=True)
class MaskFiles:
    """Mask files by the key of the image that they belong to."""

    by_key: dict[Key, Path] = field(default_factory=dict)
    only: Path | None = None  # one mask given for one image

    def of(self, key: Key) -> Path | None:
        """An exact match of folders and stem, or of the stem alone for masks that were named on their own."""
        plain = (*key[:-1], CHANNEL.sub("", key[-1]))
        candidates = (key, plain, ("*", key[-1]), ("*", plain[-1]))
        return self.only or next((self.by_key[k] for k in candidates if k in self.by_key), None)

    @property
    def files(self) -> set[Path]:
        return {self.only} if self.only else set(self.by_key.values())


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


def image_key(found: FileListing, path: Path) -> Key:
    """Folders below the root and stem."""
    return (*path.parent.relative_to(found.root).parts, stem(path))


def masks_beside(found: FileListing) -> MaskFiles:
    """Masks in a folder labels (masks, labelsTr) that has a folder images (imagesTr) beside it."""
    folders = {f.parent for f in found.files}
    known = {tuple(p.lower() for p in folder.relative_to(found.root).parts): folder for folder in folders}
    masks = {}
    for file in found.files:
        if (key := _key_of_mask(found, file, known)) is not None:
            masks[key] = file
    return MaskFiles(masks)


def masks_given(labels: Path) -> MaskFiles:
    """One mask file for one image, or a folder of masks named like their images."""
    if labels.is_file():
        return MaskFiles(only=labels)
    return MaskFiles({("*", stem(f)): f for f in find_files(labels).files if not companion(f)})


def _key_of_mask(found: FileListing, file: Path, folders: Iterable[tuple[str, ...]]) -> Key | None:
    """The key of the image that a mask file would belong to; None where it lies in no folder of masks."""
    parts = file.parent.relative_to(found.root).parts
    lowered = tuple(p.lower() for p in parts)
    for at in reversed(range(len(parts))):
        image_folder = IMAGE_FOLDERS.get(lowered[at])
        images = (*lowered[:at], image_folder)
        if image_folder and any(folder[: at + 1] == images for folder in folders):
            return (*parts[:at], _same_case(found, parts[:at], image_folder), *parts[at + 1 :], stem(file))
    return None


def _same_case(found: FileListing, parents: tuple[str, ...], folder: str) -> str:
    """The folder's name as it is written on disk."""
    parent = found.root.joinpath(*parents)
    return next((p.name for p in parent.iterdir() if p.name.lower() == folder), folder)


def _walk(root: Path, closed: list[OSError], apart_from: Path | None) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = sorted(f for f in folders if not _hidden(f) and Path(folder, f) != apart_from)
        yield from (
            Path(folder, name) for name in names if not _hidden(name) and Path(folder, name).is_file()
        )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")
