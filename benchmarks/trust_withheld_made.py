"""What is withheld of proposals made from the truth: known to be good, or known to be absurd.

Of each set COUNTS images are labelled wholly, and the guards judge proposals for all others. Good ones: the truth, the
truth grown or shifted until the Dice is about 0.55. Absurd ones: all painted with one class, all but the truth, and the
truth moved by half of the image. `other kinds` are the truth of stained tissue where fluorescence alone is labelled:
no proposal is worse than its image here, so it is the guard by kind alone that speaks.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from annotator.exchange.examples.phantoms import phantom
from benchmarks.common import Row
from benchmarks.sparse import subjects
from benchmarks.trust_cases import mean_dice
from benchmarks.trust_withheld import MIXED, subject_of
from learners.prediction.sensible import Sense
from learners.spec import Example, RoundSpec
from learners.training.data import ImageReader
from learners.training.targets import Classes
from storage.arrays import write_npy

COUNTS = (1, 2, 4, 8)  # images labelled
LEAST = 0.55  # Dice of the worst proposals that count as good
PAINTED = 0.8  # of an image: what paints more is not good, whatever its Dice
GOOD, ABSURD, OTHER = "good", "absurd", "other kinds"
Array = NDArray[Any]


@dataclass(frozen=True)
class Made:
    """An image with its truth, as a round sees it."""

    example: Example
    truth: Array
    labels: bool = True  # it may be labelled; the others are of another kind


def withheld_of_made(data: Path, seeds: int, *, quick: bool) -> Iterator[Row]:
    """Per set, number of labelled images and kind of proposal: the share that was withheld, and by which guard."""
    every: dict[str, Counter[str | None]] = {kind: Counter() for kind in (GOOD, ABSURD, OTHER)}
    for name, images in made_sets(data, quick=quick):
        with tempfile.TemporaryDirectory() as folder:
            made = [_written(Path(folder), n, image) for n, image in enumerate(images, 1)]
            for count in COUNTS:
                told: dict[str, Counter[str | None]] = {kind: Counter() for kind in every}
                for seed in range(seeds):
                    for kind, reason in _judged(made, count, seed, Path(folder)):
                        told[kind][reason] += 1
                        every[kind][reason] += 1
                yield from _rows(f"{name}, {count} labelled", told)
        print(f"{name}: done", flush=True)
    yield from _rows("all", every)


def _written(folder: Path, number: int, image: tuple[Array, Array, bool]) -> Made:
    pixels, truth, labels = image
    paths = [folder / f"{number}-{kind}.npy" for kind in ("pixels", "known")]
    write_npy(paths[0], pixels)
    write_npy(paths[1], truth)
    channels = pixels.shape[3] if pixels.ndim == 4 else 1
    slices = tuple((0, z) for z in range(len(truth)))
    shape = (len(truth), truth.shape[1], truth.shape[2])
    example = Example(number, paths[0], shape, channels, (1.0, 1.0, 1.0), paths[1], slices=slices)
    return Made(example, truth, labels)


def _judged(made: Sequence[Made], count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    usual = [n for n, one in enumerate(made) if one.labels]
    chosen = {usual[n] for n in np.random.default_rng(seed).permutation(len(usual))[:count]}
    values = sorted({int(v) for one in made for v in np.unique(one.truth) if v})
    classes = Classes(tuple(values))
    cases = [
        ImageReader(
            one.example if n in chosen else replace(one.example, known=None, slices=()),
            classes,
            one.example.channels,
        )
        for n, one in enumerate(made)
    ]
    examples = tuple(case.example for case in cases)
    sense = Sense(cases, RoundSpec("supervised", tuple(values), examples, folder))
    for n, one in enumerate(made):
        if n in chosen or not one.truth.any():
            continue
        if not one.labels:
            yield OTHER, sense.against(cases[n], one.truth)
            continue
        for kind, proposed in _proposals(one.truth):
            yield kind, sense.against(cases[n], proposed)


def _proposals(truth: Array) -> Iterator[tuple[str, Array]]:
    yield GOOD, truth
    yield GOOD, _worse(truth, _grown)
    yield GOOD, _worse(truth, lambda now: np.roll(now, 1, 2))
    value = int(truth.max())
    if (truth > 0).mean() < 0.5:
        yield ABSURD, np.full_like(truth, value)
        yield ABSURD, np.where(truth == 0, value, 0).astype(np.uint8)
    far = np.roll(truth, [n // 2 for n in truth.shape[1:]], (1, 2))
    if mean_dice(far, truth) < 0.1:
        yield ABSURD, far


def _worse(truth: Array, step: Callable[[Array], Array]) -> Array:
    now = truth
    for _ in range(100):
        after = step(now)
        if mean_dice(after, truth) < LEAST or (after > 0).mean() > max(PAINTED, (truth > 0).mean()):
            break
        now = after
    return now


def _grown(now: Array) -> Array:
    return np.asarray(ndimage.grey_dilation(now, (1, 3, 3)), np.uint8)


def _rows(name: str, told: dict[str, Counter[str | None]]) -> Iterator[Row]:
    for kind, counts in told.items():
        total = sum(counts.values())
        if not total:
            continue
        yield Row(name, kind, "share withheld", 1 - counts[None] / total, total)
        for reason in ("everywhere", "unlike", "outside"):
            yield Row(name, kind, reason, counts[reason], total)


# sets


def made_sets(data: Path, *, quick: bool) -> Iterator[tuple[str, list[tuple[Array, Array, bool]]]]:
    """Each set with its images: pixels (Z, Y, X[, 3]), truth, and whether it may be labelled."""
    yield "demo", [(scan.pixels, truth, True) for scan, truth in map(phantom, range(1, 13))]
    volumes = subjects(data, ("hippocampus",), 12 if quick else 30, quick=False)
    yield "hippocampus", [(one.image, one.truth, True) for one in volumes]
    for name in ("nuclei", MIXED, "superalloy", "pitting"):
        with tempfile.TemporaryDirectory() as folder:
            subject, first = subject_of(name, data, Path(folder), quick=quick)
            chosen = list(enumerate(subject.pairs))
            yield name, [(*_picture(pair, subject.objects), n in first) for n, pair in chosen]


def _picture(pair: tuple[Path, Path], objects: bool) -> tuple[Array, Array]:
    pixels, mask = (np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in pair)
    pixels = pixels[..., 2::-1] if pixels.ndim == 3 else pixels
    truth = (mask > 0) if objects else mask
    return np.ascontiguousarray(pixels)[None], truth.astype(np.uint8)[None]
