"""Labels out of a project, in the images' own geometry, with a record of where they came from."""

import csv
import io
import json
import os
import shutil
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from annotator.exchange.export_names import reserve_names
from annotator.exchange.export_report import ExportedClasses, ExportedImage, provenance, readme
from annotator.exchange.writers import (
    WRITERS,
    check_formats,
    formats_for,
    kind_of_image,
    usual_for,
    usual_formats,
)
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.jobs import Job
from learners.text import count_of
from storage.arrays import sync_directory, write_bytes
from storage.database import full_disk_told
from storage.fold import fold
from storage.formats import grid_of_image
from storage.rows import ClassRow, ImageRow, LabelRow
from storage.store import Store
from storage.tags import TagRow

STORED = (".gz", ".png")  # packed already
NOTHING = "nothing that was chosen is labelled yet; label a slice first"


@dataclass(frozen=True)
class ExportRequest:
    """What to write. Raises ValueError for what nobody can write."""

    formats: tuple[str, ...] = field(default_factory=usual_formats)
    ignore: int | None = None  # written where nobody labelled; None writes 0
    images: tuple[int, ...] | None = None  # None: all
    originals: Path | None = None  # a folder with the files that images came from, for formats that need them

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.ignore is not None and not 0 <= self.ignore <= 65535:
            raise ValueError(f"the value for unlabelled voxels lies between 0 and 65535, got {self.ignore}")


@dataclass
class Writing:
    """One export under way, in a folder that gets its real name at the end."""

    folder: Path
    request: ExportRequest
    project: str
    classes: tuple[ClassRow, ...]
    names: dict[int, str]  # image -> what its files are called
    held_out: frozenset[int]  # images that judge models as a whole
    numbers: dict[int, int]  # class -> its value in files
    exported: list[ExportedImage] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # formats that wrote something

    @cached_property
    def writers(self) -> dict[str, Writer]:
        """Of the chosen formats, in the order of the registry."""
        return {
            name: entry.make(ExportFolder(self.folder / name, name, self.project, self.request.originals))
            for name, entry in WRITERS.items()
            if name in self.request.formats
        }

    def write(self, image: LabelledImage) -> None:
        """In every chosen format that fits it."""
        for name, writer in self.writers.items():
            if image.kind in WRITERS[name].fits:
                writer.write(image)
                self.used.add(name)


def export(store: Store, target: Path, request: ExportRequest, job: Job) -> Path:
    """Write `target`, a new folder or a .zip file, all or nothing; returns it.

    Raises ValueError where nothing is labelled, FileExistsError, StorageFull, and Cancelled out of the job.
    """
    images = _chosen(store, request)
    _check_ignore(store, request)
    as_zip = target.suffix.lower() == ".zip"
    if not as_zip and target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} holds files already; choose a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with full_disk_told("free some space and export again"):
            partial.mkdir()
            names = reserve_names(store.images(limit=-1)[1])
            classes = tuple(store.classes())
            numbers = store.class_values.of(classes)
            held = frozenset(image for image, axis, _ in store.rounds.held_out() if axis < 0)
            writing = Writing(partial, request, store.root.name, classes, names, held, numbers)
            _write_all(store, writing, images, job)
            _zip(partial, target) if as_zip else _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def of_series(store: Store, request: ExportRequest) -> list[str]:
    """The titles of chosen formats that need the DICOM files of an image; none where no chosen image has any."""
    titles = [WRITERS[name].title for name in request.formats if WRITERS[name].of_series]
    images = _chosen(store, request) if titles else []
    return titles if any(image.geometry.get("format") == "dicom" for image in images) else []


def _chosen(store: Store, request: ExportRequest) -> list[ImageRow]:
    """The images to export, in the project's order. Raises LookupError for a number that is not there."""
    if request.images is not None:
        return [store.image(image_id) for image_id in sorted(set(request.images))]
    return store.images(limit=-1)[1]


