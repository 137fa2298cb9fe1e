"""Labels and minutes against Dice: learners, rankers and the wait for a refresh, through the real workflow.

    python -m benchmarks.loop [--quick] [--part learners|semi|rankers|rounds|refresh] [--set NAME] [--method NAME]
        [--steps N] [--labelled N ...] [--budget SECONDS ...]

Floor: Otsu's threshold (pictures) or nothing (volumes). Ceiling: supervised training on every training image. All
methods of a table have the same start labels, the same seconds of training and the same test images, which no
project holds. With --steps the rounds of the parts `rankers` and `rounds` have so many steps instead, whatever else
the machine does meanwhile. The part `semi` asks the question of the part `learners` of few labels (--labelled) and
of short and long trainings (--budget).
"""

import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from annotator.learning import round_spec
from annotator.learning.settings import LearnSettings
from benchmarks.common import Row, finish, parser
from benchmarks.simulated import Annotator, Subject, project, test_dice
from learners.rankers import RANKERS
from learners.training import trainer
from storage.formats import read_labels

# Learners of partial labels, tags or references have benchmarks of their own.
COMPARED = ("supervised", "unimatch", "mean_teacher", "bcp", "stpp")
LABELLED, BUDGETS = (1, 3, 10), (60.0, 300.0, 1200.0)  # of the part `semi`: images, seconds of training


@dataclass(frozen=True)
class LoopSizes:
    """How much of everything."""

    labels: tuple[int, ...]  # images labelled in the table of learners
    seconds: float  # of training for each learner
    train: int  # images in the project
    test: int
    start: int  # labels before the first question
    batch: int  # labels between two rounds
    rounds: int
    round_seconds: float


@dataclass(frozen=True)
class LoopSet:
    """A data set with images to train on and others to test on."""

    subject: Subject
    test: tuple[tuple[Path, Path], ...]
    sizes: LoopSizes
    methods: tuple[str, ...] = ()  # that were asked for; none: those of the part's table
    device: str = "cpu"
    steps: int | None = None  # of a round, instead of seconds
    labelled: tuple[int, ...] = LABELLED
    budgets: tuple[float, ...] = BUDGETS


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument(
        "--part", choices=list(PARTS), action="append", help="default: all but semi, which takes hours"
    )
    options.add_argument(
        "--set", action="append", help=f"one of {', '.join(SETS)}; default: all that are there"
    )
    options.add_argument("--method", action="append", help="of learners or rankers; default: those compared")
    options.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"))
    options.add_argument(
        "--steps", type=int, help="of each round of the parts rankers and rounds, instead of seconds"
    )
    options.add_argument(
        "--labelled", type=int, nargs="+", help=f"images, of the part semi; default: {LABELLED}"
    )
    options.add_argument(
        "--budget", type=float, nargs="+", help=f"seconds, of the part semi; default: {BUDGETS}"
    )
    asked = options.parse_args()
    methods = tuple(asked.method or ())
    rows: list[Row] = []
    for name in asked.set or SETS:
        data = SETS[name](asked.data, asked.quick)
        if data is None:
            print(f"{name}: left out, its folder is not in {asked.data}")
            continue
        data = replace(data, methods=methods, device=asked.device, steps=asked.steps)
        few, short = (data.sizes.labels, (data.sizes.seconds,)) if asked.quick else (LABELLED, BUDGETS)
        data = replace(data, labelled=tuple(asked.labelled or few), budgets=tuple(asked.budget or short))
        for part in asked.part or [name for name in PARTS if name != "semi"]:
            for seed in range(1 if asked.quick else asked.seeds):
                for row in PARTS[part](data, seed):
                    print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                    rows.append(row)
    finish(rows, asked.json)


# parts


def learners(data: LoopSet, seed: int) -> Iterator[Row]:
    """Learners of whole labels on the same few of them for the same time, with floor and ceiling."""
    yield Row(data.subject.name, "floor", "Dice", floor_of(data), seed=seed)
    for count in data.sizes.labels:
        for name in data.methods or COMPARED:
            yield from _learned(data, name, count, seed, f"{name}, {count} labelled")
    everything = len(data.subject.pairs)
    yield from _learned(data, "supervised", everything, seed, "ceiling: all labelled")


