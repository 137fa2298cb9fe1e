"""What an import takes up: files and DICOM series as images to be, and the lines about all else."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotator.exchange.channels.bids_names import bids_name
from annotator.exchange.channels.channel_files import ChannelFiles, channel_files
from annotator.exchange.image_files import by_first_file, files_of, image_files, nearest_place
from annotator.exchange.import_files import FileListing
from annotator.exchange.label_files import is_about_series
from annotator.exchange.masks.files import ItemPlace
from annotator.exchange.matching import bare_name
from annotator.jobs import Job
from storage import formats
from storage.formats import FileRefused, dicom
from storage.formats.dicom_headers import Nameless
from storage.formats.privacy import Identities
from storage.scan import Scan
from storage.store import Store

ONE_BY_ONE = "is an image here already, so each sequence is an image of its own"
SALT = "name-salt"  # setting: makes pseudonyms of DICOM series the project's own


@dataclass(frozen=True)
class ImportItem:
    """What becomes one image (or several, where a series mixes echoes): a file or a DICOM series."""

    files: tuple[Path, ...]
    kind: str
    series: dicom.Series | None = None
    channels: ChannelFiles | None = None

    @property
    def origin(self) -> Path:
        """By which it is known; for files that are channels there is no such file."""
        return self.channels.origin if self.channels else self.files[0]

    @property
    def place(self) -> ItemPlace:
        """The file of a series of one file; the folder of others, the nearest common one where they are scattered."""
        if self.channels:
            return ItemPlace(self.origin)
        modality = self.series.modality or "" if self.series else ""
        return ItemPlace(nearest_place(self.files), len(self.files) > 1, modality)


@dataclass
class ImportSight:
    """What is seen of an import: its files, and how they are called."""

    job: Job
    found: FileListing
    identities: Identities
    masks: set[Path] = field(default_factory=set)  # files that are no images because of their place
    masks_root: Path | None = None  # a folder of masks elsewhere
    known: frozenset[str] = frozenset()  # where images of the project came from
    refused: list[str] = field(default_factory=list)
    passed: list[Path] = field(default_factory=list)
    stand_ins: dict[Path, str] = field(
        default_factory=dict
    )  # what masks are called that were made of other files
    segmentations: list[Path] = field(default_factory=list)  # DICOM that is about a series
    later: list[tuple[Path, str]] = field(default_factory=list)  # refusals, until every DICOM header was read

    def refuse(self, line: str) -> None:
        self.refused.append(line)
        self.job.refuse(line)

    def move_to(self, job: Job) -> None:
        """What was seen in one job is carried out in another, which tells the lines again."""
        self.job = job
        for line in self.refused:
            job.refuse(line)

    def shown(self, path: Path) -> str:
        """The path for messages; a stand-in where it names a person of a DICOM header."""
        if path in self.stand_ins:
            return self.stand_ins[path]
        shown = self._below(path)
        if self.identities.in_path(shown):
            return f"file {self.identities.pseudonym(shown)} (its name identifies a person)"
        return "".join(c if c.isprintable() else "_" for c in shown)

    def _below(self, path: Path) -> str:
        """The path below the folder that was chosen, or below that of the masks."""
        for root in (self.found.root, self.masks_root):
            if root is not None and path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.name

    def known_as(self, path: Path, origin: str) -> str:
        """The place by which a mask is known again; a stand-in where it names a person."""
        return self.shown(path) if self.identities.in_path(origin) else origin

    def shown_item(self, item: ImportItem) -> str:
        if item.series is None:
            return self.shown(item.origin)
        name, source = series_name(self, item)
        return f"series {name}" + (f" in {source}" if source else "")


def name_salt(store: Store) -> str:
    if (salt := store.setting(SALT)) is None:
        store.set_setting(SALT, salt := secrets.token_hex(16))
    return salt


def find_items(sight: ImportSight) -> list[ImportItem]:
    """Files and series in the order of their first files. Reads every DICOM header, then says what it refused."""
    return list(_items(sight))


def named_scans(sight: ImportSight, item: ImportItem) -> list[Scan]:
    """The item's scans under names and sources that identify nobody. Raises FileRefused."""
    if item.series is None:
        scan = item.channels.read(item.kind) if item.channels else formats.read(item.files[0])
        source = sight.found.shown(item.origin)
        if sight.identities.in_path(source):
            return [replace(scan, name=f"image {sight.identities.pseudonym(source)}", source="")]
        return [replace(scan, source=source)]
    name, source = series_name(sight, item)
    scans = []
    for scan, note in formats.read_series(item.series):
        scans.append(replace(scan, name=name, source=source))
        if note:
            sight.refuse(f"{sight.shown_item(item)}: {note}")
    return scans


