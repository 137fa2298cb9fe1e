"""Objects with known truth for the prompt benchmark: one case is one object on one windowed RGB slice.

They come from validation splits. The brain, the torso and the spinal cord are single scans of which the built-in
network saw slices; there only slices that its training kept back are drawn. They lie in the same scan, so their numbers
are kinder than a new patient's.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import nibabel
import numpy as np
from numpy.typing import NDArray

from models.clicknet_training.sources import VAL_BLOCKS

SOFT_TISSUE = (-160.0, 240.0)  # the window a reader of abdominal CT works in, in Hounsfield units


@dataclass(frozen=True)
class PromptCase:
    """One object to segment."""

    name: str
    image: NDArray[np.uint8]  # (H, W, 3)
    truth: NDArray[np.bool_]  # (H, W)
    ignore: NDArray[np.bool_] | None = None  # (H, W) nobody says what these are: never clicked, never counted


@dataclass(frozen=True)
class Draw:
    """Which cases to take: a data folder, a split, how many and from which seed."""

    data: Path
    split: str  # "train" or "val"
    count: int
    seed: int


def windowed(pixels: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    """(H, W) intensities to (H, W, 3) grey RGB."""
    grey = np.clip((pixels.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def in_split(folder: Path, split: str) -> list[str]:
    """File names that split.csv gives to this split, or every image where the set has no split."""
    table = folder / "split.csv"
    if not table.exists():
        return sorted(p.name for p in (folder / "images").iterdir())
    with open(table, newline="", encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file) if row["split"] == split]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) as the page shows it: deep grey images by their robust range."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError(f"{path.name} cannot be read as an image")
    if pixels.ndim == 3:
        return np.asarray(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB), np.uint8)
    if pixels.dtype == np.uint8:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    return windowed(pixels, *np.percentile(pixels, (0.5, 99.5)))


def read_label(path: Path) -> NDArray:
    """(H, W) the values of a label picture."""
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if label is None:
        raise ValueError(f"{path.name} cannot be read as a label picture")
    return label


def objects(labels: NDArray, connected: bool) -> Iterator[NDArray[np.bool_]]:
    """The objects of a label slice: its values, or the connected pieces of each where values are classes."""
    for value in np.unique(labels[labels > 0]):
        mask = labels == value
        if not connected:
            yield mask
            continue
        count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        yield from (pieces == piece for piece in range(1, count))


def image_cases(
    draw: Draw, folder: str, limits: tuple[int, float], connected: bool = False
) -> list[PromptCase]:
    """At most three objects an image, of at least limits[0] pixels and limits[1] of the picture."""
    rng = np.random.default_rng(draw.seed)
    root = draw.data / folder
    names = in_split(root, draw.split)
    cases: list[PromptCase] = []
    for name in rng.permutation(names):
        image = read_rgb(root / "images" / name)
        label = read_label(root / "labels" / (Path(name).stem + ".png"))
        least = max(limits[0], limits[1] * label.size)
        found = [mask for mask in objects(label, connected) if mask.sum() >= least]
        keep = max(3, -(-draw.count // len(names)))
        for i in rng.permutation(len(found))[:keep]:
            cases.append(PromptCase(f"{folder}/{name}#{i}", image, found[i]))
        if len(cases) >= draw.count:
            break
    return cases[: draw.count]


@lru_cache(maxsize=4)
def read_volume(path: Path) -> NDArray:
    """(Z, Y, X) in display order: head up, left of the patient on the right."""
    scan = nibabel.as_closest_canonical(nibabel.load(path))
    return np.ascontiguousarray(np.asarray(scan.dataobj).transpose(2, 1, 0)[::-1, ::-1, ::-1])


@dataclass(frozen=True)
class Scans:
    """Volumes to cut slices from."""

    pairs: list[tuple[Path, Path]]  # image and label
    least: int  # pixels of an object
    window: tuple[float, float] | None = None  # None: by percentiles
    by_slices: bool = False  # the volumes were trained on: only slices that were kept back are for validation


def volume_cases(draw: Draw, scans: Scans) -> list[PromptCase]:
    """One object of one slice at a time, volumes and planes taken in turn."""
    rng = np.random.default_rng(draw.seed)
    chosen = [scans.pairs[i] for i in rng.permutation(len(scans.pairs))[: max(1, draw.count)]]
    cases: dict[str, PromptCase] = {}
    for n, (image_path, label_path) in enumerate(chosen):
        scan, labels = read_volume(image_path), read_volume(label_path)
        low, high = scans.window or tuple(np.percentile(scan, (0.5, 99.5)))
        share = -(-draw.count * (n + 1) // len(chosen))
        for turn in range(6 * (share - len(cases))):  # a plane may have no object, and one may be drawn twice
            axis = (n + turn) % 3
            allowed = slices_of(scan.shape[axis], draw.split) if scans.by_slices else range(scan.shape[axis])
            found = object_on(labels, axis, np.array(allowed), (rng, scans.least))
            if found is not None and len(cases) < share:
                index, truth = found
                name = f"{image_path.stem}:{axis}:{index}#{np.flatnonzero(truth)[0]}"
                cases[name] = PromptCase(name, windowed(np.take(scan, index, axis), low, high), truth)
    return list(cases.values())


def slices_of(count: int, split: str) -> list[int]:
    """The slices of an axis that the built-in network was trained on, or those that were kept from it."""
    kept_back = [10 * index // count in VAL_BLOCKS for index in range(count)]
    return [index for index in range(count) if kept_back[index] == (split == "val")]


def object_on(
    labels: NDArray, axis: int, allowed: NDArray, luck: tuple[np.random.Generator, int]
) -> tuple[int, NDArray[np.bool_]] | None:
    """An allowed slice of this plane and one of its objects of at least so many pixels; None where there is none."""
    rng, least = luck
    for index in rng.permutation(allowed):
        plane = np.take(labels, index, axis)
        found = [m for m in objects(plane, connected=True) if m.sum() >= least] if plane.any() else []
        if found:
            return int(index), found[int(rng.integers(len(found)))]
    return None


def hippocampus(draw: Draw) -> list[PromptCase]:
    root = draw.data / "hippocampus"
    names = in_split(root, draw.split)
    return volume_cases(draw, Scans([(root / "images" / n, root / "labels" / n) for n in names], 30))


def brain(draw: Draw) -> list[PromptCase]:
    root = draw.data / "brain-aseg"
    name = next((root / "images").iterdir()).name
    pairs = [(root / "images" / name, root / "labels" / name)]
    return volume_cases(draw, Scans(pairs, 60, by_slices=True))


def torso(draw: Draw) -> list[PromptCase]:
    root = draw.data / "dicom-samples" / "ct-torso-3mm"
    pairs = [(root / "ct.nii.gz", root / "label_totalsegmentator.nii.gz")]
    return volume_cases(draw, Scans(pairs, 40, SOFT_TISSUE, by_slices=True))


def spinal_cord(draw: Draw) -> list[PromptCase]:
    root = draw.data / "spinal-cord"
    names = ["t2_iso.nii.gz", "t2s_full.nii.gz"]
    pairs = [(root / "images" / n, root / "labels" / n) for n in names]
    return volume_cases(draw, Scans(pairs, 20, by_slices=True))


SETS: dict[str, Callable[[Draw], list[PromptCase]]] = {
    "dsb2018-nuclei": lambda draw: image_cases(draw, "dsb2018-nuclei", (30, 0)),
    "coco-cc": lambda draw: image_cases(draw, "coco-cc", (100, 0.01)),
    "bsdata-pitting": lambda draw: image_cases(draw, "bsdata-pitting", (30, 0)),
    "superalloy": lambda draw: image_cases(draw, "superalloy", (60, 0), connected=True),
    "hippocampus": hippocampus,
    "brain-aseg": brain,
    "ct-torso": torso,
    "spinal-cord": spinal_cord,
}
