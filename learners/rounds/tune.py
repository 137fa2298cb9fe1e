"""A tuning round, in a worker: the built-in prompt model's late layers learn from a project's own masks.

Simulated people click, box and scribble on the committed objects; the encoder stays as it is. The result is compared
with the model as it was on objects that were held out, and kept only where it needs fewer clicks there. The round can
be stopped at any step and goes on from there.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from safetensors.torch import load
from scipy import ndimage
from torch import nn

from learners.give_way import give_way
from learners.progress import STOP_FILE, ProgressReport
from learners.spec import Unready
from learners.training.budget import Budget
from learners.tuning_spec import ADAPTER, Skill, TuneResult, TuneSpec
from models.builtin import BuiltIn
from models.clicknet.adapter import WEIGHTS, adapter_bytes, digest, is_late
from models.clicknet.frames import cut
from models.clicknet.model import CROP, has_bf16
from models.clicknet.network import Network
from models.clicknet_training.augment import change_look
from models.clicknet_training.crops import around, inside
from models.clicknet_training.evaluate import EvalItem, evaluate
from models.clicknet_training.examples import PromptSample, stacked
from models.clicknet_training.objective import corrected, forward, generator, loss_of
from models.clicknet_training.simulate import first_prompts, new_board
from storage.arrays import open_npy, write_bytes

BATCH = 8
RATE = 6e-4
WARM_UP = 0.1  # of the round
AVERAGE = 0.98  # of the weights that are compared and kept
STEPS_PER_SAVE = 20  # steps
CLICKS = 5  # a person who is not there after so many is counted as needing one more
GOAL = 0.85  # IoU
ENOUGH = 0.05  # clicks that must be saved on average; less may be chance
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TuningSlice:
    """A slice in memory."""

    picture: NDArray[np.uint8]
    objects: NDArray[np.uint16]
    boxes: tuple[tuple[int, tuple[int, int, int, int]], ...]  # number, (r0, c0, r1, c1)


def tune(spec: TuneSpec) -> TuneResult:
    """Train, compare, keep or drop. Raises Unready where there is nothing to judge by."""
    cv2.setNumThreads(1)
    report = ProgressReport(spec.directory)
    taught, judged = _shown(spec, held=False), _shown(spec, held=True)
    if not taught or not judged:
        raise Unready(
            "tuning needs finished objects on several slices, some to learn from and some to judge by"
        )
    budget = Budget(float("inf"), spec.steps, spec.directory / STOP_FILE)
    round_ = Tuning(spec)
    budget.step = round_.step
    while budget.left():
        loss = round_.learn(taught)
        budget.step = round_.step
        report.say("training", step=round_.step, loss=loss)
    if round_.step % STEPS_PER_SAVE:
        round_.save()
    if budget.stopped:
        return TuneResult(finished=False, steps=round_.step)
    report.say("comparing")
    candidate = spec.directory / ADAPTER
    write_bytes(candidate, round_.adapter())
    return _compared(spec, judged, candidate, round_.step)


class Tuning:
    """The late layers on their way: everything a checkpoint holds, and a step of training."""

    def __init__(self, spec: TuneSpec) -> None:
        self._spec, data = spec, (spec.weights or WEIGHTS).read_bytes()
        self._base = digest(data)
        self._network = Network().to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._network.load_state_dict(load(data))
        self._late = {n: p for n, p in self._network.named_parameters() if is_late(n)}
        for name, parameter in self._network.named_parameters():
            parameter.requires_grad_(name in self._late)
        self._average = {name: p.detach().clone() for name, p in self._late.items()}
        self._optimiser = torch.optim.AdamW(self._late.values(), lr=RATE, weight_decay=0.02)
        self._half, self.step = has_bf16(), 0
        self._resume()

    def learn(self, taught: list[TuningSlice]) -> float:
        """One step; the loss. The batch depends on the seed and the step alone. Batch norm keeps its statistics."""
        rng = np.random.default_rng((self._spec.seed, self.step))
        batch = stacked([sample(rng, taught) for _ in range(BATCH)]).to("cpu")
        people = generator("cpu", self._spec.seed, self.step)
        # A few hundred steps: with second looks among them it saved nothing on shapes that only a project knows.
        boards = corrected(self._network, batch, people, half=self._half, second_looks=False)
        progress = self.step / self._spec.steps
        for group in self._optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (progress + 0.01) / WARM_UP, 0.05 + 1.5 * (1 - progress))
        loss, _ = loss_of(forward(self._network, batch.crops, boards, half=self._half), batch.truths.float())
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._late.values(), 3.0)
        self._optimiser.step()
        self.step += 1
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        for name, mean in self._average.items():
            mean.lerp_(self._late[name].detach(), 1 - keep)
        if self.step % STEPS_PER_SAVE == 0:
            self.save()
        return float(loss.item())

    def adapter(self) -> bytes:
        """The averaged late layers as a file."""
        return adapter_bytes(self._average, self._base)

    def save(self) -> None:
        """All or nothing, so that a killed worker costs a few steps."""
        state = dict(late={n: p.detach() for n, p in self._late.items()}, average=self._average,
                     optimiser=self._optimiser.state_dict(), step=self.step, base=self._base)  # fmt: skip
        path = self._spec.directory / CHECKPOINT
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def _resume(self) -> None:
        path = self._spec.directory / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["base"] != self._base:
            return
        with torch.no_grad():
            for name, parameter in self._late.items():
                parameter.copy_(state["late"][name])
        self._average, self.step = state["average"], state["step"]
        self._optimiser.load_state_dict(state["optimiser"])


def sample(rng: Generator, taught: list[TuningSlice]) -> PromptSample:
    """A crop around an object of the project, sometimes looking a little different, with first prompts."""
    counts = np.sqrt(
        [len(shown.boxes) for shown in taught]
    )  # a slice full of cells does not drown the others
    while True:
        shown = taught[rng.choice(len(taught), p=counts / counts.sum())]
        number, box = shown.boxes[rng.integers(len(shown.boxes))]
        frame = around(rng, box, CROP, upright=False)
        if rng.random() < 0.8:
            frame = inside(frame, shown.objects.shape)
        truth = cut((shown.objects == number).astype(np.uint8) * np.uint8(255), frame, 0) > 127
        if truth.sum() >= 16:
            break
    crop = cut(shown.picture, frame)
    if rng.random() < 0.5:
        crop = change_look(rng, crop, natural=True)
    board = new_board(CROP)
    first_prompts(rng, board, truth, telling=False)
    return PromptSample(crop, truth, board)


def _shown(spec: TuneSpec, *, held: bool) -> list[TuningSlice]:
    found = []
    for each in spec.slices:
        if each.held == held:
            objects = np.array(open_npy(each.objects))
            boxes = tuple(_boxes(objects))
            if boxes:
                found.append(TuningSlice(np.array(open_npy(each.picture)), objects, boxes))
    return found


def _boxes(objects: NDArray[np.uint16]) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    for number, place in enumerate(ndimage.find_objects(objects), start=1):
        if place is not None:
            rows, columns = place
            yield number, (rows.start, columns.start, rows.stop, columns.stop)


def _compared(spec: TuneSpec, judged: list[TuningSlice], candidate: Path, steps: int) -> TuneResult:
    """Keep the candidate where people need fewer clicks with it than without, and than with the one in use."""
    cases = list(_cases(judged, spec))
    rivals: list[Path | None] = [None]
    if spec.current is not None:
        rivals.append(spec.current)
    skills: list[Skill] = []
    for adapter in [*rivals, candidate]:
        skill = _skill(BuiltIn(spec.weights, adapter), cases, spec.directory / STOP_FILE)
        if skill is None:
            return TuneResult(finished=False, steps=steps)
        skills.append(skill)
    *others, after = skills
    before = min(others, key=lambda skill: skill.clicks)
    kept = after.clicks <= before.clicks - ENOUGH and after.overlap >= before.overlap
    if not kept:
        candidate.unlink()
    return TuneResult(True, kept, before, after, steps)


def _cases(judged: list[TuningSlice], spec: TuneSpec) -> Iterator[EvalItem]:
    """Objects of the held-out slices in turn."""
    rng = np.random.default_rng(spec.seed)
    orders = [rng.permutation(len(shown.boxes)) for shown in judged]
    turns = [(turn, n) for n, order in enumerate(orders) for turn in range(min(len(order), spec.judged))]
    for turn, n in sorted(turns)[: spec.judged]:
        number, _ = judged[n].boxes[orders[n][turn]]
        yield EvalItem(judged[n].picture, judged[n].objects == number)


def _skill(model: BuiltIn, cases: list[EvalItem], stop: Path) -> Skill | None:
    """None where somebody asked to stop."""
    clicks, overlaps = [], []
    for case in cases:
        give_way()
        if stop.exists():
            return None
        result = evaluate(model, case, CLICKS)
        clicks.append(next((k for k, iou in enumerate(result.clicks, 1) if iou >= GOAL), CLICKS + 1))
        overlaps.append(np.mean([*result.clicks, result.box]))
    return Skill(round(float(np.mean(clicks)), 3), round(float(np.mean(overlaps)), 4))
