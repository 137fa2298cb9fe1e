"""What reference segmentation is measured on: images to take references from, and others that hold the same things."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ORGANS = ("spleen", "liver", "stomach", "aorta")
PHOTOGRAPHED = ("person", "dining table", "cup", "toilet")  # with at least a hundredth of six images or more
SHARE = 0.01
POOL = 20  # images that references are drawn from
FEW = 6  # targets; with fewer there are fewer tasks, too

Pair = tuple[Path, Path]  # an image and its mask, whose values are the classes


@dataclass(frozen=True)
class Task:
    """References are taken from the first, targets are the second; neither holds an image of the other."""

    name: str
    classes: tuple[str, ...]
    references: tuple[Pair, ...]
    targets: tuple[Pair, ...]
    whole_images: bool = True
    slices: tuple[int, ...] = ()  # numbers of labelled slices of one reference, tried besides all of it


@dataclass(frozen=True)
class WantedImages:
    """Where data is, where converted masks may go, and how many targets to take."""

    data: Path
    folder: Path
    targets: int


def nuclei(wanted: WantedImages) -> Iterator[Task]:
    """Each laboratory and stain with itself, and the small fluorescence pictures with the others."""
    table = _table(wanted.data / "dsb2018-nuclei" / "split.csv")
    kinds = ("fluo256", "fluo360", "histo320")

    def pairs(domain: str, split: str, count: int) -> tuple[Pair, ...]:
        names = [row["file"] for row in table if row["domain"] == domain and row["split"] == split]
        names = names[:: max(1, len(names) // count)][:count]
        return tuple(_ones(wanted, "dsb2018-nuclei", name) for name in names)

    for kind in kinds[: 1 if wanted.targets < FEW else None]:
        yield Task(
            f"nuclei {kind}", ("nucleus",), pairs(kind, "train", POOL), pairs(kind, "val", wanted.targets)
        )
    others = [pairs(kind, "val", max(1, wanted.targets // 2)) for kind in kinds[1:]]
    yield Task(
        "nuclei, other kinds",
        ("nucleus",),
        pairs(kinds[0], "train", POOL),
        tuple(p for o in others for p in o),
    )


def pitting(wanted: WantedImages) -> Iterator[Task]:
    """Specks on metal, a quarter of a per cent of a picture."""
    table = _table(wanted.data / "bsdata-pitting" / "split.csv")
    train, val = ([row["file"] for row in table if row["split"] == side] for side in ("train", "val"))
    stem = [_ones(wanted, "bsdata-pitting", name) for name in (*train[:: max(1, len(train) // 8)], *val)]
    count = len(train[:: max(1, len(train) // 8)])
    yield Task("pitting", ("pit",), tuple(stem[:count]), tuple(stem[count:][: wanted.targets]))


def hippocampus(wanted: WantedImages) -> Iterator[Task]:
    """Across volumes of three ranges of intensity."""
    folder, table = wanted.data / "hippocampus", _table(wanted.data / "hippocampus" / "split.csv")

    def pairs(split: str, count: int) -> tuple[Pair, ...]:
        names = [row["file"] for row in table if row["split"] == split]
        return tuple(
            (folder / "images" / n, folder / "labels" / n) for n in names[:: len(names) // count][:count]
        )

    yield Task(
        "hippocampus", ("anterior", "posterior"), pairs("train", 8), pairs("val", wanted.targets), False
    )


def organs(wanted: WantedImages) -> Iterator[Task]:
    """From the torso to the abdomen of another person: other spacing, another scanner; a model's labels."""
    import nibabel

    folder = wanted.data / "dicom-samples"
    places = (
        (folder / "ct-torso-3mm" / "ct.nii.gz", folder / "ct-torso-3mm"),
        (folder / "ct-abdomen" / "dicom", folder / "ct-abdomen"),
    )
    pairs = []
    for image, place in places:
        values = {row["name"]: int(row["value"]) for row in _table(place / "labels.csv")}
        file = nibabel.load(next(place.glob("label*.nii.gz")))
        seen = np.asarray(file.dataobj)  # type: ignore[attr-defined]
        out = np.zeros(seen.shape, np.uint8)
        for number, name in enumerate(ORGANS, start=1):
            out[seen == values[name]] = number
        path = wanted.folder / f"{place.name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(out, file.affine), path)  # type: ignore[attr-defined]
        pairs.append((image, path))
    yield Task("CT organs", ORGANS, (pairs[0],), (pairs[1],), False, slices=(1, 5))


def photographs(wanted: WantedImages) -> Iterator[Task]:
    """One class in other photographs, and as many photographs without it."""
    folder = wanted.data / "coco-cc"
    table = [row for row in _table(folder / "objects.csv") if float(row["share"]) >= SHARE]
    everywhere = sorted({row["file"] for row in _table(folder / "objects.csv")})
    for name in PHOTOGRAPHED[: 1 if wanted.targets < FEW else None]:
        values: dict[str, list[int]] = {}
        for row in table:
            if row["class"] == name:
                values.setdefault(row["file"], []).append(int(row["value"]))
        anywhere = {row["file"] for row in _table(folder / "objects.csv") if row["class"] == name}
        absent = [file for file in everywhere if file not in anywhere][: wanted.targets // 2]
        there = sorted(values)
        chosen = there[6 if len(there) > 8 else len(there) // 2 :][: wanted.targets - len(absent)]
        pairs = {file: _some(wanted, file, name, values.get(file, [])) for file in (*there, *absent)}
        references = tuple(pairs[file] for file in there if file not in chosen)
        yield Task(f"photographs, {name}", (name,), references, tuple(pairs[f] for f in (*chosen, *absent)))


TASKS: dict[str, Callable[[WantedImages], Iterator[Task]]] = {
    "dsb2018-nuclei": nuclei,
    "bsdata-pitting": pitting,
    "hippocampus": hippocampus,
    "dicom-samples": organs,
    "coco-cc": photographs,
}


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _ones(wanted: WantedImages, data_set: str, name: str) -> Pair:
    """Every object as class 1."""
    folder = wanted.data / data_set
    label = folder / "labels" / re.sub(r"\.\w+$", ".png", name)
    return folder / "images" / name, _written(wanted, name, np.asarray(Image.open(label)) > 0)


def _some(wanted: WantedImages, name: str, kind: str, values: list[int]) -> Pair:
    folder = wanted.data / "coco-cc"
    seen = np.asarray(Image.open(folder / "labels" / re.sub(r"\.\w+$", ".png", name)))
    return folder / "images" / name, _written(wanted, f"{kind}-{name}", np.isin(seen, values))


def _written(wanted: WantedImages, name: str, mask: np.ndarray) -> Path:
    path = wanted.folder / f"{re.sub(r'[^a-zA-Z0-9]+', '-', name)}.png"
    Image.fromarray(mask.astype(np.uint8)).save(path)
    return path
