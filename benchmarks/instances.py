"""Nuclei told apart from 1, 4 and 16 labelled pictures: a network that learns it, and masks that are cut apart.

Each learner trains anew for the same seconds of a processor on the same pictures, of all kinds; all are judged on the
same pictures kept from training. The semantic learner's masks are cut by the watershed that an acceptance uses, as is
Otsu's threshold. So are the masks of the learners of objects once, which tells what their own objects are worth beyond.
"""

import csv
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.filters import threshold_otsu

from benchmarks.common import Row, finish, parser
from learners.objects.cutting import number_objects
from learners.objects.scores import ObjectCounts, count_objects
from learners.progress import classes_file, confidence_file, objects_file
from learners.rounds import run_round
from learners.spec import Example, RoundSpec
from learners.training.budget import Budget
from storage.arrays import open_npy, write_npy

LABELLED, QUICK_LABELLED = (1, 4, 16), (4,)
SECONDS, QUICK_SECONDS = 60.0, 30.0
QUICK_SEEDS = 2
JUDGED, QUICK_JUDGED = 30, 16
MOST_PIXELS = 400_000  # of a judged picture, in the quick form
SMALLEST = 10  # pixels: no nucleus is smaller
SET = "dsb2018-nuclei"
LEARNERS_COMPARED = {
    "supervised": "semantic learner, watershed",
    "objects": "objects learner",
    "flows": "flows learner",
}
CUT_AGAIN = "{}, its masks by watershed"


@dataclass(frozen=True)
class Picture:
    name: str
    pixels: NDArray[np.uint8]  # (1, H, W[, 3])
    numbers: NDArray[np.uint16]  # (1, H, W)


def main() -> None:
    asked = parser(__doc__.splitlines()[0])
    asked.add_argument("--certainty", action="store_true", help="how well certainty orders objects, alone")
    asked.add_argument("--seconds", type=float, help="of training, in place of the usual")
    asked.add_argument("--labelled", type=int, nargs="+", help="pictures, in place of the usual")
    asked.add_argument("--learners", nargs="+", default=list(LEARNERS_COMPARED), choices=LEARNERS_COMPARED)
    asked.add_argument("--bent", action="store_true", help="made pictures of objects around objects, alone")
    options = asked.parse_args()
    if options.bent:
        return finish([*bent(options.seeds)], options.json)
    if options.certainty:
        return finish([*certainty(options.data / SET, quick=options.quick)], options.json)
    rows: list[Row] = []
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    for seed in range(QUICK_SEEDS if options.quick else options.seeds):
        train, judged = chosen(options.data / SET, seed, quick=options.quick)
        rows += scored("Otsu, watershed", "0", seed, [otsu(p) for p in judged], judged, 0.0)
        for count in options.labelled or (QUICK_LABELLED if options.quick else LABELLED):
            for learner in options.learners:
                title = LEARNERS_COMPARED[learner]
                with tempfile.TemporaryDirectory() as place:
                    found = predicted(Path(place), learner, train[:count], judged, (seconds, seed))
                for name, numbers in ((title, found.own), (CUT_AGAIN.format(title), found.cut)):
                    if numbers is not None:
                        new = list(scored(name, str(count), seed, numbers, judged, seconds))
                        print(seed, count, name, {row.metric: round(row.value, 3) for row in new}, flush=True)
                        rows += new
    finish(rows, options.json)


