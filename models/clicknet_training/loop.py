"""The training loop: iterative clicks as in RITM, candidates by the least loss, averaged weights."""

import json
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from models.clicknet.model import has_bf16
from models.clicknet.network import Network
from models.clicknet_training.batches import Order, batches
from models.clicknet_training.examples import Batch
from models.clicknet_training.objective import corrected, forward, generator, loss_of

PEAK_RATE = 1.2e-3
WARM_UP_STEPS = 200
COOL_DOWN = 0.3  # of the steps
AVERAGE = 0.999  # of the weights that are shipped
STAGES = ((0.6, 96, 16), (1, 128, 12))  # until which part of the steps, crop size, batch size


@dataclass(frozen=True)
class Schedule:
    """How a run goes from its first step to its last."""

    peak: float = PEAK_RATE
    cool_down: float = COOL_DOWN
    stages: tuple[tuple[float, int, int], ...] = STAGES

    def rate(self, step: int, steps: int) -> float:
        """Warm up, hold, and come down in the last part: a run can go on from any checkpoint of the middle."""
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.peak * warm * min(1.0, 0.01 + (1 - step / steps) / self.cool_down)


FROM_SCRATCH = Schedule()
ON_GPU = Schedule(peak=2e-3, stages=((1, 128, 128),))  # small crops and batches save time on a processor only
FURTHER = Schedule(peak=4e-4, cool_down=1.0, stages=((1, 128, 32),))


def schedule_for(device: str, start: Path | None) -> Schedule:
    """Weights that are trained learn at a lower rate, which comes down at once, on crops of full size."""
    if device == "cpu":
        return FURTHER if start else FROM_SCRATCH
    return replace(ON_GPU, peak=ON_GPU.peak / 2, cool_down=1.0) if start else ON_GPU


@dataclass(frozen=True)
class TrainingPlan:
    cache: Path
    out: Path  # the checkpoint; its log lies beside it
    steps: int
    seed: int = 0
    threads: int = 1  # sums are rounded in another order with another number
    workers: int = 1  # processes that make samples; the samples do not depend on their number
    device: str = "cpu"
    start: Path | None = None  # weights that were shipped, to train further; else random ones
    schedule: Schedule = FROM_SCRATCH


class TrainingRun:
    """Everything a checkpoint holds."""

    def __init__(self, plan: TrainingPlan) -> None:
        torch.manual_seed(plan.seed)
        self.half = plan.device != "cpu" or has_bf16()
        self.network, self.average = _new().to(plan.device), _new().to(plan.device)
        if plan.start:
            self.network.load_state_dict(load_file(plan.start))
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(_groups(self.network), lr=PEAK_RATE, fused=True)
        self.step = 0
        self.seconds = 0.0

    def save(self, path: Path) -> None:
        state = dict(network=self.network.state_dict(), average=self.average.state_dict(),
                     optimiser=self.optimiser.state_dict(), step=self.step, seconds=self.seconds)  # fmt: skip
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for group in self.optimiser.param_groups:
            group["fused"] = True
        self.step, self.seconds = state["step"], state["seconds"]


def _new() -> Network:
    return Network().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(plan: TrainingPlan, *, resume: bool) -> TrainingRun:
    """Train for the plan's steps, over all resumed runs; a checkpoint each minute.

    Where the rate begins to come down, a second checkpoint `<out>.middle.pt` stays: a longer run goes on from there.
    """
    run = TrainingRun(plan)
    if resume and plan.out.exists():
        run.load(plan.out)
    log, middle = plan.out.with_suffix(".jsonl"), plan.out.with_suffix(".middle.pt")
    before, started, saved = run.seconds, time.monotonic(), run.seconds
    torch.set_num_threads(plan.threads)
    torch.backends.cudnn.benchmark = True  # on a GPU every batch has the same size
    left = range(run.step, plan.steps)
    pin = plan.device != "cpu"
    for batch in batches(plan.cache, partial(_order, plan), left, workers=plan.workers, pin=pin):
        rate = plan.schedule.rate(run.step, plan.steps)
        report = _step(run, batch.to(plan.device), rate, generator(plan.device, plan.seed, run.step))
        run.seconds = before + time.monotonic() - started
        done = run.step >= plan.steps
        if run.step % 20 == 0 or done:
            numbers = {name: round(value.item(), 4) for name, value in report.items()}
            size = batch.crops.shape[-1]
            _write(
                log, dict(step=run.step, minutes=round(run.seconds / 60, 2), size=size, rate=rate, **numbers)
            )
        if run.step == round((1 - plan.schedule.cool_down) * plan.steps):
            run.save(middle)
        if run.seconds - saved > 60 or done:
            run.save(plan.out)
            saved = run.seconds
    return run


def _order(plan: TrainingPlan, step: int) -> Order:
    progress = step / plan.steps
    size, count = next(stage[1:] for stage in plan.schedule.stages if progress < stage[0])
    return Order(plan.seed, step, size, count)


def _step(run: TrainingRun, batch: Batch, rate: float, rng: torch.Generator) -> dict[str, torch.Tensor]:
    boards = corrected(run.network, batch, rng, half=run.half)
    run.network.train()
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    loss, report = loss_of(forward(run.network, batch.crops, boards, half=run.half), batch.truths.float())
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 3.0)
    run.optimiser.step()
    run.step += 1
    _move_average(run)
    return report


def _move_average(run: TrainingRun) -> None:
    keep = min(AVERAGE, (1 + run.step) / (10 + run.step))
    pairs = list(zip(run.average.state_dict().values(), run.network.state_dict().values(), strict=True))
    smooth = [(mean, now) for mean, now in pairs if mean.dtype.is_floating_point]
    with torch.no_grad():
        torch._foreach_lerp_([mean for mean, _ in smooth], [now for _, now in smooth], 1 - keep)
        for mean, now in pairs:
            if not mean.dtype.is_floating_point:
                mean.copy_(now)


def _groups(network: Network) -> list[dict[str, Any]]:
    """Weight decay on kernels only."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [dict(params=kernels, weight_decay=0.02), dict(params=rest, weight_decay=0.0)]


def _write(log: Path, row: dict[str, Any]) -> None:
    with open(log, "a") as file:
        file.write(json.dumps(row) + "\n")