def semi(data: LoopSet, seed: int) -> Iterator[Row]:
    """Learners that use unlabelled images against `supervised`: few labels, short and long trainings."""
    everything = len(data.subject.pairs)
    for seconds in data.budgets:
        given = replace(data, sizes=replace(data.sizes, seconds=seconds))
        for count in data.labelled:
            for name in data.methods or COMPARED:
                yield from _learned(given, name, count, seed, f"{name}, {count} labelled, {seconds:.0f} s")
        if "supervised" in (data.methods or COMPARED):
            yield from _learned(given, "supervised", everything, seed, f"all labelled, {seconds:.0f} s")


def rankers(data: LoopSet, seed: int) -> Iterator[Row]:
    """Dice after each batch of labels, chosen by each ranker from the same start."""
    for name in data.methods or RANKERS:
        yield from _curve(data, name, seed, name)


def rounds(data: LoopSet, seed: int) -> Iterator[Row]:
    """Dice after each batch of random labels, with rounds as they are and with one of their habits left out."""
    yield from _curve(data, "random", seed, "rounds as they are")
    with patch.object(trainer, "SETTLED", sys.maxsize):
        yield from _curve(data, "random", seed, "new labels at the full rate")
    with patch.object(round_spec, "PATIENCE", 1):
        yield from _curve(data, "random", seed, "from the best model each time")


def _curve(data: LoopSet, ranker: str, seed: int, method: str) -> Iterator[Row]:
    s = data.sizes
    settings = LearnSettings(
        ("supervised",),
        seconds=9999 if data.steps else s.round_seconds,
        settle_seconds=0,
        device=data.device,
        steps=data.steps,
    )
    with _folder() as folder, project(folder / "p", data.subject, settings, seed) as person:
        person.label_random(s.start)
        dice: list[float] = []
        for number in range(s.rounds + 1):
            if number:
                person.label_next(s.batch, ranker)
            person.scheduler.run_until_idle()
            value = _dice(person, data, folder / f"test-{number}")
            dice.append(value)
            seconds = round(person.seconds / 60, 1) * 60
            yield Row(
                data.subject.name, method, f"Dice after {person.drawn}", value, seed=seed, seconds=seconds
            )
        curve = float(np.trapezoid(dice) / max(1, len(dice) - 1))
        yield Row(data.subject.name, method, "area", curve, n=len(dice), seed=seed)
        yield Row(data.subject.name, method, "minutes", person.seconds / 60, n=person.drawn, seed=seed)


def refresh(data: LoopSet, seed: int) -> Iterator[Row]:
    """Seconds from a new label to a fresh proposal on the open image, with torch loaded, as in a warm worker."""
    settings = LearnSettings(
        ("supervised",), seconds=data.sizes.round_seconds, settle_seconds=0, predict_seconds=0
    )
    shown: dict[tuple[int, int], float] = {}

    def tell(message: dict[str, Any]) -> None:
        if message["t"] == "proposal":
            shown[message["image"], message["seen"]] = time.monotonic()

    with _folder() as folder, project(folder / "p", data.subject, settings, seed, tell) as person:
        person.label_random(max(4, data.sizes.start))
        person.scheduler.run_until_idle()
        image = max(person.masks)
        person.scheduler.look(image)
        person.label_whole(min(person.masks))
        started = time.monotonic()
        clock = person.workflow.store.newest_label()
        person.scheduler.run_until_idle()
        took = shown[image, clock] - started
    yield Row(
        data.subject.name, f"{settings.seconds:.0f} s rounds", "refresh s", took, seed=seed, seconds=took
    )


PARTS: dict[str, Callable[[LoopSet, int], Iterator[Row]]] = {
    "learners": learners,
    "semi": semi,
    "rankers": rankers,
    "rounds": rounds,
    "refresh": refresh,
}


def _learned(data: LoopSet, name: str, count: int, seed: int, method: str) -> Iterator[Row]:
    """One learner from scratch: rounds of a third of the time each, so that methods in stages have theirs."""
    seconds = data.sizes.seconds
    settings = LearnSettings(
        (name,), seconds=max(1.0, seconds / 3), settle_seconds=seconds, device=data.device
    )
    with _folder() as folder, project(folder / "p", data.subject, settings, seed) as person:
        person.label_random(count)
        person.scheduler.run_until_idle()
        row = person.scheduler.rounds.newest(name, "done")
        if row is None:
            print(f"{data.subject.name}, {method}: {person.scheduler.status()[0]['message']}")
            return
        trained = person.scheduler.rounds.trained_seconds(name, row.seen_label)
        value = _dice(person, data, folder / "test")
        yield Row(data.subject.name, method, "Dice", value, n=count, seed=seed, seconds=round(trained, 1))
        if row.dice is not None:
            yield Row(data.subject.name, method, "held-out Dice", row.dice, n=count, seed=seed)