def chosen(folder: Path, seed: int, *, quick: bool) -> tuple[list[Picture], list[Picture]]:
    """Pictures to label, in an order of the seed's, and to judge by."""
    with open(folder / "split.csv") as file:
        table = list(csv.DictReader(file))
    rng = np.random.default_rng(seed)
    train = [row["file"] for row in table if row["split"] == "train"]
    held = [
        row["file"]
        for row in table
        if row["split"] == "val" and (not quick or int(row["width"]) * int(row["height"]) <= MOST_PIXELS)
    ]
    first = [train[i] for i in rng.permutation(len(train))[: max(LABELLED)]]
    held = held[:: max(1, len(held) // QUICK_JUDGED)][:QUICK_JUDGED] if quick else held[:JUDGED]
    return [read(folder, name) for name in first], [read(folder, name) for name in held]


def read(folder: Path, name: str) -> Picture:
    pixels = cv2.imread(str(folder / "images" / name), cv2.IMREAD_UNCHANGED)
    numbers = cv2.imread(str(folder / "labels" / name), cv2.IMREAD_UNCHANGED)
    assert pixels is not None and numbers is not None
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
    return Picture(name, np.asarray(grey, np.uint8)[None], np.asarray(numbers, np.uint16)[None])


def otsu(picture: Picture) -> NDArray[np.integer]:
    """The rarer side of the threshold is nuclei: they are bright in some kinds of pictures and dark in others."""
    bright = picture.pixels > threshold_otsu(picture.pixels)
    mask = bright if bright.mean() < 0.5 else ~bright
    return cut(mask.astype(np.uint8))


def cut(classes: NDArray[np.uint8]) -> NDArray[np.integer]:
    """Without specks, so that they count against nobody."""
    numbers = number_objects(classes, (1.0, 1.0, 1.0))
    sizes = np.bincount(numbers.ravel())
    return np.where(sizes[numbers] < SMALLEST, 0, numbers)


def certainty(folder: Path, *, quick: bool) -> Iterator[Row]:
    """The chance that of two proposed objects, a true and a false one, the true one is the more certain."""
    train, judged = chosen(folder, 0, quick=False)
    judged = [p for p in judged if p.pixels.size <= MOST_PIXELS]
    for count in (2, 8):
        with tempfile.TemporaryDirectory() as place:
            terms = QUICK_SECONDS if quick else SECONDS, 0
            found = predicted(Path(place), "objects", train[:count], judged, terms)
        said: dict[str, list[float]] = {}
        true: list[bool] = []
        for numbers, sure, picture in zip(found.own, found.sure, judged, strict=True):
            for name, values in certainties(numbers[0], sure[0]).items():
                said.setdefault(name, []).extend(values)
            true += is_true(numbers, picture.numbers)
        for name, values in said.items():
            yield Row(f"{SET}, {count} labelled", name, "AUROC", ordered(values, true), len(true))


def certainties(numbers: NDArray[np.integer], sure: NDArray[np.uint8]) -> dict[str, list[float]]:
    """(H, W) each. By each way to sum a certainty up, that of the objects in the order of their numbers."""
    rim = np.zeros(numbers.shape, bool)
    for axis in range(2):
        other = np.diff(numbers, axis=axis) != 0
        for at in (slice(None, -1), slice(1, None)):
            place = [slice(None)] * 2
            place[axis] = at
            rim[tuple(place)] |= other
    pixels = [(sure[numbers == n], sure[(numbers == n) & rim]) for n in np.unique(numbers[numbers > 0])]
    both = {
        "mean": [float(p.mean()) for p, _ in pixels],
        "lowest tenth": [float(np.percentile(p, 10)) for p, _ in pixels],
        "rim": [float(r.mean()) if r.size else 255.0 for _, r in pixels],
        "size": [float(p.size) for p, _ in pixels],
    }
    return both | {"mean and rim": [a + b for a, b in zip(both["mean"], both["rim"])]}


def is_true(numbers: NDArray[np.integer], truth: NDArray[np.uint16]) -> list[bool]:
    """Whether each proposed object is a true one at an IoU of 0.5."""
    out = []
    for n in np.unique(numbers[numbers > 0]):
        mask = numbers == n
        values, counts = np.unique(truth[mask], return_counts=True)
        iou = [c / (mask.sum() + (truth == v).sum() - c) for v, c in zip(values, counts) if v]
        out.append(max(iou, default=0.0) > 0.5)
    return out


def ordered(values: list[float], true: list[bool]) -> float:
    """The area under the ROC curve; equal values count half."""
    at, said = np.array(true), rankdata(values)
    good, bad = int(at.sum()), int((~at).sum())
    return float((said[at].sum() - good * (good + 1) / 2) / (good * bad))


def bent(seeds: int) -> Iterator[Row]:
    """Three made pictures to learn from and three to judge by, for a third of the seconds of the quick form."""
    for seed in range(seeds):
        pictures = [bent_picture(100 * seed + n) for n in range(6)]
        for learner in ("objects", "flows"):
            with tempfile.TemporaryDirectory() as place:
                found = predicted(Path(place), learner, pictures[:3], pictures[3:], (QUICK_SECONDS / 3, seed))
            for name, numbers in ((learner, found.own), (f"{learner}, its masks by watershed", found.cut)):
                assert numbers is not None
                counts = [
                    count_objects(own, p.numbers, np.ones(own.shape, bool))
                    for own, p in zip(numbers, pictures[3:], strict=True)
                ]
                value = sum(counts, ObjectCounts()).ap50
                yield Row(
                    "bent objects, 3 labelled", name, "AP@0.5", value or 0.0, 3, seed, QUICK_SECONDS / 3
                )


def bent_picture(seed: int) -> Picture:
    """Four discs of 22 pixels, each in a horseshoe that is open anywhere; a dim line where two touch."""
    rng, side = np.random.default_rng(seed), 96
    numbers = np.zeros((side, side), np.uint16)
    y, x = np.mgrid[:side, :side]
    for n, corner in enumerate([(24, 24), (24, 72), (72, 24), (72, 72)]):
        row, column = corner + rng.integers(-2, 3, 2)
        far = np.hypot(y - row, x - column)
        angle = (np.arctan2(y - row, x - column) - rng.uniform(0, 2 * np.pi)) % (2 * np.pi)
        numbers[(far < 21) & (angle < 5.3)] = 2 * n + 1
        numbers[far < 11] = 2 * n + 2
    touching = np.zeros(numbers.shape, bool)
    for axis in range(2):
        before = np.roll(numbers, 1, axis)
        touching |= (before != numbers) & (before > 0) & (numbers > 0)
    pixels = np.where(numbers > 0, 170, 60) - 70 * touching + rng.normal(0, 6, numbers.shape)
    return Picture(str(seed), pixels.clip(0, 255).astype(np.uint8)[None], numbers[None])


@dataclass(frozen=True)
class Found:
    """Object numbers of the judged pictures."""

    own: list[NDArray[np.integer]]
    cut: list[NDArray[np.integer]] | None = None  # the same masks, cut by shape
    sure: list[NDArray[np.uint8]] = field(default_factory=list)  # of each pixel


def predicted(
    folder: Path, learner: str, train: list[Picture], judged: list[Picture], terms: tuple[float, int]
) -> Found:
    """`terms`: seconds of a processor, and the seed."""
    seconds, seed = terms
    taught = [example(folder, n, picture, taught=True) for n, picture in enumerate(train)]
    asked = [example(folder, 1000 + n, picture, taught=False) for n, picture in enumerate(judged)]
    (folder / "round").mkdir()
    spec = RoundSpec(
        learner,
        (1,),
        (*taught, *asked),
        folder / "round",
        seconds=seconds,
        seed=seed,
        device="cpu",
        predict=tuple(e.image_id for e in asked),
        predict_seconds=3600,
    )
    with patch.object(Budget, "_now", staticmethod(time.process_time)):
        run_round(spec)
    masks = [cut(np.array(open_npy(classes_file(spec.directory, e.image_id)))) for e in asked]
    if learner == "supervised":
        return Found(masks)
    own = [np.array(open_npy(objects_file(spec.directory, e.image_id))) for e in asked]
    sure = [np.array(open_npy(confidence_file(spec.directory, e.image_id))) for e in asked]
    return Found(own, masks, sure)


def example(folder: Path, number: int, picture: Picture, *, taught: bool) -> Example:
    pixels, known, numbers = (folder / f"{number}{part}.npy" for part in ("", "-known", "-numbers"))
    write_npy(pixels, picture.pixels)
    z, h, w = picture.numbers.shape
    if not taught:
        return Example(number, pixels, (z, h, w), 1, None)
    write_npy(known, (picture.numbers > 0).astype(np.uint8))
    write_npy(numbers, picture.numbers)
    return Example(number, pixels, (z, h, w), 1, None, known=known, numbers=numbers, slices=((0, 0),))


def scored(
    method: str, count: str, seed: int, found: list[NDArray[np.integer]], truth: list[Picture], seconds: float
) -> Iterator[Row]:
    """Means over pictures: one with hundreds of nuclei must not decide alone."""
    each = [
        count_objects(numbers, picture.numbers, np.ones(numbers.shape, bool))
        for numbers, picture in zip(found, truth, strict=True)
    ]
    total = sum(each, ObjectCounts())
    name = f"{SET}, {count} labelled"
    for metric, values in (
        ("AP@0.5", [c.ap50 for c in each]),
        ("AP", [c.mean_ap for c in each]),
        ("PQ", [c.panoptic for c in each]),
    ):
        told = [value for value in values if value is not None]
        yield Row(name, method, metric, float(np.mean(told)), len(told), seed, seconds)
    yield Row(name, method, "splits", total.split, total.images, seed, seconds)
    yield Row(name, method, "merges", total.merged, total.images, seed, seconds)
    yield Row(name, method, "count error", total.count_error or 0.0, total.images, seed, seconds)


if __name__ == "__main__":
    main()
