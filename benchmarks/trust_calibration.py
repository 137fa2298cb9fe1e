"""Are the numbers true? What is expected of proposals against what they turn out to be, with real rounds of learners.

A project of real images: FIRST of them are labelled at random and a round runs; then as many are labelled again, so
that their proposals are corrected, and a second round runs. What the app says then of every image that nobody labelled
is compared with the truth (`app`). `N held out` calibrates the same claims on N images drawn at random, DRAWS times,
and is compared on the others; `claimed` is the model's own word. The confidence of voxels that are called an object is
compared in the same two ways. Rounds have a number of steps, so that a busy machine changes nothing.
"""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from annotator.learning.quality.expectations import voxel_shares
from annotator.learning.settings import LearnSettings
from benchmarks.common import Row
from benchmarks.simulated import Annotator, Subject, project
from learners.prediction.calibration import (
    BINS,
    Evidence,
    calibrate,
    calibration_error,
    count_right,
    shares_right,
)
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from storage.predictions import PredictionRow

FIRST = 8  # labelled before the first round, and again before the second
HELD = (4, 8, 16)
DRAWS = 50
TILE = 256  # superalloy has few pictures; each is cut into tiles of this side
SAID = [(k + 0.5) / BINS for k in range(BINS)]  # what a bin of confidence says of itself


@dataclass(frozen=True)
class CalibrationSet:
    subject: Subject
    learner: str
    steps: int  # of a round


@dataclass(frozen=True)
class Told:
    """One image that nobody labelled: what was said of it, and what is true."""

    image: int
    claimed: float | None
    expected: tuple[float, float, float] | None  # middle, low, high
    dice: float
    seen: NDArray[np.int64]  # (BINS,) voxels that are called an object, by confidence
    right: NDArray[np.int64]


def calibration(
    data: Path, names: Sequence[str], seeds: int, *, learner: str | None = None, quick: bool
) -> Iterator[Row]:
    """Per set and learner: how far the numbers are off, in the mean and all in one direction, and how they rank."""
    for name in names:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as place:
                for one in sets_of(name, data, Path(place), quick=quick):
                    if learner not in (None, one.learner):
                        continue
                    yield from _measured(one, seed, Path(place) / f"project-{one.learner}")
                    print(f"{name}, {one.learner}: seed {seed} done", flush=True)


def _measured(one: CalibrationSet, seed: int, folder: Path) -> Iterator[Row]:
    settings = LearnSettings(
        (one.learner,), seconds=9999, settle_seconds=0, predict_seconds=86_400, steps=one.steps
    )
    with project(folder, one.subject, settings, seed) as person:
        order = [int(i) for i in np.random.default_rng(seed).permutation(sorted(person.masks))]
        for images in (order[:FIRST], order[FIRST : 2 * FIRST]):
            for image_id in images:
                person.label_whole(image_id)
            person.scheduler.run_until_idle()
        told = [each for image_id in order[2 * FIRST :] if (each := _told(person, image_id, one.learner))]
        shares = voxel_shares(person.workflow.store, one.learner)
    name = f"{one.subject.name}, {one.learner}"
    yield from _claims(name, seed, told)
    yield from _app(name, seed, told, shares)
    for count in HELD:
        yield from _held_out(name, seed, told, count)


def _told(person: Annotator, image_id: int, learner: str) -> Told | None:
    row = person.workflow.store.predictions.newest(image_id, learner)
    if row is None:
        return None
    truth, classes = person.truth(image_id), row.classes()
    ids = [c.id for c in person.workflow.store.classes()]
    dice = mean_dice([dice_of(overlaps(classes, truth, ids, np.ones(truth.shape, bool)))])
    if dice is None:
        return None
    seen, right = _counted(row, truth)
    expected = row.expected
    told = None if expected is None else (expected.dice, expected.low, expected.high)
    return Told(image_id, row.claimed, told, dice, seen, right)