def _dice(person: Annotator, data: LoopSet, folder: Path) -> float:
    """On the test images; 0 where there is no model yet, for then nobody gets a mask."""
    model = person.scheduler.rounds.model("supervised") or person.scheduler.rounds.any_model()
    if model is None:
        return 0.0
    return test_dice(model, data.test, data.subject, folder) or 0.0


def floor_of(data: LoopSet) -> float:
    """Otsu's threshold, bright or dark whichever covers less; 0 for volumes and several classes."""
    if len(data.subject.classes) > 1 or data.test[0][0].name.endswith(".gz"):
        return 0.0
    scores = []
    for image, mask in data.test:
        grey = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        best = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)[1] > 0
        best = best if best.mean() < 0.5 else ~best
        truth = read_labels(mask)[0][0] > 0
        scores.append(2 * (best & truth).sum() / max(1, best.sum() + truth.sum()))
    return float(np.mean(scores))


# sets


def _nuclei(data: Path, quick: bool) -> LoopSet | None:
    sizes = LoopSizes((4,), 12, 14, 6, 4, 2, 2, 6) if quick else LoopSizes((4, 16), 45, 60, 30, 4, 4, 5, 10)
    return _set(data / "dsb2018-nuclei", "nuclei", ("nucleus",), sizes, objects=True)


def _nuclei_shift(data: Path, quick: bool) -> LoopSet | None:
    """Trained on the small fluorescence pictures, tested on all other kinds."""
    sizes = LoopSizes((4,), 12, 12, 6, 4, 2, 2, 6) if quick else LoopSizes((16,), 45, 30, 30, 4, 4, 5, 10)
    folder = data / "dsb2018-nuclei"
    return _set(
        folder,
        "nuclei, other kinds",
        ("nucleus",),
        sizes,
        objects=True,
        train=lambda row: row["split"] == "train" and row["domain"] == "fluo256",
        test=lambda row: row["split"] == "val" and row["domain"] != "fluo256",
    )


def _hippocampus(data: Path, quick: bool) -> LoopSet | None:
    sizes = LoopSizes((4,), 15, 8, 4, 4, 8, 2, 8) if quick else LoopSizes((4,), 60, 40, 20, 4, 16, 5, 12)
    return _set(data / "hippocampus", "hippocampus", ("anterior", "posterior"), sizes, whole_images=False)


def _superalloy(data: Path, quick: bool) -> LoopSet | None:
    sizes = LoopSizes((4,), 12, 6, 2, 2, 1, 2, 6) if quick else LoopSizes((4,), 45, 10, 4, 2, 2, 4, 10)
    return _set(data / "superalloy", "superalloy", ("small", "large"), sizes)


SETS: dict[str, Callable[[Path, bool], LoopSet | None]] = {
    "nuclei": _nuclei,
    "nuclei-shift": _nuclei_shift,
    "hippocampus": _hippocampus,
    "superalloy": _superalloy,
}


def _set(
    folder: Path,
    name: str,
    classes: tuple[str, ...],
    sizes: LoopSizes,
    *,
    objects: bool = False,
    whole_images: bool = True,
    train: Callable[[dict[str, str]], bool] = lambda row: row["split"] == "train",
    test: Callable[[dict[str, str]], bool] = lambda row: row["split"] == "val",
) -> LoopSet | None:
    if not (folder / "split.csv").is_file():
        return None
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))

    def pairs(wanted: Callable[[dict[str, str]], bool], count: int) -> tuple[tuple[Path, Path], ...]:
        names = [row["file"] for row in table if wanted(row)]
        even = [names[i * len(names) // count] for i in range(count)] if len(names) > count else names
        return tuple((folder / "images" / n, folder / "labels" / n) for n in even)

    subject = Subject(name, pairs(train, sizes.train), classes, objects, whole_images)
    return LoopSet(subject, pairs(test, sizes.test), sizes)


def _folder() -> tempfile.TemporaryDirectory:
    return _Folder()


class _Folder(tempfile.TemporaryDirectory):
    """A temporary directory as a Path."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


if __name__ == "__main__":
    main()
