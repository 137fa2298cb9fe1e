"""What a step weighs, against the papers: pseudo-labels beside labels, BCP's batches, and how soon the average is slow.

    python -m benchmarks.weights [--quick] [--part average|unlabelled] [--set hippocampus|nuclei] [--seeds N]

`average` trains one network with two averages of it, so that both see the same steps. `unlabelled` trains a network on
the labels, until the gate would open, then goes on with each variant for the same seconds of a core, as a warm round
does. Judged on images that nobody trained on.
"""

import copy
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.common import Row, finish, parser
from benchmarks.loop import SETS, LoopSet
from benchmarks.simulated import Subject
from learners import LEARNERS
from learners.methods import bcp
from learners.patches.pools import Pools
from learners.prediction.evaluation import Evaluator
from learners.prediction.predict import class_map
from learners.spec import Example, Pseudo, RoundSpec
from learners.training import trainer
from learners.training.augment import views_of
from learners.training.budget import Budget
from learners.training.data import ImageReader, reliable
from learners.training.losses import CEDice, Sample
from learners.training.plan import Plan, plan_of
from learners.training.state import TrainingState
from learners.training.targets import Classes
from learners.training.trainer import Gate, Part, Recipe, StepContext, TrainingJob, train
from models.networks import UNet
from storage.arrays import write_npy
from storage.formats import lay_on, read, read_labels
from storage.formats.grid import grid_of_image

LABELLED = 3
MOST_ROUNDS = 6  # on the labels alone, until the gate would open
CHECKS = (30, 60, 120, 250, 500)  # steps at which both averages are judged
Variants = dict[str, Recipe]


@dataclass(frozen=True)
class WarmStart:
    """Images of which a few are labelled, and a network that has begun to learn from them."""

    name: str
    examples: tuple[Example, ...]
    plan: Plan
    classes: Classes
    judge: Evaluator
    state: TrainingState
    seed: int


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--part", choices=("average", "unlabelled"), action="append", help="default: both")
    options.add_argument("--set", choices=("hippocampus", "nuclei"), action="append", help="default: both")
    options.add_argument("--seconds", type=float, help="of a core, for each variant; default 40, quick 6")
    options.add_argument("--variant", action="append", help="default: all")
    asked = options.parse_args()
    seconds = asked.seconds or (6.0 if asked.quick else 40.0)
    rows: list[Row] = []
    for name in asked.set or ("hippocampus", "nuclei"):
        data = SETS[name](asked.data, asked.quick)
        for seed in range(1 if asked.quick else asked.seeds) if data else ():
            assert data is not None
            for row in _measured(data, seed, seconds, asked.part, asked.variant):
                print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
    finish(rows, asked.json)


def _measured(
    data: LoopSet, seed: int, seconds: float, parts: Sequence[str] | None, names: Sequence[str] | None
) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        start = _begun(data, seed, Path(folder))
        if not parts or "average" in parts:
            yield from _average(start, CHECKS if seconds >= 20 else CHECKS[:2])
        if not parts or "unlabelled" in parts:
            yield from _unlabelled(start, seconds, names, Path(folder))


# parts


def _average(start: WarmStart, checks: Sequence[int]) -> Iterator[Row]:
    """The app's average and the one of the papers, of one and the same training from scratch."""
    state = copy.deepcopy(start.state)
    published = copy.deepcopy(state.teacher)
    follow = trainer.update_ema
    found: list[Row] = []

    def both(teacher: UNet, student: UNet, step: int, average: float) -> None:
        follow(teacher, student, step, average)
        follow_as_published(published, student, step, average)
        if step + 1 in checks:
            for method, network in (("the app's", teacher), ("min(1 - 1/(t+1), a)", published)):
                dice = start.judge(network).dice or 0.0
                found.append(Row(start.name, method, f"Dice, {step + 1} steps", dice, seed=start.seed))

    with patch.object(trainer, "update_ema", both):
        train(_job(start, LEARNERS["supervised"].recipe(), Budget(1e9, steps=max(checks))), state)
    yield from found


def follow_as_published(teacher: UNet, student: UNet, step: int, average: float) -> None:
    keep = min(1 - 1 / (step + 1), average)
    with torch.no_grad():
        for a, b in zip(teacher.parameters(), student.parameters(), strict=True):
            a.mul_(keep).add_(b.detach(), alpha=1 - keep)


def _unlabelled(start: WarmStart, seconds: float, names: Sequence[str] | None, folder: Path) -> Iterator[Row]:
    for _ in range(MOST_ROUNDS):
        train(_job(start, LEARNERS["supervised"].recipe(), CoreBudget(seconds)), start.state)
        before = start.judge(start.state.teacher).dice or 0.0
        if before >= trainer.GOOD_TEACHER:
            break
    yield Row(start.name, "before", "Dice", before, seed=start.seed)
    start = replace(start, examples=tuple(_proposed(start, folder)))
    for name, recipe in variants().items():
        if names and name not in names:
            continue
        state, budget = copy.deepcopy(start.state), CoreBudget(seconds)
        train(_job(start, recipe, budget), state)
        dice = start.judge(state.teacher).dice or 0.0
        yield Row(start.name, name, "Dice", dice, seed=start.seed, seconds=seconds)
        yield Row(start.name, name, "steps", budget.step, seed=start.seed, seconds=seconds)


