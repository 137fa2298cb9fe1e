"""Projects whose labels are hard to write rightly: oblique, flipped and flat volumes, partly labelled, and pictures."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import ImportReport, import_path
from annotator.jobs import Job
from storage.arrays import UNLABELLED, Box, Patch, SliceRef
from storage.fold import fold
from storage.rows import NewLabel
from storage.store import Store

VOLUME = (7, 5, 6)  # i, j, k of the files
_TILT = np.array([[0.9, -0.35, 0.26], [0.33, 0.93, 0.11], [-0.28, -0.02, 0.96]])
_Q = np.linalg.qr(_TILT)[0]


def affine(kind: str) -> NDArray[np.float64]:
    """4 x 4 of a file: `oblique`, `flipped` (left-handed) or `flat` (slices far apart, axes in another order)."""
    out = np.eye(4)
    directions = {
        "oblique": _Q @ np.diag([0.7, 0.9, 3.0]),
        "flipped": np.diag([-1.5, 1.0, 2.0]),
        "flat": np.array([[0, 0, -5.0], [0.4, 0, 0], [0, 0.4, 0]]),
    }
    out[:3, :3], out[:3, 3] = directions[kind], (12.5, -40.25, 7)
    return out


VOLUMES = ("oblique", "flipped", "flat")


def volume_file(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(len(kind)).integers(-500, 900, VOLUME).astype(np.int16)
    nib.save(nib.Nifti1Image(values, affine(kind)), path)
    return path


def picture_file(path: Path, shape: tuple[int, ...] = (31, 44)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)).save(path)
    return path


def objects(shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Numbered objects: a disk that touches another, a ring with a hole, one in two parts, one pixel."""
    out = np.zeros(shape, np.uint16)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    out[(rows - 8) ** 2 + (columns - 9) ** 2 <= 30] = 1
    out[(rows - 8) ** 2 + (columns - 19) ** 2 <= 24] = 2
    ring = (rows - 20) ** 2 + (columns - 12) ** 2
    out[(ring <= 40) & (ring > 7)] = 3
    out[18:22, 30:34] = out[24:27, 36:43] = 4
    out[15, 40] = 5
    return out


def add_labels(
    store: Store, image_id: int, classes: NDArray[np.uint8], numbers: NDArray[np.uint16] | None = None
) -> None:
    """Patches along z that say all of (Z, Y, X); UNLABELLED says nothing."""
    for index, rows in enumerate(classes):
        if (rows == UNLABELLED).all():
            continue
        own = None if numbers is None else np.ascontiguousarray(numbers[index])
        patch = Patch(Box(0, 0, *rows.shape), np.ascontiguousarray(rows), own)
        store.add_label(NewLabel(SliceRef(image_id, 0, index), patch, f"c{image_id}-{index}", "ann"))


def project_of_volumes(store: Store, data: Path, *, unknown: bool = True) -> dict[str, NDArray[np.uint8]]:
    """A volume of each kind with two classes and background; of the last slices nothing is known. By source."""
    liver, tumour = store.add_class("liver", "#112233"), store.add_class("Tumour, left", "#fedcba")
    truths = {}
    for kind in VOLUMES:
        volume_file(data / f"{kind}.nii.gz", kind)
    for image_id in import_path(store, data, Job("import")).added:
        row = store.image(image_id)
        rng = np.random.default_rng(image_id)
        truth = rng.choice([0, liver.id, tumour.id], row.shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        if unknown:
            truth[-2:] = UNLABELLED
            truth[0, 0, :2] = UNLABELLED
        add_labels(store, image_id, truth)
        truths[row.source] = truth
    return truths


def project_of_pictures(store: Store, data: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    """Two pictures, grey and in colours, with numbered objects of two classes; all is known. By source."""
    cell, debris = store.add_class("cell", "#00ff7f"), store.add_class("debris", "#aa0011")
    picture_file(data / "grey.png")
    picture_file(data / "colour.png", (31, 44, 3))
    truths = {}
    for image_id in import_path(store, data, Job("import")).added:
        row = store.image(image_id)
        numbers = objects(row.shape[1:])[None]
        classes = np.where(numbers > 3, debris.id, np.where(numbers > 0, cell.id, 0)).astype(np.uint8)
        add_labels(store, image_id, classes, numbers)
        truths[row.source] = classes, numbers
    return truths


def exported(store: Store, target: Path, *names: str, ignore: int | None = None) -> Path:
    return export(store, target, ExportRequest(names, ignore), Job("export"))


def imported(store: Store, data: Path, labels: Path | None = None) -> ImportReport:
    return import_path(store, data, Job("import"), labels=labels)


def known_of(store: Store) -> dict[str, NDArray[np.uint8]]:
    """What is known of every image, by source, in the ids of classes."""
    _, rows = store.images(limit=-1)
    return {row.source: fold(row.shape, store.labels(row.id)).known() for row in rows}


def numbers_of(store: Store) -> dict[str, NDArray[np.uint16] | None]:
    _, rows = store.images(limit=-1)
    return {row.source: fold(row.shape, store.labels(row.id)).instances for row in rows}


def named(store: Store, known: NDArray[np.uint8]) -> NDArray[np.object_]:
    """Classes by name, so that projects can be compared."""
    table = np.array([str(n) for n in range(256)], object)
    for row in store.classes():
        table[row.id] = row.name
    return table[known]
