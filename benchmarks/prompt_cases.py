"""Objects with known truth for the prompt benchmark: one case is one object on one windowed RGB slice."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import nibabel
import numpy as np
from numpy.typing import NDArray

SOFT_TISSUE = (-160.0, 240.0)  # the window a reader of abdominal CT works in, in Hounsfield units


@dataclass(frozen=True)
class Case:
    """One object to segment."""

    name: str
    image: NDArray[np.uint8]  # (H, W, 3)
    truth: NDArray[np.bool_]  # (H, W)


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
        return cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)
    if pixels.dtype == np.uint8:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
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


def image_cases(draw: Draw, folder: str, limits: tuple[int, float], connected: bool = False) -> list[Case]:
    """At most three objects an image, of at least limits[0] pixels and limits[1] of the picture."""
    rng = np.random.default_rng(draw.seed)
    root = draw.data / folder
    names = in_split(root, draw.split)
    cases: list[Case] = []
    for name in rng.permutation(names):
        image = read_rgb(root / "images" / name)
        label = read_label(root / "labels" / (Path(name).stem + ".png"))
        least = max(limits[0], limits[1] * label.size)
        found = [mask for mask in objects(label, connected) if mask.sum() >= least]
        keep = max(3, -(-draw.count // len(names)))
        for i in rng.permutation(len(found))[:keep]:
            cases.append(Case(f"{folder}/{name}#{i}", image, found[i]))
        if len(cases) >= draw.count:
            break
    return cases[: draw.count]


def read_volume(path: Path) -> NDArray:
    """(Z, Y, X) in display order: head up, left of the patient on the right."""
    scan = nibabel.as_closest_canonical(nibabel.load(path))
    return np.ascontiguousarray(np.asarray(scan.dataobj).transpose(2, 1, 0)[::-1, ::-1, ::-1])


def volume_cases(
    draw: Draw, pairs: list[tuple[Path, Path]], window: tuple[float, float] | None, least: int
) -> list[Case]:
    """One object of one slice at a time, volumes and planes taken in turn."""
    rng = np.random.default_rng(draw.seed)
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[: max(1, draw.count)]]
    cases: list[Case] = []
    per_volume = -(-draw.count // len(chosen))
    for image_path, label_path in chosen:
        scan, labels = read_volume(image_path), read_volume(label_path)
        low, high = window or tuple(np.percentile(scan, (0.5, 99.5)))
        for turn in range(per_volume):
            case = slice_case(scan, labels, (len(cases) + turn) % 3, rng, least)
            if case is not None:
                image, truth = case
                cases.append(Case(f"{image_path.stem}#{len(cases)}", windowed(image, low, high), truth))
    return cases[: draw.count]


def slice_case(
    scan: NDArray, labels: NDArray, axis: int, rng: np.random.Generator, least: int
) -> tuple[NDArray, NDArray[np.bool_]] | None:
    """A random object of a random slice of this plane, of at least `least` pixels; None where luck runs out."""
    for _ in range(60):
        index = int(rng.integers(scan.shape[axis]))
        found = [m for m in objects(np.take(labels, index, axis), connected=True) if m.sum() >= least]
        if found:
            return np.take(scan, index, axis), found[int(rng.integers(len(found)))]
    return None


def hippocampus(draw: Draw) -> list[Case]:
    root = draw.data / "hippocampus"
    names = in_split(root, draw.split)
    return volume_cases(draw, [(root / "images" / n, root / "labels" / n) for n in names], None, 30)


def brain(draw: Draw) -> list[Case]:
    root = draw.data / "brain-aseg"
    name = next((root / "images").iterdir()).name
    return volume_cases(draw, [(root / "images" / name, root / "labels" / name)], None, 60)


def torso(draw: Draw) -> list[Case]:
    root = draw.data / "dicom-samples" / "ct-torso-3mm"
    return volume_cases(draw, [(root / "ct.nii.gz", root / "label_totalsegmentator.nii.gz")], SOFT_TISSUE, 40)


def spinal_cord(draw: Draw) -> list[Case]:
    root = draw.data / "spinal-cord"
    names = ["t2_iso.nii.gz", "t2s_full.nii.gz"]
    return volume_cases(draw, [(root / "images" / n, root / "labels" / n) for n in names], None, 20)


SETS: dict[str, Callable[[Draw], list[Case]]] = {
    "dsb2018-nuclei": lambda draw: image_cases(draw, "dsb2018-nuclei", (30, 0)),
    "coco-cc": lambda draw: image_cases(draw, "coco-cc", (100, 0.01)),
    "bsdata-pitting": lambda draw: image_cases(draw, "bsdata-pitting", (30, 0)),
    "superalloy": lambda draw: image_cases(draw, "superalloy", (60, 0), connected=True),
    "hippocampus": hippocampus,
    "brain-aseg": brain,
    "ct-torso": torso,
    "spinal-cord": spinal_cord,
}