def _counted(row: PredictionRow, truth: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    classes = row.classes()
    objects = classes > 0
    sure = np.asarray(row.confidence()[objects] / 255, np.float32)
    return count_right(sure, classes[objects] == truth[objects])


def _claims(name: str, seed: int, told: Sequence[Told]) -> Iterator[Row]:
    pairs = [(t.claimed, t.dice) for t in told if t.claimed is not None]
    if len(pairs) > 2:
        yield from _rows(name, "claimed", seed, _off(pairs))
        yield Row(name, "claimed", "voxel ECE", _error(told, SAID), len(told), seed)
        yield Row(name, "claimed", "true Dice", float(np.mean([t.dice for t in told])), len(told), seed)


def _app(name: str, seed: int, told: Sequence[Told], shares: list[float] | None) -> Iterator[Row]:
    pairs = [(t.expected[0], t.dice) for t in told if t.expected is not None]
    method = f"app, {FIRST} corrected"
    yield Row(name, method, "shown", len(pairs) / max(1, len(told)), len(told), seed)
    if len(pairs) > 2:
        yield from _rows(name, method, seed, _off(pairs))
        inside = [t.expected[1] <= t.dice <= t.expected[2] for t in told if t.expected is not None]
        yield Row(name, method, "in range", float(np.mean(inside)), len(inside), seed)
    if shares is not None:
        yield Row(name, method, "voxel ECE", _error(told, shares), len(told), seed)


def _held_out(name: str, seed: int, told: Sequence[Told], count: int) -> Iterator[Row]:
    """Means over draws of the images that calibrate."""
    usable = [t for t in told if t.claimed is not None]
    if len(usable) < count + 6:
        return
    rng, found = np.random.default_rng([seed, count]), list[dict[str, float]]()
    for _ in range(DRAWS):
        order = rng.permutation(len(usable))
        held, others = ([usable[i] for i in part] for part in (order[:count], order[count:]))
        made = calibrate([Evidence(t.claimed, t.dice) for t in held if t.claimed is not None])
        assert made is not None
        claims = [(t.claimed, t.dice) for t in others if t.claimed is not None]
        said = [(made.expected(claimed), dice) for claimed, dice in claims if made.covers(claimed)]
        if len(said) < 3:
            continue
        values = _off([(expected[0], dice) for expected, dice in said])
        values["shown"] = len(said) / len(claims)
        values["in range"] = float(np.mean([low <= dice <= high for (_, low, high), dice in said]))
        shares = shares_right(_summed([t.seen for t in held]), _summed([t.right for t in held]), count)
        if shares is not None:
            values["voxel ECE"] = _error(others, shares)
        found.append(values)
    for metric in found[0] if found else ():
        mean = float(np.nanmean([values[metric] for values in found if metric in values]))
        yield Row(name, f"{count} held out", metric, mean, len(usable) - count, seed)


def _off(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    said, dice = (np.array(column) for column in zip(*pairs, strict=True))
    ranks = float(spearmanr(said, dice).statistic) if np.ptp(said) > 0 else 0.0
    off = said - dice
    return {"mean error": float(np.abs(off).mean()), "bias": float(off.mean()), "rank correlation": ranks}


def _rows(name: str, method: str, seed: int, values: dict[str, float]) -> Iterator[Row]:
    for metric, value in values.items():
        yield Row(name, method, metric, value, seed=seed)


def _error(told: Sequence[Told], said: Sequence[float]) -> float:
    return calibration_error(_summed([t.seen for t in told]), _summed([t.right for t in told]), said)


def _summed(columns: Sequence[NDArray[np.int64]]) -> list[int]:
    return [int(n) for n in np.sum(columns, 0)]


# sets

NAMES = ("hippocampus", "nuclei", "superalloy", "pitting")


def sets_of(name: str, data: Path, folder: Path, *, quick: bool) -> Iterator[CalibrationSet]:
    """The set with each learner that the app would take for it."""
    steps, count = (20, 2 * FIRST + 8) if quick else (150, 2 * FIRST + 28)
    if name == "hippocampus":
        subject = Subject(name, even_pairs(data / name, count), ("anterior", "posterior"), whole_images=False)
        yield CalibrationSet(subject, "atlas", steps)
        yield CalibrationSet(subject, "supervised", steps)
    elif name == "nuclei":
        pairs = even_pairs(data / "dsb2018-nuclei", count)
        yield CalibrationSet(Subject(name, pairs, ("nucleus",), objects=True), "supervised", steps)
    elif name == "pitting":
        pairs = even_pairs(data / "bsdata-pitting", count)
        yield CalibrationSet(Subject(name, pairs, ("pit",), objects=True), "supervised", steps)
    else:
        pairs = tuple(tiles(even_pairs(data / name, count), folder))[:count]
        yield CalibrationSet(Subject(name, pairs, ("small", "large")), "supervised", steps)


def even_pairs(folder: Path, count: int) -> tuple[tuple[Path, Path], ...]:
    """So many of the set, from all of its kinds; () where it is not there."""
    if not (folder / "split.csv").is_file():
        return ()
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    chosen = [names[i * len(names) // count] for i in range(count)] if len(names) > count else names
    labels = {path.stem.split(".")[0]: path for path in (folder / "labels").iterdir()}
    return tuple((folder / "images" / n, labels[n.split(".")[0]]) for n in chosen)


def tiles(pairs: Sequence[tuple[Path, Path]], folder: Path) -> Iterator[tuple[Path, Path]]:
    for image, mask in pairs:
        whole = [np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in (image, mask)]
        rows, columns = whole[0].shape[:2]
        for row in range(0, rows - TILE + 1, TILE):
            for column in range(0, columns - TILE + 1, TILE):
                paths = [folder / kind / f"{image.stem}-{row}-{column}.png" for kind in ("images", "labels")]
                for path, pixels in zip(paths, whole):
                    path.parent.mkdir(exist_ok=True)
                    cv2.imwrite(str(path), pixels[row : row + TILE, column : column + TILE])
                yield paths[0], paths[1]
