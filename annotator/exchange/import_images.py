"""Folders and files into a project: images first, then the masks that belong to them. Bad files cost one line each."""

import secrets
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotator.exchange.import_files import (
    FileListing,
    Key,
    MaskFiles,
    companion,
    find_files,
    image_key,
    masks_beside,
    masks_given,
)
from annotator.exchange.import_masks import import_mask
from annotator.jobs import Job
from storage import formats
from storage.formats import FileRefused, dicom
from storage.formats.dicom_headers import Nameless
from storage.formats.privacy import Identities
from storage.scan import Scan
from storage.store import Store

NAMED = 3  # files that are no images, in the one line about an import
EMPTY = "it is empty (0 bytes)"
UNKNOWN_KIND = "its format is not supported; convert it to PNG, TIFF, NIfTI or NRRD"
SALT = "name-salt"  # setting: makes pseudonyms of DICOM series the project's own


@dataclass(frozen=True)
class ImportReport:
    """What became of an import."""

    added: tuple[int, ...]  # new images
    refused: tuple[str, ...]  # one line for each thing left out
    known: int = 0  # images that were there already
    labelled: tuple[int, ...] = ()  # images that got labels from masks, new or not
    passed: tuple[str, ...] = ()  # files that go with images and are none, such as notes and tables

    @property
    def message(self) -> str:
        known = f", {self.known} there already" if self.known else ""
        masks = f", {len(self.labelled)} masks as labels" if self.labelled else ""
        refused = f", {len(self.refused)} left out" if self.refused else ""
        return f"{len(self.added)} imported{masks}{known}{refused}{self._passed}"

    @property
    def _passed(self) -> str:
        if not self.passed:
            return ""
        more = f" and {len(self.passed) - NAMED} more" if len(self.passed) > NAMED else ""
        return f", {len(self.passed)} no image: {', '.join(self.passed[:NAMED])}{more}"


@dataclass(frozen=True)
class ImportItem:
    """What becomes one image (or several, where a series mixes echoes): a file or a DICOM series."""

    files: tuple[Path, ...]
    series: dicom.Series | None = None


@dataclass
class ImportRun:
    """One import under way; thrown away at its end."""

    store: Store
    job: Job
    found: FileListing
    identities: Identities
    objects: bool | None
    masks: MaskFiles = field(default_factory=MaskFiles)
    used: set[Path] = field(default_factory=set)
    added: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    later: list[tuple[Path, str]] = field(default_factory=list)  # refusals, until every DICOM header was read
    passed: list[Path] = field(default_factory=list)
    known: int = 0
    labelled: list[int] = field(default_factory=list)

    def refuse(self, line: str) -> None:
        self.refused.append(line)
        self.job.refuse(line)

    def shown(self, path: Path) -> str:
        """The path for messages; a stand-in where it names a person of a DICOM header."""
        shown = self.found.shown(path) if path.is_relative_to(self.found.root) else path.name
        if self.identities.in_path(shown):
            return f"file {self.identities.pseudonym(shown)} (its name identifies a person)"
        return "".join(c if c.isprintable() else "_" for c in shown)


def import_path(
    store: Store, path: Path, job: Job, *, labels: Path | None = None, objects: bool | None = None
) -> ImportReport:
    """Import a file or every file below a folder; running it again adds only what is missing.

    Masks: those in a folder `labels` beside `images`, or `labels`, a file or folder. `objects` says whether mask
    values number objects (True) or name classes (False); None decides by the values. Raises StorageFull.
    """
    path = path.resolve()
    job.report("looking", 0, 0, "looking for images")
    found = find_files(path, apart_from=store.root.resolve())
    run = ImportRun(store, job, found, Identities(_salt(store)), objects)
    run.masks = masks_given(labels.resolve()) if labels else masks_beside(found)
    units = list(_units(run))
    for done, unit in enumerate(units):
        if job.cancelled:
            break
        job.report("importing", done, len(units), run.shown(unit.files[0]))
        _import_unit(run, unit)
    if not job.cancelled:
        _report_lonely_masks(run)
    passed = tuple(run.shown(path) for path in run.passed)
    report = ImportReport(tuple(run.added), tuple(run.refused), run.known, tuple(run.labelled), passed)
    job.report("importing", len(units), len(units), report.message)
    return report


def _units(run: ImportRun) -> Iterator[ImportItem]:
    """Files and series in the order of their first files. Reads every DICOM header, then says what it refused."""
    kinds = dict(_kinds(run))
    series: dict[Path, list[dicom.Series]] = defaultdict(list)
    for one in _collect(run, [path for path, kind in kinds.items() if kind == "dicom"]):
        series[one.slices[0].path].append(one)
    _refuse_what_waited(run)
    for path, kind in kinds.items():
        if kind != "dicom":
            yield ImportItem((path,))
        for one in series.get(path, []):
            yield ImportItem(tuple(dict.fromkeys(s.path for s in one.slices)), one)


def _kinds(run: ImportRun) -> Iterator[tuple[Path, str]]:
    """The files that are images, with their kind; others are passed over or refused."""
    alone = len(run.found.files) == 1
    masks = run.masks.files
    for path in run.found.files:
        if path in masks:
            continue
        try:
            kind = formats.kind_of(path) if path.stat().st_size else "empty"
        except OSError as error:
            run.later.append((path, f"it cannot be opened ({error.strerror})"))
            continue
        if kind and kind != "empty":
            yield path, kind
        elif alone or not companion(path):
            run.later.append((path, EMPTY if kind == "empty" else UNKNOWN_KIND))
        else:
            run.passed.append(path)