def variants() -> Variants:
    """Each published weight beside another one."""
    made = {
        name: LEARNERS[name].recipe() for name in ("supervised", "unimatch", "bcp", "stpp", "mean_teacher")
    }
    return {
        "supervised": made["supervised"],
        "unimatch, weight 1 (published)": replace(made["unimatch"], weight=1.0),
        "unimatch, weight 0.5": replace(made["unimatch"], weight=0.5),
        "bcp, a half beside labels, whole batches": replace(made["bcp"], weight=1.0),
        "bcp, a half beside labels, halves of batches": replace(made["bcp"], mix=mix_of_halves),
        "bcp, a quarter beside labels, whole batches": replace(made["bcp"], weight=0.5),
        "bcp, a quarter beside labels and labels alone": replace(made["bcp"], mix=mix_as_before, weight=0.5),
        "stpp, weight 1 (published)": replace(made["stpp"], weight=1.0),
        "stpp, weight 0.5": replace(made["stpp"], weight=0.5),
        "mean_teacher, weight 1": replace(made["mean_teacher"], weight=1.0),
        "mean_teacher, weight 0.1 (published)": replace(made["mean_teacher"], weight=0.1),
    }


def mix_of_halves(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """BCP with the batch cut in four, as its authors do: half of what is drawn is seen."""
    half = slice(0, max(1, len(labelled) // 2))
    return bcp.mix(labelled.of(half), unlabelled and unlabelled.of(half), context)


def mix_as_before(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """BCP as the app had it until 2026-11-30: halves, and copy-paste among labels for the rest of the weight."""
    half, full = slice(0, max(1, len(labelled) // 2)), replace(context, weight=1.0)
    plain = bcp.mix(labelled, None, context)[0].sample.of(half)
    if unlabelled is None:
        return [Part(plain)]
    mixed = bcp.mix(labelled.of(half), unlabelled.of(half), full)
    return [Part(plain, 1 - context.weight), *(Part(each.sample, context.weight) for each in mixed)]


# what they share


def _begun(data: LoopSet, seed: int, folder: Path) -> WarmStart:
    pairs = list(data.subject.pairs)
    order = np.random.default_rng(seed).permutation(len(pairs))
    examples = [
        example_of(pairs[i], data.subject, n + 1, folder, labelled=n < LABELLED) for n, i in enumerate(order)
    ]
    held = [
        replace(example_of(pair, data.subject, 1000 + n, folder), all_held=True)
        for n, pair in enumerate(data.test)
    ]
    class_ids = tuple(range(1, len(data.subject.classes) + 1))
    spec = RoundSpec("supervised", class_ids, tuple(examples), folder, seed=seed, device="cpu")
    plan, classes = plan_of(spec), Classes(class_ids)
    judge = Evaluator([ImageReader(e, classes, plan.network.channels) for e in held], plan, classes)
    torch.manual_seed(seed)
    state = TrainingState.fresh(UNet(plan.network))
    name = f"{data.subject.name}, {LABELLED} labelled"
    return WarmStart(name, tuple(examples), plan, classes, judge, state, seed)


def example_of(
    pair: tuple[Path, Path], subject: Subject, image_id: int, folder: Path, *, labelled: bool = True
) -> Example:
    """Image and mask as arrays on disk, as a round gets them."""
    scan = read(pair[0])
    values, own = read_labels(pair[1])
    values = lay_on(values, own, grid_of_image(scan.geometry, scan.pixels.shape[:3], scan.spacing_mm))
    known = ((values > 0) if subject.objects else values).astype(np.uint8)
    pixels, target = folder / f"{image_id}.npy", folder / f"{image_id}-known.npy"
    write_npy(pixels, scan.pixels)
    write_npy(target, known)
    channels = scan.pixels.shape[3] if scan.pixels.ndim == 4 else 1
    slices = tuple((0, z) for z in range(known.shape[0])) if labelled else ()
    return Example(
        image_id, pixels, known.shape, channels, scan.spacing_mm, target if labelled else None, slices=slices
    )


def _proposed(start: WarmStart, folder: Path) -> Iterator[Example]:
    """With what the network proposes, for methods that train on it; all are called alike stable."""
    for example in start.examples:
        case = ImageReader(example, start.classes, start.plan.network.channels)
        path = folder / f"{example.image_id}-proposed.npy"
        write_npy(path, class_map(start.state.teacher, case, start.plan, start.classes))
        yield replace(example, pseudo=Pseudo(path, path, 1.0))


def _job(start: WarmStart, recipe: Recipe, budget: Budget) -> TrainingJob:
    cases = [ImageReader(e, start.classes, start.plan.network.channels) for e in start.examples]
    return TrainingJob(
        recipe=recipe,
        pools=Pools(cases, start.classes, start.plan, np.random.default_rng(start.seed)),
        plan=start.plan,
        budget=budget,
        views=views_of(start.plan, (0, 1, 2), axis_aligned=recipe.axis_aligned),
        loss=CEDice(),
        gate=Gate(good=0.0, ramp=0.0, most=recipe.weight, share=None),
        seed=start.seed,
        before=1,
        reliable=reliable(cases, recipe.stable),
    )


class CoreBudget(Budget):
    """Seconds of a core, whatever else the machine does meanwhile."""

    _now = staticmethod(time.process_time)


if __name__ == "__main__":
    main()