def series_name(sight: ImportSight, item: ImportItem) -> tuple[str, str]:
    """Name and source of a series; neither says who it is."""
    assert item.series is not None
    place, root = item.place.path, sight.found.root
    source = sight.found.shown(place) if place != root else ""
    modality = item.series.modality if (item.series.modality or "").isalnum() else None
    title = formats.stem(place) if place.is_file() else place.name
    # the folder that was chosen may carry the patient's name although it is no part of `source`
    if not title or sight.identities.in_path(f"{title}/{source}"):
        return f"{modality or 'DICOM'} {sight.identities.pseudonym(item.series.key)}", ""
    printable = "".join(c if c.isprintable() else "_" for c in title)
    return f"{printable} {modality or 'DICOM'}", source


def _items(sight: ImportSight) -> Iterator[ImportItem]:
    kinds = _kinds(sight)
    series = by_first_file(_collect(sight, [path for path, kind in kinds.items() if kind == "dicom"]))
    _refuse_what_waited(sight)
    groups = [
        one for one in channel_files(kinds, sight.found.files, sight.refuse) if not _is_apart(sight, one)
    ]
    joint = {path: group for group in groups for path in group.files}
    for path, kind in kinds.items():
        if (group := joint.get(path)) is not None:
            if path == group.files[0]:
                yield ImportItem(group.files, kind, channels=group)
        elif kind != "dicom":
            yield ImportItem((path,), kind)
        for one in series.get(path, []):
            yield ImportItem(files_of(one), kind, one)


def _is_apart(sight: ImportSight, group: ChannelFiles) -> bool:
    """Whether sequences of BIDS came in one by one before; then the same import must add nothing."""
    name = bids_name(bare_name(group.origin.name))
    if name is None or len(name.parts) < 2 or sight.found.shown(group.origin) in sight.known:
        return False
    before = next((path for path in group.files if sight.found.shown(path) in sight.known), None)
    if before is not None:
        sight.refuse(f"{sight.shown(group.origin)}: {sight.shown(before)} {ONE_BY_ONE}")
    return before is not None


def _kinds(sight: ImportSight) -> dict[Path, str]:
    """The files that are images, with their kind; others are passed over or refused."""
    alone = len(sight.found.files) == 1
    found = image_files((path for path in sight.found.files if path not in sight.masks), alone=alone)
    sight.later += found.refused
    sight.passed += found.passed
    return found.kinds


def _refuse_what_waited(sight: ImportSight) -> None:
    for name in sight.found.unreadable:
        hidden = sight.identities.in_path(name)
        shown = f"file {sight.identities.pseudonym(name)}" if hidden else name
        sight.refuse(f"{shown}: its name cannot be read as text; rename it")
    for folder in sight.found.closed:
        sight.refuse(f"{sight.shown(folder)}: you may not open this folder; ask for permission")
    for path, reason in (*sight.found.lost, *sight.later):
        shown = path.name if path == sight.found.root else sight.shown(path)
        sight.refuse(f"{shown}: {reason}")


def _collect(sight: ImportSight, paths: list[Path]) -> list[dicom.Series]:
    """All series of these files. Only when every header was read is it known whom a path names."""
    collector = dicom.Collector(sight.identities)
    refused: list[tuple[int, Path, FileRefused]] = []
    for number, path in enumerate(paths, start=1):
        if sight.job.cancelled:
            return []
        sight.job.report("reading DICOM headers", number, len(paths))
        try:
            collector.add(path)
        except FileRefused as refusal:
            if is_about_series(path):
                sight.segmentations.append(path)
            else:
                refused.append((number, path, refusal))
    for number, path, reason in refused:
        nameless = isinstance(reason, Nameless)
        shown = f"DICOM file {number} of {len(paths)} by name" if nameless else sight.shown(path)
        sight.refuse(f"{shown}: {reason}")
    return collector.series()
