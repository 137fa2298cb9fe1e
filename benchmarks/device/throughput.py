"""What a device gets done: steps and utilisation of each learner, prediction, refresh, and Dice."""

import argparse
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import loop
from benchmarks.common import Row
from benchmarks.device.scene import CLASSES, Scene, scene
from learners import LEARNERS
from learners.patches.room import held_room
from learners.prediction.predict import Files, predict
from learners.spec import Fill, Pseudo
from learners.training.augment import views_of
from learners.training.budget import Budget
from learners.training.losses import CEDice
from learners.training.state import TrainingState
from learners.training.trainer import Gate, TrainingJob, train
from models.networks import UNet

TRAINED = ("supervised", "unimatch", "mean_teacher", "bcp", "stpp", "desco", "cross_teaching", "propagated")
SMALL = (16, 24, 24)  # the patch of the quick form and of a processor


def steps(folder: Path, asked: argparse.Namespace) -> Iterator[Row]:
    """Steps a second with the gate open, and how busy the GPU was."""
    made = _scene(folder, asked)
    for name in TRAINED:
        job, state = _job(made, name, Budget(3.0 if asked.quick else 12.0))
        with _watched(asked.device) as busy:
            train(job, state)
        job.pools.close()
        yield Row(asked.device, name, "steps / s", job.budget.step / job.budget.spent)
        if busy:
            yield Row(asked.device, name, "GPU busy %", float(np.mean(busy)), n=len(busy))


def predictions(folder: Path, asked: argparse.Namespace) -> Iterator[Row]:
    """Voxels a second into files, with what rankers need."""
    made = _scene(folder, asked)
    network = UNet(made.plan.network).to(made.plan.device).eval()
    files, case = Files(folder / "classes.npy", folder / "sure.npy"), made.cases[0]
    predict(network, case, made.plan, CLASSES, files)
    started = time.perf_counter()
    for _ in range(1 if asked.quick else 5):
        predict(network, case, made.plan, CLASSES, files)
    seconds = (time.perf_counter() - started) / (1 if asked.quick else 5)
    voxels = int(np.prod(case.example.shape))
    yield Row(asked.device, "prediction", "million voxels / s", voxels / seconds / 1e6, seconds=seconds)


def refresh(folder: Path, asked: argparse.Namespace) -> Iterator[Row]:
    """Seconds from a label to fresh proposals, rounds of two seconds."""
    data = loop.SETS["hippocampus"](asked.data, True)
    if data is not None:
        yield from loop.refresh(replace(data, sizes=replace(data.sizes, round_seconds=2.0)), 0)


def learners(folder: Path, asked: argparse.Namespace) -> Iterator[Row]:
    """Dice of all learners of whole labels after the same seconds, three seeds, hippocampus."""
    data = loop.SETS["hippocampus"](asked.data, True)
    if data is not None:
        sizes = replace(data.sizes, seconds=3.0 if asked.quick else 12.0, train=40, test=10)
        for seed in range(1 if asked.quick else asked.seeds):
            yield from loop.learners(replace(data, sizes=sizes, device=asked.device), seed)


def _scene(folder: Path, asked: argparse.Namespace) -> Scene:
    if asked.device == "cuda" and not asked.quick:
        return scene(folder, asked.device, quick=False)
    return scene(folder, asked.device, quick=True, patch=SMALL)


def _job(made: Scene, name: str, budget: Budget) -> tuple[TrainingJob, TrainingState]:
    """From scratch, with fills and proposals where the method takes them: the known slices themselves."""
    cases = list(made.cases)
    for case in cases:
        example, known = case.example, cases[0].example.known
        assert known is not None
        if example.known is None:
            case.example = replace(example, pseudo=Pseudo(known, known, 1.0))
        else:
            case.example = replace(example, fill=Fill(known, known))
    recipe, plan = LEARNERS[name].recipe(), made.plan
    pools = made.pools(held_room(plan.device))
    torch.manual_seed(0)
    state = TrainingState.fresh(UNet(plan.network).to(plan.device))
    if recipe.peers is not None:
        state.peers = {key: UNet(s).to(plan.device) for key, s in recipe.peers(plan, pools).items()}
    gate = Gate(0.0, 0.0, recipe.weight, None, 1.0)
    ids = tuple(case.example.image_id for case in cases)
    views = views_of(plan, (0, 1, 2))
    return TrainingJob(recipe, pools, plan, budget, views, CEDice(), gate, before=4, reliable=ids), state


@contextmanager
def _watched(device: str) -> Iterator[list[float]]:
    """What nvidia-smi says five times a second; nothing on a processor."""
    busy: list[float] = []
    if device != "cuda":
        yield busy
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            yield busy
        finally:
            watcher.terminate()
            assert watcher.stdout is not None
            busy += [float(line) for line in watcher.stdout.read().split() if line.strip().isdigit()]
