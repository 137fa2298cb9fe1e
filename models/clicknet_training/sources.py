"""The openly licensed training sets, read into 2D items: uint8 pixels, uint16 label map, name and split."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from skimage.measure import label as components

CT_WINDOWS = ((-160, 240), (-1000, 300), (-300, 1300))  # soft tissue, lung, bone: kept as three channels
VAL_BLOCKS = (3, 7)  # of ten equal blocks of slices along an axis, where a set has no split of its own


@dataclass(frozen=True)
class Item:
    """One image or slice."""

    set: str
    name: str
    split: str  # train or val
    pixels: NDArray[
        np.uint8
    ]  # (H, W, C): 1 grey, 3 colour; a CT's three windows; C = 0 where there is no image
    labels: NDArray[np.uint16]  # (H, W), 0 background


def read_all(data: Path) -> Iterator[Item]:
    """Every item of every set found in the folder; a set that is missing is left out."""
    readers = (
        dsb,
        photographs,
        pitting,
        superalloy,
        hippocampus,
        brain,
        spine,
        computed_tomography,
        label_maps,
    )
    for reader in readers:
        yield from reader(data)


def dsb(data: Path) -> Iterator[Item]:
    yield from _pictures(data / "dsb2018-nuclei")


def photographs(data: Path) -> Iterator[Item]:
    yield from _pictures(data / "coco-cc")


def pitting(data: Path) -> Iterator[Item]:
    yield from _pictures(data / "bsdata-pitting")


def superalloy(data: Path) -> Iterator[Item]:
    """Precipitates are labelled by phase; every connected one becomes an object of its own."""
    for item in _pictures(data / "superalloy"):
        objects = components(item.labels, background=0, connectivity=1).astype(np.uint16)
        yield Item(item.set, item.name, item.split, item.pixels, objects)


def hippocampus(data: Path) -> Iterator[Item]:
    for row in _split(data / "hippocampus"):
        image, labels = _volume(data / "hippocampus", row["file"])
        yield from _slices(image[..., None], labels, Named("hippocampus", row["file"], row["split"]))


def brain(data: Path) -> Iterator[Item]:
    yield from _own_blocks(data / "brain-aseg")


def spine(data: Path) -> Iterator[Item]:
    yield from _own_blocks(data / "spinal-cord", skip="crop")


def computed_tomography(data: Path) -> Iterator[Item]:
    folder = data / "dicom-samples"
    if not folder.is_dir():
        return
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "ct-abdomen" / "dicom")))
    scans = (
        ("ct-abdomen", reader.Execute(), folder / "ct-abdomen"),
        ("ct-torso", sitk.ReadImage(str(folder / "ct-torso-3mm" / "ct.nii.gz")), folder / "ct-torso-3mm"),
    )
    for name, scan, place in scans:
        labels = sitk.ReadImage(str(place / "label_totalsegmentator.nii.gz"))
        labels = sitk.Resample(labels, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        hounsfield = _oriented(scan).astype(np.float32)
        windows = np.stack([_windowed(hounsfield, low, high) for low, high in CT_WINDOWS], -1)
        yield from _slices(windows, _oriented(labels).astype(np.uint16), Named("ct", name, None))


def label_maps(data: Path) -> Iterator[Item]:
    """Labels without an image: scans are made of them while training. The last file is for validation."""
    files = sorted((data / "synthseg-labelmaps" / "labels").glob("*.nii.gz"))
    for file in files:
        labels = _oriented(sitk.ReadImage(str(file))).astype(np.uint16)
        named = Named("synthseg-labelmaps", file.name, "val" if file == files[-1] else "train")
        yield from _slices(np.zeros((*labels.shape, 0), np.uint8), labels, named, step=3)


@dataclass(frozen=True)
class Named:
    set: str
    file: str
    split: str | None  # None: by blocks of slices


def _split(folder: Path) -> list[dict[str, str]]:
    if not folder.is_dir():
        return []
    with open(folder / "split.csv", newline="") as file:
        return list(csv.DictReader(file))


def _pictures(folder: Path) -> Iterator[Item]:
    for row in _split(folder):
        picture = cv2.imread(str(folder / "images" / row["file"]), cv2.IMREAD_COLOR_RGB)
        labels = cv2.imread(
            str(folder / "labels" / Path(row["file"]).with_suffix(".png")), cv2.IMREAD_UNCHANGED
        )
        if picture is None or labels is None:
            raise OSError(f"{row['file']} in {folder.name} or its label cannot be read")
        grey = bool((picture == picture[..., :1]).all())
        pixels = np.ascontiguousarray(picture[..., :1] if grey else picture, np.uint8)
        yield Item(folder.name, row["file"], row["split"], pixels, labels.astype(np.uint16))


def _own_blocks(folder: Path, skip: str = "\0") -> Iterator[Item]:
    for file in sorted((folder / "images").glob("*.nii.gz")):
        if skip not in file.name:
            image, labels = _volume(folder, file.name)
            yield from _slices(image[..., None], labels, Named(folder.name, file.name, None))


def _volume(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Image by percentiles and labels, both (Z, Y, X) in display order."""
    image = _oriented(sitk.ReadImage(str(folder / "images" / name))).astype(np.float32)
    labels = _oriented(sitk.ReadImage(str(folder / "labels" / name)))
    low, high = np.percentile(image, (0.5, 99.7))
    return _windowed(image, low, high), labels.astype(np.uint16)


def _oriented(image: sitk.Image) -> NDArray[Any]:
    """(Z, Y, X) with x to the left, y to the back and z to the feet."""
    values: NDArray[Any] = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPI"))
    return values


def _windowed(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    return np.asarray(np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255), np.uint8)


def _slices(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint16], named: Named, step: int = 1
) -> Iterator[Item]:
    """The labelled slices of all three planes."""
    for axis in range(3):
        count = labels.shape[axis]
        for index in range(0, count, step):
            mask = np.take(labels, index, axis)
            if (mask > 0).any():
                split = named.split or ("val" if 10 * index // count in VAL_BLOCKS else "train")
                name = f"{named.file}:{axis}:{index}"
                yield Item(named.set, name, split, np.take(pixels, index, axis), mask)