def _check_ignore(store: Store, request: ExportRequest) -> None:
    classes = store.classes()
    numbers = store.class_values.of(classes)
    named = next((c.name for c in classes if numbers[c.id] == request.ignore), None)
    if named is not None:
        free = next(v for v in (255, *range(254, 0, -1), 65535) if v not in numbers.values())
        raise ValueError(
            f"{request.ignore} is the value of class {named!r}; take {free} for unlabelled voxels"
        )


def _write_all(store: Store, writing: Writing, images: list[ImageRow], job: Job) -> None:
    left_out = 0
    for done, image in enumerate(images):
        job.check()
        job.report("exporting", done, len(images), image.name)
        labels = store.labels(image.id)
        if not labels:
            left_out += 1
            continue
        _write_image(writing, image, tuple(labels), job)
    if not writing.exported:
        raise ValueError(NOTHING)
    if not any(one.files for one in writing.exported):
        for one in writing.exported:
            if one.told:
                raise ValueError(f"nothing could be written. {one.image.name}: {one.told[0]}")
        raise ValueError(
            "the chosen formats fit none of the labelled images; "
            f"volumes need {formats_for('volume')}, pictures {formats_for('picture')}"
        )
    classes = list(writing.classes)  # others came meanwhile, and are nowhere
    for name, writer in writing.writers.items():
        if name in writing.used:
            writer.finish(classes)
    for one in writing.exported:
        if not one.files and not one.told:
            kind = kind_of_image(one.image.shape[0], one.grid)
            one.told.append(f"the chosen formats do not fit it; {usual_for(kind)} would")
        for sentence in one.told:
            job.refuse(f"{one.image.name}: {sentence}")
    tags = store.tags.of([image.id for image in images])
    _write_reports(writing, classes, left_out, tags)
    written = sum(bool(one.files) for one in writing.exported)
    job.report("exporting", len(images), len(images), f"{count_of(written, 'image')} exported")


def _write_image(writing: Writing, image: ImageRow, labels: tuple[LabelRow, ...], job: Job) -> None:
    folded = fold(image.shape, labels)
    labelled = LabelledImage(
        row=image,
        grid=grid_of_image(image.geometry, image.shape, image.spacing_mm),
        name=writing.names[image.id],
        known=folded.known(),
        instances=folded.instances,
        unknown=writing.request.ignore or 0,
        numbers=writing.numbers,
        classes=writing.classes,
        labels=labels,
        held_out=image.id in writing.held_out,
    )
    for problem in folded.problems:
        job.refuse(f"{image.name}: {problem}")
    writing.write(labelled)
    writing.exported.append(
        ExportedImage(
            image=image,
            grid=labelled.grid,
            labels=labels,
            present=labelled.present,
            share_known=labelled.share_known,
            problems=tuple(folded.problems),
            told=labelled.told,
            files=labelled.files,
        )
    )


def _write_reports(writing: Writing, classes: list[ClassRow], left_out: int, tags: list[TagRow]) -> None:
    ignore = writing.request.ignore
    told = ExportedClasses(classes, writing.numbers)
    record = provenance(writing.project, writing.exported, told, ignore, tags)
    _write_json(writing.folder / "provenance.json", record)
    write_bytes(writing.folder / "labels.csv", _class_table(told).encode())
    write_bytes(writing.folder / "README.txt", readme(writing.exported, ignore, left_out).encode())


def _write_json(path: Path, content: Any) -> None:
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _class_table(told: ExportedClasses) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    coded = any(c.code for c in told.classes)
    rows.writerow(["value", "name", "color", *(("scheme", "code", "meaning") if coded else ())])
    rows.writerow([0, "background", "", *([""] * 3 if coded else ())])
    for c in told.classes:
        code = (c.code.scheme, c.code.value, c.code.meaning) if c.code else ("",) * 3
        rows.writerow([told.values[c.id], c.name, c.color, *(code if coded else ())])
    return text.getvalue()


def _zip(folder: Path, target: Path) -> None:
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                packing = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(folder).as_posix(), packing)
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_directory(target.parent)


def _move(folder: Path, target: Path) -> None:
    if target.exists():
        target.rmdir()  # empty, or this was refused at the start
    os.replace(folder, target)
    sync_directory(target.parent)
