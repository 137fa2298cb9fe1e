"""Labels out of a project, in the images' own geometry, with a record of where they came from."""

import csv
import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotator.exchange.export_report import ExportedImage, provenance, readme
from annotator.jobs import Job
from learners.text import count_of
from storage.arrays import BACKGROUND, UNLABELLED, sync_directory, write_bytes
from storage.database import full_disk_told
from storage.fold import fold
from storage.formats import coco, grid_of_image, stem
from storage.formats.nifti import write_labels
from storage.rows import ClassRow, ImageRow, LabelRow
from storage.store import Store
from storage.tags import TagRow

FORMATS = ("nifti", "png", "coco")
STORED = (".gz", ".png")  # packed already
NOTHING = "nothing that was chosen is labelled yet; label a slice first"


@dataclass(frozen=True)
class ExportRequest:
    """What to write. Raises ValueError for what nobody can write."""

    formats: tuple[str, ...] = FORMATS
    ignore: int | None = None  # written where nobody labelled; None writes 0
    images: tuple[int, ...] | None = None  # None: all

    def __post_init__(self) -> None:
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown or not self.formats:
            raise ValueError(f"export formats are {', '.join(FORMATS)}; got {', '.join(unknown) or 'none'}")
        if self.ignore is not None and not 0 <= self.ignore <= 65535:
            raise ValueError(f"the value for unlabelled voxels lies between 0 and 65535, got {self.ignore}")


@dataclass(frozen=True)
class Voxels:
    """What is known about an image: (Z, Y, X) classes, UNLABELLED where nothing is, and object numbers."""

    known: NDArray[np.uint8]
    instances: NDArray[np.uint16] | None

    @property
    def present(self) -> tuple[int, ...]:
        return tuple(v for v in np.unique(self.known).tolist() if v not in (BACKGROUND, UNLABELLED))

    @property
    def share_known(self) -> float:
        return 1.0 - float(np.count_nonzero(self.known == UNLABELLED)) / self.known.size


@dataclass
class Writing:
    """One export under way, in a folder that gets its real name at the end."""

    folder: Path
    request: ExportRequest
    classes: list[ClassRow]
    names: set[str] = field(default_factory=set)
    exported: list[ExportedImage] = field(default_factory=list)
    coco_images: list[dict[str, Any]] = field(default_factory=list)
    coco_objects: list[dict[str, Any]] = field(default_factory=list)

    def free_name(self, image: ImageRow) -> str:
        """A file name for an image, unlike the others whatever the file system thinks of case."""
        name = re.sub(r"[^\w.-]+", "_", stem(Path(image.name))).strip("._")[:100] or "image"
        if name.casefold() in self.names:
            name = f"{name}_{image.id}"
        self.names.add(name.casefold())
        return name

    def place(self, kind: str, name: str) -> tuple[Path, str]:
        """The path of a file to write, its folder made, and how the report names it."""
        (self.folder / kind).mkdir(exist_ok=True)
        return self.folder / kind / name, f"{kind}/{name}"


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
            _write_all(store, Writing(partial, request, store.classes()), images, job)
            _zip(partial, target) if as_zip else _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _chosen(store: Store, request: ExportRequest) -> list[ImageRow]:
    """The images to export, in the project's order. Raises LookupError for a number that is not there."""
    if request.images is not None:
        return [store.image(image_id) for image_id in sorted(set(request.images))]
    return store.images(limit=-1)[1]


def _check_ignore(store: Store, request: ExportRequest) -> None:
    named = next((c.name for c in store.classes() if c.id == request.ignore), None)
    if named is not None:
        raise ValueError(f"{request.ignore} is the number of class {named!r}; take 255 for unlabelled voxels")


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
        raise ValueError(
            "the chosen formats fit none of the labelled images; volumes need nifti, pictures png or coco"
        )
    writing.classes = store.classes()  # again: a class may have come while the images were written
    tags = store.tags.of([image.id for image in images])
    _write_reports(writing, store.root.name, left_out, tags)
    job.report("exporting", len(images), len(images), f"{count_of(len(writing.exported), 'image')} exported")


