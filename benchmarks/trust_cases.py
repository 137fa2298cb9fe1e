"""Proposals as atlases, fills and models make them, of known Dice, and slices that a person may label next."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, shift

from benchmarks.sparse import SlicePlace, SparseSubject, case_of, read_subject, subjects
from learners.methods.atlas import resized
from learners.methods.registration import register
from learners.propagate import RunControl, fill
from learners.propagate.fused import Prior
from learners.propagate.random_walker import normalised

SETS = ("phantom", "hippocampus", "spinal-cord", "ct-torso", "brain")
RULES = ("middle", "largest", "random")
BENT = (0.6, 0.7, 0.8, 0.9)  # Dice of a truth that is bent smoothly, as an atlas is
HALF = (
    "brain"  # halved in resolution: what is measured does not depend on it, and takes an eighth of the time
)
Classes3 = NDArray[np.uint8]


@dataclass(frozen=True)
class ProposalCase:
    """A volume with something proposed for it, and what was labelled before."""

    subject: SparseSubject
    kind: str
    prior: Prior
    labelled: tuple[SlicePlace, ...] = ()


def volumes(data: Path, sets: tuple[str, ...], count: int | None, *, quick: bool) -> list[SparseSubject]:
    """Phantoms, and what the folder has."""
    found = [phantom(n) for n in range(2 if quick else 4)] if "phantom" in sets else []
    real = [each for each in subjects(data, sets, count or (2 if quick else 8), quick=quick)]
    return found + [halved(each) if each.set == HALF else each for each in real]


def unseen(data: Path, count: int) -> list[SparseSubject]:
    """Hippocampi that the built-in prompt model was not trained on."""
    folder = data / "hippocampus"
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == "val"]
    paths = [(folder / "images" / name, folder / "labels" / name) for name in names[:count]]
    return [read_subject("hippocampus", *both, None) for both in paths]


def proposals(
    subject: SparseSubject, others: list[SparseSubject], rng: np.random.Generator
) -> Iterator[ProposalCase]:
    """One of every kind for this volume. `others`: of the same anatomy, to be laid over it as an atlas."""
    truth, values = subject.truth, classes_of(subject.truth)
    found = {f"bent to {dice:.1f}": bent(subject, dice, rng) for dice in BENT}
    base = bent(subject, 0.88, rng)
    missing = base.copy()
    missing[base == rng.choice(values)] = 0
    if len(values) > 1:
        found["a class missing"] = missing
    found["spills"] = with_balls(subject, base, rng, spill=True)
    found["holes"] = with_balls(subject, base, rng, spill=False)
    size = np.ptp(np.argwhere(truth > 0), 0) + 1
    by = [round(0.1 * n * sign) for n, sign in zip(np.minimum(size, 20), rng.choice([-1, 1], 3))]
    found["shifted"] = np.asarray(shift(truth, by, order=0), np.uint8)
    if others:
        found["atlas"] = atlas(subject, others[int(rng.integers(len(others)))])
    for kind, classes in found.items():
        yield ProposalCase(subject, kind, prior_of(subject, classes))
    for count in (1, 2):
        at = tuple(place(subject, "random", rng) for _ in range(count))
        filled = fill("random_walker", case_of(subject, list(at)), RunControl())
        kind = f"fill from {count}"
        yield ProposalCase(subject, kind, Prior(filled.classes, filled.confidence), at)


def prior_of(subject: SparseSubject, classes: Classes3) -> Prior:
    """As a model would be sure of it: less near outlines; trusted by its Dice, to a tenth."""
    edge = np.zeros(classes.shape, bool)
    for axis in range(3):
        step = np.diff(classes.astype(np.int16), axis=axis, prepend=classes.take([0], axis)) != 0
        edge |= step
    depth = distance_transform_edt(~edge) if edge.any() else np.full(classes.shape, 4.0)
    confidence = np.rint(255 * (0.55 + 0.43 * np.clip(depth / 4, 0, 1))).astype(np.uint8)
    return Prior(classes, confidence, max(0.1, round(mean_dice(classes, subject.truth), 1)))


def bent(subject: SparseSubject, dice: float, rng: np.random.Generator) -> Classes3:
    """The truth moved by a smooth random field until so much overlap is left."""
    truth, mm = subject.truth, np.array(subject.spacing_mm)
    size = (np.ptp(np.argwhere(truth > 0), 0) + 1) * mm
    field = np.stack(
        [gaussian_filter(rng.normal(size=truth.shape), max(2.0, 0.2 * float(size.mean())) / mm) for _ in mm]
    )
    field /= (np.abs(field[:, truth > 0]).mean(1) * mm)[:, None, None, None]
    grid, low, high = np.indices(truth.shape, np.float32), 0.0, 40.0
    for _ in range(12):
        middle = (low + high) / 2
        moved = map_coordinates(truth, grid + middle * field, order=0, mode="nearest")
        low, high = (middle, high) if mean_dice(moved, truth) > dice else (low, middle)
    return map_coordinates(truth, grid + low * field, order=0, mode="nearest")


def with_balls(
    subject: SparseSubject, classes: Classes3, rng: np.random.Generator, *, spill: bool, share: float = 0.45
) -> Classes3:
    """Two balls of each class too much, or cut out of it, their radius a share of the class's."""
    out, grid = classes.copy(), np.indices(classes.shape, np.float32)
    for value in classes_of(subject.truth):
        inside = np.argwhere(classes == value)
        if not len(inside):
            continue
        radius = share * (3 * len(inside) * np.prod(subject.spacing_mm) / (4 * np.pi)) ** (1 / 3)
        for centre in inside[rng.integers(len(inside), size=2)]:
            away = sum(((grid[a] - centre[a]) * subject.spacing_mm[a]) ** 2 for a in range(3))
            where = (away < radius**2) & (classes == (0 if spill else value))
            out[where] = value if spill else 0
    return out


