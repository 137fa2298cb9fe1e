"""Models from two slices a volume: each method against the slices alone, propagated labels alone and full labels.

    python -m benchmarks.sparse_models [--quick] [--seconds N | --steps N] [--rounds N] [--method NAME]

Hippocampus; the slices are the two orthogonal ones of the simulated annotator, the fills are the app's default, the
test volumes are ones that no round saw. Every method trains for the same seconds in three rounds, from scratch, with
the same slices and seeds; with --steps for as many steps in each round, which says less about time and does not depend
on what else the machine does. One form trusts fills ever less from round to round, as DeSCO does. `share` is the Dice
as a share of the ceiling, all slices of the same volumes.
"""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from benchmarks.sparse import DEFAULT, SparseSubject, case_of, first_place, read_subject
from learners import LEARNERS
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.prediction.predict import class_map
from learners.propagate import RunControl, fill
from learners.propagate.next_slice import Volume, next_slice
from learners.rounds import run_round
from learners.spec import Example, Fill, RoundSpec
from learners.training.checkpoint import load_network, read_card
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from storage.arrays import write_npy

SLICES, FILLED, FULL = "slices alone", "propagated labels alone", "ceiling: full labels"
FALLING = "propagated, trust that falls"  # known to this benchmark alone
METHODS = ("propagated", FALLING, "desco", "cross_teaching")
ROUNDS = 3
VALUES = (1, 2)


@dataclass(frozen=True)
class Length:
    """How long every method trains: seconds in all, or steps of each round."""

    seconds: float
    rounds: int = ROUNDS
    steps: int | None = None


@dataclass(frozen=True)
class Prepared:
    """A volume on disk in three forms of labelling."""

    sparse: Example  # two slices and their fill
    filled: Example  # the fill as if it were the truth
    full: Example


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, help="of training for each method; default 180, quick 20")
    options.add_argument(
        "--volumes", type=int, action="append", help="labelled; default 4, 8 and 16, quick 4"
    )
    options.add_argument("--tests", type=int, help="volumes that are judged; default 20, quick 6")
    options.add_argument("--steps", type=int, help="of each round, instead of seconds")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--method", action="append", choices=(SLICES, FILLED, *METHODS), help="default: all")
    asked = options.parse_args()
    length = Length(asked.seconds or (20.0 if asked.quick else 180.0), asked.rounds, asked.steps)
    tests = asked.tests or (6 if asked.quick else 20)
    chosen = asked.method or (SLICES, FILLED, *METHODS)
    register_falling()
    rows: list[Row] = []
    for count in asked.volumes or ((4,) if asked.quick else (4, 8, 16)):
        for seed in range(1 if asked.quick else asked.seeds):
            for row in models(asked.data, count, seed, length, tests=tests, chosen=chosen):
                print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
    finish(rows, asked.json)


def register_falling() -> None:
    """The learner `propagated` as it would be if its trust in fills fell from round to round."""
    entry = LEARNERS["propagated"]
    recipe = replace(entry.recipe(), fills_last=False)
    LEARNERS[FALLING] = replace(entry, make=lambda: recipe, fills_last=False)


