"""What is withheld from people: absurd proposals, or good ones? Real rounds from the very first label on.

Of each set images are labelled in the order of ROUNDS, and a round of so many steps runs after each of these. Every
image that nobody labelled counts in every round: a proposal is good from Dice 0.5 on; it is absurd below 0.1, or where
it paints nine tenths of an image that objects cover by less than half. `fluorescence, asked on all` labels pictures of
fluorescence alone, and half of the images are stained tissue.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from annotator.exchange.examples.phantoms import phantom
from annotator.learning.settings import LearnSettings
from benchmarks.common import Row
from benchmarks.simulated import Annotator, Subject, project
from benchmarks.trust_calibration import even_pairs, tiles
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.progress import classes_file, read_progress
from storage.arrays import open_npy

ROUNDS = (1, 2, 4, 8)  # images labelled by then
STEPS, QUICK_STEPS = 40, 10  # of each round
GOOD, ABSURD = 0.5, 0.1
PAINTED, COVERED = 0.9, 0.5
MIXED = "fluorescence, asked on all"
NAMES = ("nuclei", MIXED, "superalloy", "demo", "hippocampus", "pitting")
REASONS = ("unlearnt", "everywhere", "unlike", "outside")


@dataclass(frozen=True)
class Judged:
    """A proposal for an image that nobody labelled, and why it was withheld."""

    dice: float
    absurd: bool
    withheld: str | None


def withheld(
    data: Path, seeds: int, *, quick: bool, names: Sequence[str] = NAMES, steps: int | None = None
) -> Iterator[Row]:
    """Per set: of good, middling and absurd proposals the share that was withheld, and by which guard. `steps`: of each
    round, where it is not the usual number."""
    every: list[Judged] = []
    steps = steps or (QUICK_STEPS if quick else STEPS)
    for name in names:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                subject, first = subject_of(name, data, Path(folder), quick=quick)
                if not subject.pairs:
                    continue
                learners = ("supervised", "atlas") if name == "hippocampus" else ("supervised",)
                for learner in learners:
                    place = Path(folder) / f"project-{learner}"
                    found = list(_judged(subject, learner, first, (place, seed), steps))
                    every += found
                    yield from _rows(f"{name}, {learner}", seed, found)
                    told = Counter((_kind(one), one.withheld) for one in found)
                    print(f"{name}, {learner}: seed {seed} done; {dict(told)}", flush=True)
    yield from _rows("all", 0, every)


def _judged(
    subject: Subject, learner: str, first: Sequence[int], at: tuple[Path, int], steps: int
) -> Iterator[Judged]:
    """`first`: numbers of the pairs that may be labelled."""
    settings = LearnSettings((learner,), seconds=9999, settle_seconds=0, predict_seconds=86_400, steps=steps)
    with project(at[0], subject, settings, at[1]) as person:
        ids = sorted(person.masks)
        order = [ids[int(n)] for n in np.random.default_rng(at[1]).permutation(first)]
        for before, count in zip((0, *ROUNDS), ROUNDS):
            for image_id in order[before:count]:
                person.label_whole(image_id)
            person.scheduler.run_until_idle()
            others = [image_id for image_id in ids if image_id not in order[:count]]
            yield from (each for image_id in others if (each := _one(person, image_id, learner)))


def _one(person: Annotator, image_id: int, learner: str) -> Judged | None:
    """None where nothing was predicted, or nothing says how good it is."""
    store = person.workflow.store
    row, round_ = store.predictions.newest(image_id, learner), store.rounds.newest(learner, "done")
    if round_ is None:
        return None
    folder = store.rounds.folder(round_.id)
    progress = read_progress(folder)
    reason = progress.withheld.get(image_id) if progress else None
    if row is None and reason not in REASONS:
        return None
    proposed = row.classes() if row else open_npy(classes_file(folder, image_id))
    truth, ids = person.truth(image_id), [c.id for c in store.classes()]
    dice = mean_dice([dice_of(overlaps(proposed, truth, ids, np.ones(truth.shape, bool)))])
    if dice is None:
        return None
    return Judged(dice, dice < ABSURD or _painted(proposed, truth), reason)


def _painted(proposed: NDArray[np.uint8], truth: NDArray[np.uint8]) -> bool:
    return float((proposed > 0).mean()) > PAINTED and float((truth > 0).mean()) < COVERED


def _rows(name: str, seed: int, found: Sequence[Judged]) -> Iterator[Row]:
    for kind in ("good", "between", "absurd"):
        of_kind = [one for one in found if _kind(one) == kind]
        told = Counter(one.withheld for one in of_kind)
        share = 1 - told[None] / len(of_kind) if of_kind else 0.0
        yield Row(name, kind, "share withheld", share, len(of_kind), seed)
        yield Row(name, kind, "proposals", len(of_kind), seed=seed)
        for reason in REASONS:
            yield Row(name, kind, reason, told[reason], len(of_kind), seed)


def _kind(one: Judged) -> str:
    if one.absurd:
        return "absurd"
    return "good" if one.dice >= GOOD else "between"


# sets


def subject_of(name: str, data: Path, folder: Path, *, quick: bool) -> tuple[Subject, Sequence[int]]:
    """The set, and the numbers of its images that may be labelled."""
    count = 14 if quick else 24
    if name == "demo":
        pairs = tuple(phantom_files(folder))
        subject = Subject(name, pairs, ("organ", "lesion"), whole_images=False)
    elif name == "hippocampus":
        pairs = even_pairs(data / name, 14)
        subject = Subject(name, pairs, ("anterior", "posterior"), whole_images=False)
    elif name == "superalloy":
        pairs = tuple(tiles(even_pairs(data / name, count), folder))[:count]
        subject = Subject(name, pairs, ("small", "large"))
    elif name == "pitting":
        pairs = tuple(halved(even_pairs(data / "bsdata-pitting", 16), folder))
        subject = Subject(name, pairs, ("pit",), objects=True)
    else:
        pairs = even_pairs(data / "dsb2018-nuclei", 120)
        light = [pair for pair in pairs if not pair[0].name.startswith("histo")]
        stained = [pair for pair in pairs if pair[0].name.startswith("histo")]
        few = light[:: max(1, 2 * len(light) // count)], stained[:: max(1, 2 * len(stained) // count)]
        pairs = tuple(halved((*few[0], *few[1]), folder))
        first = range(len(few[0])) if name == MIXED else range(len(pairs))
        return Subject(name, pairs, ("nucleus",), objects=True), first
    return subject, range(len(pairs))


def phantom_files(folder: Path) -> Iterator[tuple[Path, Path]]:
    for number in range(1, 13):
        scan, truth = phantom(number)
        spacing = np.diag([*(scan.spacing_mm or (1.0, 1.0, 1.0))[::-1], 1.0])
        paths = folder / f"{number}.nii.gz", folder / f"{number}-truth.nii.gz"
        arrays: list[NDArray[Any]] = [scan.pixels.astype(np.float32), truth]
        for path, values in zip(paths, arrays):
            nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), spacing), path)
        yield paths


def halved(pairs: Sequence[tuple[Path, Path]], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Large pictures, shrunk to some 300 pixels: what is measured does not depend on more."""
    for image, mask in pairs:
        found = [np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in (image, mask)]
        step = max(1, round(max(found[0].shape[:2]) / 300))
        paths = [folder / kind / f"{image.stem}.png" for kind in ("images", "labels")]
        for path, pixels in zip(paths, found):
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), pixels[::step, ::step])
        yield paths[0], paths[1]