def _refuse_what_waited(run: ImportRun) -> None:
    for name in run.found.unreadable:
        hidden = run.identities.in_path(name)
        shown = f"file {run.identities.pseudonym(name)}" if hidden else name
        run.refuse(f"{shown}: its name cannot be read as text; rename it")
    for folder in run.found.closed:
        run.refuse(f"{run.shown(folder)}: you may not open this folder; ask for permission")
    for path, reason in run.later:
        run.refuse(f"{run.shown(path)}: {reason}")


def _collect(run: ImportRun, paths: list[Path]) -> list[dicom.Series]:
    """All series of these files. Only when every header was read is it known whom a path names."""
    collector = dicom.Collector(run.identities)
    refused: list[tuple[int, Path, FileRefused]] = []
    for number, path in enumerate(paths, start=1):
        if run.job.cancelled:
            return []
        run.job.report("reading DICOM headers", number, len(paths))
        try:
            collector.add(path)
        except FileRefused as refusal:
            refused.append((number, path, refusal))
    for number, path, reason in refused:
        nameless = isinstance(reason, Nameless)
        shown = f"DICOM file {number} of {len(paths)} by name" if nameless else run.shown(path)
        run.refuse(f"{shown}: {reason}")
    return collector.series()


def _import_unit(run: ImportRun, unit: ImportItem) -> None:
    try:
        scans = _named(run, unit)
    except FileRefused as refusal:
        run.refuse(f"{_unit_shown(run, unit)}: {refusal}")
        return
    for scan in scans:
        image_id = run.store.find_image(scan)
        if image_id is None:
            image_id = run.store.add_image(scan)
            run.added.append(image_id)
        else:
            run.known += 1
        _import_mask(run, unit, image_id)


def _import_mask(run: ImportRun, unit: ImportItem, image_id: int) -> None:
    mask = run.masks.of(_key(run, unit))
    if mask is None or (run.masks.only and mask in run.used):
        return
    run.used.add(mask)
    shown = run.shown(mask)
    try:
        if import_mask(run.store, run.store.image(image_id), mask, shown, objects=run.objects):
            run.labelled.append(image_id)
    except FileRefused as refusal:
        run.refuse(f"{shown}: {refusal}")


def _named(run: ImportRun, unit: ImportItem) -> list[Scan]:
    """The unit's scans under names and sources that identify nobody."""
    if unit.series is None:
        scan = formats.read(unit.files[0])
        source = run.found.shown(unit.files[0])
        if run.identities.in_path(source):
            return [replace(scan, name=f"image {run.identities.pseudonym(source)}", source="")]
        return [replace(scan, source=source)]
    place = _place(unit)
    source = run.found.shown(place) if place != run.found.root else ""
    name, source = _series_name(run, unit, place, source)
    scans = []
    for scan, note in formats.read_series(unit.series):
        scans.append(replace(scan, name=name, source=source))
        if note:
            run.refuse(f"{_unit_shown(run, unit)}: {note}")
    return scans


def _series_name(run: ImportRun, unit: ImportItem, place: Path, source: str) -> tuple[str, str]:
    assert unit.series is not None
    modality = unit.series.modality if (unit.series.modality or "").isalnum() else None
    title = formats.stem(place) if place.is_file() else place.name
    # the folder that was chosen may carry the patient's name although it is no part of `source`
    if not title or run.identities.in_path(f"{title}/{source}"):
        return f"{modality or 'DICOM'} {run.identities.pseudonym(unit.series.key)}", ""
    printable = "".join(c if c.isprintable() else "_" for c in title)
    return f"{printable} {modality or 'DICOM'}", source


def _place(unit: ImportItem) -> Path:
    """The file of a series of one file; the folder of others, the nearest common one where they are scattered."""
    if len(unit.files) == 1:
        return unit.files[0]
    folder = unit.files[0].parent
    while not all(f.is_relative_to(folder) for f in unit.files):
        folder = folder.parent
    return folder


def _unit_shown(run: ImportRun, unit: ImportItem) -> str:
    if unit.series is None:
        return run.shown(unit.files[0])
    place = _place(unit)
    source = run.found.shown(place) if place != run.found.root else ""
    name, source = _series_name(run, unit, place, source)
    return f"series {name}" + (f" in {source}" if source else "")


def _key(run: ImportRun, unit: ImportItem) -> Key:
    place = _place(unit)
    if place == run.found.root:
        return (place.name,)
    return (
        image_key(run.found, place)
        if unit.series is None
        else (*image_key(run.found, place)[:-1], place.stem)
    )


def _report_lonely_masks(run: ImportRun) -> None:
    for mask in sorted(run.masks.files - run.used):
        if formats.kind_of(mask) is not None:
            run.refuse(
                f"{run.shown(mask)}: no imported image has the name of this mask; rename it or import the image"
            )


def _salt(store: Store) -> str:
    if (salt := store.setting(SALT)) is None:
        store.set_setting(SALT, salt := secrets.token_hex(16))
    return salt