def atlas(subject: SparseSubject, other: SparseSubject) -> Classes3:
    """Another volume's truth, registered to this one as the atlas learner does."""
    shape, values = subject.truth.shape, classes_of(subject.truth)
    way = register(normalised(subject.image), resized(normalised(other.image), shape))
    parts = [resized((other.truth == v).astype(np.float32), shape) for v in (0, *values)]
    return np.array([0, *values], np.uint8)[way.moved(np.stack(parts)).argmax(0)]


def place(subject: SparseSubject, rule: str, rng: np.random.Generator) -> SlicePlace:
    """A slice to label: as the app begins, the one that shows most, or any that crosses the objects' box."""
    where = np.argwhere(subject.truth > 0)
    low, high = where.min(0), where.max(0)
    if rule == "middle":
        axis = max(range(3), key=lambda a: (subject.spacing_mm[a], -a))
        return axis, int((low[axis] + high[axis]) // 2)
    if rule == "largest":
        return 0, int((subject.truth > 0).sum((1, 2)).argmax())
    axis = int(rng.integers(3))
    return axis, int(rng.integers(low[axis], high[axis] + 1))


def phantom(seed: int) -> SparseSubject:
    """Two ellipsoids of different brightness in noise, in a volume of unequal sides."""
    rng, shape = np.random.default_rng(seed), (24 + 4 * seed, 40, 52 - 6 * seed)
    grid, truth = np.indices(shape), np.zeros(shape, np.uint8)
    ellipsoids = (((0.45, 0.4, 0.35), (0.3, 0.2, 0.15)), ((0.55, 0.6, 0.7), (0.25, 0.18, 0.16)))
    for value, (middle, radius) in enumerate(ellipsoids, 1):
        parts = [(g / n - m) / r for g, n, m, r in zip(grid, shape, middle, radius)]
        truth[sum(part**2 for part in parts) < 1] = value
    image = gaussian_filter(np.array([100.0, 130.0, 150.0])[truth], 0.6) + rng.normal(0, 15, shape)
    return SparseSubject("phantom", f"phantom {seed}", image.astype(np.float32), truth, (2.0, 1.0, 1.0))


def halved(subject: SparseSubject) -> SparseSubject:
    """Half the resolution."""
    z, y, x = (n // 2 * 2 for n in subject.truth.shape)
    blocks = subject.image[:z, :y, :x].reshape(z // 2, 2, y // 2, 2, x // 2, 2)
    truth = np.ascontiguousarray(subject.truth[:z:2, :y:2, :x:2])
    dz, dy, dx = (2 * mm for mm in subject.spacing_mm)
    image = blocks.mean((1, 3, 5)).astype(np.float32)
    return replace(subject, image=image, truth=truth, spacing_mm=(dz, dy, dx))


def classes_of(truth: Classes3) -> list[int]:
    return [int(v) for v in np.unique(truth) if v]


def mean_dice(found: Classes3, truth: Classes3) -> float:
    """Mean over the classes of the truth, over the whole volume."""
    counts = [(found == v, truth == v) for v in classes_of(truth)]
    return float(np.mean([2 * float((a & b).sum()) / float(a.sum() + b.sum()) for a, b in counts]))
