"""Processor milliseconds of each stage of a step outside the network, now and as it was, in one run."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import Row
from benchmarks.device import former
from benchmarks.device.scene import CLASSES, PATCH, Scene, scene
from learners.methods import bcp, unimatch
from learners.training.augment import normal_like, views_of
from learners.training.mix import cutmix, cutmix_masks
from learners.training.state import TrainingState
from learners.training.trainer import Gate, StepContext, update_ema
from models.networks import UNet

# How often a step of each learner goes through each stage.
STEPS: dict[str, dict[str, int]] = {
    "supervised": {"draw labelled": 1, "weak view": 1, "copy-paste": 1, "strong look": 1, "average": 1},
    "unimatch": {
        "draw labelled": 1,
        "draw unlabelled": 1,
        "weak view": 2,
        "copy-paste": 3,
        "strong look": 3,
        "pseudo-labels": 1,
        "guard": 1,
        "average": 1,
    },
    "bcp": {
        "draw labelled": 1,
        "draw unlabelled": 1,
        "weak view": 2,
        "copy-paste": 2,
        "strong look": 2,
        "largest pieces": 1,
        "guard": 1,
        "average": 1,
    },
}
FORMER = {  # what was done in place of each stage, or (+) beside it
    "draw labelled": "draw labelled, by NumPy",
    "draw unlabelled": "draw unlabelled, by NumPy",
    "strong look": "+ noise of a look, by the processor",
    "copy-paste": "+ boxes of a copy-paste, by the processor",
    "largest pieces": "largest pieces, by the processor",
}
RNG = torch.Generator()
FEW_VOXELS = (8, 8, 16)
Stage = Callable[[], object]


def stages(folder: Path, device: str, *, quick: bool) -> list[Row]:
    """With the device's work and, on a processor, without. One thread: waiting ones count as busy."""
    torch.set_num_threads(1)
    whole = _measured(scene(folder, device, quick=quick), quick)
    rows = _rows("all on the processor" if device == "cpu" else "beside the GPU", whole, whole)
    if device == "cpu":
        few = _measured(scene(folder, device, quick=quick, patch=FEW_VOXELS), quick)
        rows += _rows("beside a device", few, whole)
    return rows


def _rows(where: str, now: dict[str, float], then: dict[str, float]) -> list[Row]:
    """`then`: what the former stages took, which did their work on the processor whatever the device."""
    rows = [Row(where, name, "ms", value) for name, value in now.items() if name not in FORMER.values()]
    rows += [Row(where, name, "ms", then[name]) for name in FORMER.values()]
    for learner, counts in STEPS.items():
        here = sum(now[stage] * count for stage, count in counts.items())
        before = sum(_former(now, then, stage) * count for stage, count in counts.items())
        rows.append(Row(where, f"{learner}: a step", "ms", here))
        rows.append(Row(where, f"{learner}: a step", "ms before", before))
        rows.append(Row(where, f"{learner}: a step", "before / now", before / here))
    return rows


def _former(now: dict[str, float], then: dict[str, float], stage: str) -> float:
    name = FORMER.get(stage)
    if name is None:
        return now[stage]
    return then[name] + (now[stage] if name.startswith("+") else 0.0)


def _measured(made: Scene, quick: bool) -> dict[str, float]:
    return {name: milliseconds(stage, made.plan.device, quick) for name, stage in _stages(made).items()}


def milliseconds(stage: Stage, device: str, quick: bool) -> float:
    """Of the processor, all threads: the mean over some random choices of the least of some times, for what others do
    on the machine adds to a time."""
    least = []
    for seed in range(3 if quick else 8):
        took = []
        for _ in range(3 if quick else 5):
            RNG.manual_seed(seed)
            started = time.process_time()
            stage()
            took.append(time.process_time() - started)
            if device == "cuda":
                torch.cuda.synchronize()
        least.append(min(took))
    return 1000 * float(np.mean(least))


def _stages(made: Scene) -> dict[str, Stage]:
    plan, rng = made.plan, RNG
    pools, places = made.pools(10**10), np.random.default_rng(1)
    for _ in range(12):  # by then all volumes are held
        labelled, unlabelled = pools.labelled(plan.batch), pools.unlabelled(plan.batch)
    views, context = views_of(plan, (0, 1, 2)), StepContext(rng, classes=len(CLASSES))
    p = torch.rand(plan.batch, len(CLASSES), *plan.patch).to(plan.device).softmax(1)
    blobs = _blobs(plan.batch, plan.patch).to(plan.device)
    alone = plan.device == "cpu" and plan.patch != PATCH
    find_pieces = bcp.pieces_by_device if alone else bcp.largest_pieces
    gate = Gate(0.0, 0.0, 1.0, 0.2)
    gate.closed = "to look at the watching alone"
    state = TrainingState.fresh(UNet(plan.network).to(plan.device))
    return {
        "draw labelled": lambda: pools.labelled(plan.batch),
        "draw unlabelled": lambda: pools.unlabelled(plan.batch),
        "weak view": lambda: views.weak(labelled, rng),
        "copy-paste": lambda: cutmix(labelled, rng),
        "strong look": lambda: views.strong(labelled, rng),
        "noise of a noisy look": lambda: normal_like(labelled.x[:1], rng),
        "boxes of a copy-paste": lambda: cutmix_masks(labelled, rng),
        "pseudo-labels": lambda: unimatch.select(unlabelled, p, context),
        "guard": lambda: gate.watch(labelled, 0.5),
        "largest pieces": lambda: find_pieces(blobs, len(CLASSES)),
        "average": lambda: update_ema(state.teacher, state.student, 9, 0.99),
        "draw labelled, by NumPy": lambda: former.drawn_by_numpy(
            [pools.place_labelled(places) for _ in range(plan.batch)], plan, unlabelled=False
        ),
        "draw unlabelled, by NumPy": lambda: former.drawn_by_numpy(
            [pools.place_anywhere(places) for _ in range(plan.batch)], plan, unlabelled=True
        ),
        "+ noise of a look, by the processor": lambda: former.noise_by_processor(labelled.x, rng),
        "+ boxes of a copy-paste, by the processor": lambda: former.boxes_by_processor(labelled.x),
        "largest pieces, by the processor": lambda: former.pieces_by_processor(blobs, len(CLASSES)),
    }


def _blobs(batch: int, patch: tuple[int, ...]) -> torch.Tensor:
    """(B, *S) classes as a teacher might say: an object of each and a crumb."""
    y = torch.zeros(batch, *patch, dtype=torch.long)
    z, r, c = patch
    y[:, : z // 2, : r // 2, : c // 2], y[:, z // 2 :, : r // 2], y[:, :2, -2:, -2:] = 1, 2, 1
    return y
