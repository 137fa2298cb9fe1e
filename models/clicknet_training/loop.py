"""The training loop: iterative clicks as in RITM, candidates by the least loss, averaged weights."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.clicknet.network import Network, Output
from models.clicknet_training.batches import Batch, Order, batches
from models.clicknet_training.simulate import LAST, correct

PEAK_RATE = 1.2e-3
WARM_UP_STEPS = 200
COOL_DOWN = 0.3  # of the steps
AVERAGE = 0.999  # of the weights that are shipped
STAGES = ((0.6, 96, 16), (1, 128, 12))  # until which part of the steps, crop size, batch size
ROUNDS = (0.4, 0.27, 0.18, 0.1, 0.05)  # chance of 0, 1, 2, ... rounds of corrections before the step
FORGET = 0.25  # chance that the last mask is not given: in use the first pass on a new scale has none


@dataclass(frozen=True)
class Plan:
    cache: Path
    out: Path  # the checkpoint; its log lies beside it
    steps: int
    seed: int = 0
    threads: int = 1  # sums are rounded in another order with another number


class Run:
    """Everything a checkpoint holds."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.network, self.average = _new(), _new()
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


def train(plan: Plan, *, resume: bool) -> Run:
    """Train for the plan's steps, over all resumed runs; a checkpoint each minute.

    Where the rate begins to come down, a second checkpoint `<out>.middle.pt` stays: a longer run goes on from there.
    """
    run = Run(plan)
    if resume and plan.out.exists():
        run.load(plan.out)
    log, middle = plan.out.with_suffix(".jsonl"), plan.out.with_suffix(".middle.pt")
    before, started, saved = run.seconds, time.monotonic(), run.seconds
    torch.set_num_threads(plan.threads)
    if run.step >= plan.steps:
        return run
    for asked, batch in batches(plan.cache, lambda step: _order(plan, step), run.step):
        rate, rng = _rate(run.step / plan.steps, run.step), (plan.seed, asked.step, 1 << 20)
        report = _step(run, batch, rate, np.random.default_rng(rng))
        run.seconds = before + time.monotonic() - started
        done = run.step >= plan.steps
        if run.step % 20 == 0 or done:
            _write(log, dict(step=run.step, minutes=round(run.seconds / 60, 2), size=asked.size, **report))
        if run.step == round((1 - COOL_DOWN) * plan.steps):
            run.save(middle)
        if run.seconds - saved > 60 or done:
            run.save(plan.out)
            saved = run.seconds
        if done:
            return run
    raise RuntimeError("the batches ended; they should be endless")


def _order(plan: Plan, step: int) -> Order:
    progress = min(step, plan.steps - 1) / plan.steps  # batches are ordered beyond the last step too
    size, count = next(stage[1:] for stage in STAGES if progress < stage[0])
    return Order(plan.seed, step, size, count)


def _step(run: Run, batch: Batch, rate: float, rng: np.random.Generator) -> dict[str, float]:
    truth = torch.from_numpy(batch.truths).float()
    boards = _corrected(run.network, batch, rng)
    boards[rng.random(len(boards)) < FORGET, LAST] = 0
    run.network.train()
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    output = _forward(run.network, batch.crops, boards)
    loss, report = _loss(output, truth)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 3.0)
    run.optimiser.step()
    run.step += 1
    _move_average(run)
    return {**report, "rate": rate}


def _corrected(network: Network, batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Boards after a few rounds of corrections of the network's own answers."""
    boards = batch.boards.copy()
    network.eval()
    for _ in range(rng.choice(len(ROUNDS), p=ROUNDS)):
        with torch.inference_mode():
            answers = _forward(network, batch.crops, boards).logits[:, 0].sigmoid().numpy()
        for board, truth, answer in zip(boards, batch.truths, answers, strict=True):
            board[LAST] = answer
            correct(rng, board, truth, answer > 0.49)
    return boards


def _forward(network: Network, crops: np.ndarray, boards: np.ndarray) -> Output:
    x = torch.from_numpy(np.concatenate([crops, boards], 1)).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        return network(x)


def _loss(output: Output, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The answer learns always, the better of the other two candidates as well, scores from the true IoU."""
    each = torch.stack([_mask_loss(output.logits[:, k], truth) for k in range(output.logits.shape[1])], 1)
    main, other = each[:, 0].mean(), each[:, 1:].min(1).values.mean()
    iou = _iou(output.logits > 0, truth[:, None] > 0.5)
    score = F.binary_cross_entropy_with_logits(output.scores, iou)
    loss = main + 0.4 * other + 0.05 * each[:, 1:].mean() + 0.2 * score
    report = dict(main=main, other=other, score=score, iou=iou[:, 0].mean(), best=iou.max(1).values.mean())
    return loss, {name: round(value.item(), 4) for name, value in report.items()}


def _mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy plus soft Dice, (N,)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2))
    p = logits.sigmoid()
    dice = (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return entropy + 1 - dice


def _iou(masks: Tensor, truth: Tensor) -> Tensor:
    return (masks & truth).sum((2, 3)) / (masks | truth).sum((2, 3)).clamp(min=1)


def _move_average(run: Run) -> None:
    keep = min(AVERAGE, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for mean, now in zip(
            run.average.state_dict().values(), run.network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)


def _groups(network: Network) -> list[dict]:
    """Weight decay on kernels only."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [dict(params=kernels, weight_decay=0.02), dict(params=rest, weight_decay=0.0)]


def _rate(progress: float, step: int) -> float:
    """Warm up, hold, and come down in the last part: a run can go on from any checkpoint of the middle."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return PEAK_RATE * warm * min(1.0, 0.01 + (1 - progress) / COOL_DOWN)


def _write(log: Path, row: dict) -> None:
    with open(log, "a") as file:
        file.write(json.dumps(row) + "\n")