def models(
    data: Path, count: int, seed: int, length: Length, *, tests: int, chosen: Sequence[str]
) -> Iterator[Row]:
    """Dice on unseen volumes of every method, and its share of the ceiling."""
    train, test = volumes(data, "train", count, seed), volumes(data, "val", tests, 0)
    if not train:
        print(f"hippocampus is not in {data}, so nothing was measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        prepared = [prepare(Path(folder), n, subject, seed) for n, subject in enumerate(train, 1)]
        forms = {
            SLICES: ("supervised", [p.sparse for p in prepared]),
            FILLED: ("supervised", [p.filled for p in prepared]),
            **{name: (name, [p.sparse for p in prepared]) for name in METHODS},
            FULL: ("supervised", [p.full for p in prepared]),
        }
        found = {
            name: trained(Path(folder) / f"m{n}", learner, examples, test, length, seed)
            for n, (name, (learner, examples)) in enumerate(forms.items())
            if name in (*chosen, FULL)
        }
    for name, value in found.items():
        label = f"hippocampus, {count} volumes"
        share = value / max(found[FULL], 1e-6)
        yield Row(label, name, "Dice", value, len(test), seed)
        yield Row(label, name, "share of the ceiling", share, len(test), seed)


def volumes(data: Path, split: str, count: int, seed: int) -> list[SparseSubject]:
    """So many of a split, other ones for each seed."""
    folder = data / "hippocampus"
    if not (folder / "split.csv").is_file():
        return []
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == split]
    chosen = np.random.default_rng(seed).permutation(names)[:count]
    return [read_subject("hippocampus", folder / "images" / n, folder / "labels" / n) for n in chosen]


def prepare(folder: Path, number: int, subject: SparseSubject, seed: int) -> Prepared:
    """Two orthogonal slices, the second where the fill of the first is least sure, and the fill of both."""
    at = [first_place(subject, seed)]
    filled = fill(DEFAULT, case_of(subject, at), RunControl())
    case = case_of(subject, at)
    proposal = next_slice(Volume(filled.classes, filled.confidence, case.slices, subject.spacing_mm))
    assert proposal is not None
    at.append((proposal.axis, proposal.index))
    case = case_of(subject, at)
    filled = fill(DEFAULT, case, RunControl())
    arrays: dict[str, NDArray[Any]] = {
        "pixels": subject.image,
        "known": case.known,
        "fill": filled.classes,
        "sure": filled.confidence,
        "truth": subject.truth,
    }
    paths = {name: folder / f"{number}-{name}.npy" for name in arrays}
    for name, array in arrays.items():
        write_npy(paths[name], array)
    example = Example(number, paths["pixels"], subject.truth.shape, 1, subject.spacing_mm)
    sparse = replace(example, known=paths["known"], slices=tuple(at), fill=Fill(paths["fill"], paths["sure"]))
    return Prepared(sparse, replace(example, known=paths["fill"]), replace(example, known=paths["truth"]))


def trained(
    folder: Path,
    learner: str,
    examples: Sequence[Example],
    test: Sequence[SparseSubject],
    length: Length,
    seed: int,
) -> float:
    """Dice on the test volumes after all rounds, each from the last one's model and with the fill a round older."""
    parent = None
    for number in range(length.rounds):
        directory = folder / f"round-{number}"
        directory.mkdir(parents=True)
        aged = tuple(replace(e, fill=e.fill and replace(e.fill, rounds=number)) for e in examples)
        spec = RoundSpec(
            learner=learner,
            class_ids=VALUES,
            examples=aged,
            directory=directory,
            parent=parent,
            seconds=9999.0 if length.steps else length.seconds / length.rounds,
            steps=length.steps,
            seed=seed + 100 * number,
            mirror=(2,),
        )
        parent = run_round(spec).model
    assert parent is not None
    return tested(parent, folder, test)


def tested(model: Path, folder: Path, test: Sequence[SparseSubject]) -> float:
    """Mean over volumes of the mean Dice over classes."""
    card, network = read_card(model), load_network(model)
    plan, classes = Plan(card.network, (), 1, "cpu", False, card.spacing_mm), Classes(VALUES)
    scores = []
    for n, subject in enumerate(test):
        path = folder / f"test-{n}.npy"
        write_npy(path, subject.image)
        case = ImageReader(Example(n, path, subject.truth.shape, 1, subject.spacing_mm), classes, 1)
        proposed = class_map(network, case, plan, classes)
        everywhere = np.ones(subject.truth.shape, bool)
        scores.append(dice_of(overlaps(proposed, subject.truth, VALUES, everywhere)))
    return mean_dice(scores) or 0.0


if __name__ == "__main__":
    main()