def _write_image(writing: Writing, image: ImageRow, labels: tuple[LabelRow, ...], job: Job) -> None:
    folded = fold(image.shape, labels)
    voxels = Voxels(folded.known(), folded.instances)
    grid = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    one = ExportedImage(image, grid, labels, voxels.present, voxels.share_known, tuple(folded.problems))
    for problem in folded.problems:
        job.refuse(f"{image.name}: {problem}")
    name = writing.free_name(image)
    if "nifti" in writing.request.formats and (image.is_volume or grid.oriented):
        _write_nifti(writing, one, voxels, name)
    if "png" in writing.request.formats and not image.is_volume:
        _write_png(writing, one, voxels, name)
    if "coco" in writing.request.formats and not image.is_volume:
        _add_to_coco(writing, one, voxels)
    writing.exported.append(one)


def _write_nifti(writing: Writing, one: ExportedImage, voxels: Voxels, name: str) -> None:
    path, shown = writing.place("nifti", f"{name}.nii.gz")
    write_labels(path, _filled(voxels.known, writing.request.ignore), one.grid)
    one.files.append(shown)
    if voxels.instances is not None:
        path, shown = writing.place("nifti", f"{name}_instances.nii.gz")
        write_labels(path, voxels.instances, one.grid)
        one.files.append(shown)


def _write_png(writing: Writing, one: ExportedImage, voxels: Voxels, name: str) -> None:
    path, shown = writing.place("png", f"{name}.png")
    write_bytes(path, _png(_filled(voxels.known, writing.request.ignore)[0]))
    one.files.append(shown)
    if voxels.instances is not None:
        path, shown = writing.place("png", f"{name}_instances.png")
        write_bytes(path, _png(voxels.instances[0]))
        one.files.append(shown)


def _add_to_coco(writing: Writing, one: ExportedImage, voxels: Voxels) -> None:
    image = one.image
    _, height, width = image.shape
    entry = {"id": image.id, "file_name": image.source or image.name, "width": width, "height": height}
    writing.coco_images.append(entry)
    writing.coco_objects += coco.annotations(
        voxels.known[0],
        None if voxels.instances is None else voxels.instances[0],
        image_id=image.id,
        first_id=len(writing.coco_objects) + 1,
    )
    one.files.append("coco/annotations.json")


def _filled(known: NDArray[np.uint8], ignore: int | None) -> NDArray:
    """Class values with the unknown written as `ignore`, or 0: uint8 where it fits."""
    value = ignore or 0
    wide = known if value <= 255 else known.astype(np.uint16)
    return np.where(known == UNLABELLED, wide.dtype.type(value), wide)


def _png(values: NDArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG")
    return buffer.getvalue()


def _write_reports(writing: Writing, project: str, left_out: int, tags: list[TagRow]) -> None:
    ignore = writing.request.ignore
    if writing.coco_images:
        content = {
            "info": {"description": f"{project}, labelled with Slicewise"},
            "images": writing.coco_images,
            "annotations": writing.coco_objects,
            "categories": coco.categories([(c.id, c.name) for c in writing.classes]),
        }
        _write_json(writing.place("coco", "annotations.json")[0], content)
    record = provenance(project, writing.exported, writing.classes, ignore, tags)
    _write_json(writing.folder / "provenance.json", record)
    write_bytes(writing.folder / "labels.csv", _class_table(writing.classes).encode())
    write_bytes(writing.folder / "README.txt", readme(writing.exported, ignore, left_out).encode())


def _write_json(path: Path, content: Any) -> None:
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _class_table(classes: list[ClassRow]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["value", "name", "color"])
    rows.writerows([(0, "background", ""), *((c.id, c.name, c.color) for c in classes)])
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
