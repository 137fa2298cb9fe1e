"""The one training loop: draw, view, ask the teacher, select, mix, weigh, step, follow. A method fills its slots."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn

from learners.objects.loss import apart_loss
from learners.patches.pools import Pools
from learners.training.augment import Views
from learners.training.budget import Budget
from learners.training.data import TrustSchedule
from learners.training.keeper import Keeper
from learners.training.losses import CEDice, Sample
from learners.training.plan import Plan
from learners.training.state import TrainingState
from learners.training.targets import OPEN_BACKGROUND, trust_at
from models.networks import NetworkSpec, Noise, UNet

RATE = 3e-3
SETTLED, MIN_RATE = 60, 0.1  # steps from which on a network is trained on more gently, and how gently at most
WARM_UP = 0.05  # of the job
LAST_RATE = 0.05  # of the first
GOOD_TEACHER = 0.65  # held-out Dice from which on its pseudo-labels are worth training on
DRIFT = 3.0  # pseudo-labels with so many times more or less foreground than people drew are a collapse
WATCHED = 10  # steps before the guard judges
REPORT_SECONDS = 0.5
COARSER = 0.5  # how much each coarser level that is taught counts, of the one before


@dataclass
class StepContext:
    """What a slot may know. Time is progress in 0..1 of this job, never a number of steps."""

    rng: Generator
    progress: float = 0.0
    weight: float = 0.0  # of unlabelled parts, now
    views: Views = field(default_factory=Views)
    classes: int = 2
    step: int = 0


@dataclass(frozen=True)
class Part:
    """One sample of a step and how much its loss counts."""

    sample: Sample
    factor: float = 1.0
    stream: int = 0  # which strong stream it is, for feature noise; 0: none
    loss: "ExtraLoss | None" = None  # in place of the loss of labels


Selector = Callable[[Sample, Tensor, StepContext], Sample]  # (unlabelled, probabilities) -> with y and w
Mixer = Callable[[Sample, Sample | None, StepContext], list[Part]]
NoiseMaker = Callable[[list[Part], Generator], Noise | None]
ExtraLoss = Callable[[Tensor, Sample, StepContext], Tensor]  # (logits of a part, that part, now) -> loss


@dataclass(frozen=True)
class Recipe:
    """A method: what it puts into each slot of the loop."""

    mix: Mixer | None = None
    select: Selector | None = None  # None: no teacher is asked about unlabelled images
    noise: NoiseMaker | None = None
    extras: tuple[ExtraLoss, ...] = ()  # on the first part
    unlabelled_term: ExtraLoss | None = None  # on a strong view of unlabelled patches, as `select` left them
    weight: float = 0.5  # of unlabelled parts at most
    ramp: float = 0.2  # the share of the first such job over which it grows
    average: float = 0.99
    source: str = "unlabelled"  # or "pseudo": what the last model wrote about the most stable images
    stable: float = (
        0.5  # with "pseudo": the share of images whose proposals are trained on, the most stable first
    )
    good_teacher: float = GOOD_TEACHER
    axis_aligned: bool = False  # no turns by odd angles: boxes must stay boxes
    told_by: str = ""  # what tells touching objects apart, which it is also asked where labels have numbers
    fills: bool = False  # labelled patches also say what was propagated, as far as it is trusted
    fills_last: bool = False  # that trust does not fall with rounds: nothing else comes in their place
    together: "JointStep | None" = None  # for methods of several networks: takes the place of all slots above
    peers: "Callable[[Plan, Pools], dict[str, NetworkSpec]] | None" = None  # its other networks, by name

    @property
    def asks_teacher(self) -> bool:
        """Whether it learns from images without labels, as far as its teacher is good."""
        return any(slot is not None for slot in (self.select, self.unlabelled_term, self.together))


def update_ema(teacher: nn.Module, student: nn.Module, step: int, average: float) -> None:
    """Exponential average of weights and float buffers, at step 0 a copy; whole numbers are copied."""
    keep = min(step / (step + 9), average)
    pairs = list(zip(teacher.state_dict().values(), student.state_dict().values(), strict=True))
    floats = [(a, b.detach()) for a, b in pairs if a.is_floating_point()]
    with torch.no_grad():
        # all of them at once: one by one they take a processor longer than a GPU takes for the step
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - keep)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)


@dataclass
class Gate:
    """Unlabelled images count only while the teacher is good and its pseudo-labels look like labels."""

    good: float
    ramp: float
    most: float
    share: float | None  # of foreground in what people drew
    quality: float | None = None  # held-out Dice of the teacher
    opened_at: float | None = None
    closed: str | None = None  # why it closed for this job, in a sentence
    _seen: deque[Tensor] = field(default_factory=lambda: deque(maxlen=2 * WATCHED))  # of the last steps
    _alike: deque[Tensor] = field(default_factory=lambda: deque(maxlen=2 * WATCHED))
    _watched: int = 0

    def weight(self, progress: float) -> float:
        if self.closed is not None or (self.good > 0 and (self.quality is None or self.quality < self.good)):
            return 0.0
        if self.opened_at is None:
            self.opened_at = progress
        if self.ramp <= 0:
            return self.most
        return self.most * min(1.0, (progress - self.opened_at) / self.ramp + 0.1)

    def watch(self, proposed: Sample, progress: float, labels: Sample | None = None) -> None:
        """Closes for this job when the foreground of the pseudo-labels drifts away from that of the labels. Like is
        compared with like: all that was proposed, sure or not, with what people drew in patches that are drawn alike,
        which is `share`, or with `labels` of the same patches."""
        if self.share is None and labels is None:
            return
        self._seen.append(_foreground(proposed))
        if labels is None:  # made where it is compared: a number that is sent there is waited for
            self._alike.append(torch.full_like(self._seen[-1], self.share or 0.0))
        else:
            self._alike.append(_foreground(labels))
        self._watched += 1
        if self.closed is None and self._watched % WATCHED == 0:
            self._judge(progress)

    def _judge(self, progress: float) -> None:
        """Now and then, because to read a number from a device is to wait for all that it was told to do."""
        shares = torch.stack([torch.stack([*self._seen]), torch.stack([*self._alike])])
        shares = shares[:, ~shares.isnan().any(0)].mean(1).cpu() + 1e-4
        found, wanted = shares.tolist()
        if not math.isnan(found) and not 1 / DRIFT <= found / wanted <= DRIFT:
            self.closed = (
                f"pseudo-labels were left out from {progress:.0%} of the round on, because they called {found:.1%} of"
                f" the patches an object and people {wanted:.1%} of patches like them"
            )


def _foreground(sample: Sample) -> Tensor:
    """The share of it among the voxels that count; not a number where none does."""
    counts = sample.w > 0
    objects = (sample.y > 0) & (sample.y < OPEN_BACKGROUND) & counts
    return objects.sum() / counts.sum()


@dataclass(frozen=True)
class TrainingJob:
    """One training job: a method, what it draws from, on which terms."""

    recipe: Recipe
    pools: Pools
    plan: Plan
    budget: Budget
    views: Views
    loss: CEDice
    gate: Gate
    seed: int = 0
    before: int = 0  # rounds that this model was trained in
    reliable: tuple[int, ...] = ()
    judge: Callable[[UNet], float | None] | None = None  # held-out Dice, asked now and then
    report: Callable[[int, float, float | None], None] = lambda step, loss, dice: None
    snapshots: list[dict[str, Tensor]] = field(default_factory=list)
    keeper: Keeper | None = None  # writes it down now and then, and goes on from there

    @property
    def rounds(self) -> float:
        """Of training of this model so far, of which this one is a part."""
        return self.before + self.budget.progress

    def labelled(self, count: int, context: StepContext, axes: tuple[int, ...] = (0, 1, 2)) -> Sample:
        """A weak view of labelled patches; where the method takes fills, with what was propagated along `axes`."""
        return self.views.weak(self.pools.labelled(count, self.trust_schedule(axes)), context.rng)

    def trust_schedule(self, axes: tuple[int, ...] = (0, 1, 2)) -> TrustSchedule | None:
        if not self.recipe.fills:
            return None
        if self.recipe.fills_last:
            return lambda rounds: trust_at(0.0, axes)
        return lambda rounds: trust_at(rounds + self.budget.progress, axes)


JointStep = Callable[
    [TrainingJob, TrainingState, StepContext], Tensor
]  # draws, asks all networks and returns the loss of a step


def train(job: TrainingJob, state: TrainingState) -> TrainingState:
    """Improve the state in place until the budget ends; it is valid after every step."""
    rng = torch.Generator().manual_seed(job.seed)
    context = StepContext(rng, views=job.views, classes=job.plan.network.classes)
    weights = [p for network in state.learning for p in network.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=1e-4)
    full = RATE * (rate_scale(state.steps) if job.pools.has_news else 1.0)
    checks, snapshots_at = [0.3, 0.55, 0.8], [1 / 3, 2 / 3]
    told_at = -REPORT_SECONDS
    job.budget.start()
    if job.keeper is not None:
        job.keeper.restore(state, optimiser, job.budget)
        rng.manual_seed(job.seed + job.budget.step)
    while job.budget.left():
        context.progress, context.step = job.budget.progress, job.budget.step
        for group in optimiser.param_groups:
            group["lr"] = full * rate_at(context.progress)
        last = _step(job, state, optimiser, context)
        state.steps += 1
        job.budget.step += 1
        progress = job.budget.progress
        if checks and progress >= checks[0]:
            checks.pop(0)
            _check(job, state)
        if snapshots_at and progress >= snapshots_at[0]:
            snapshots_at.pop(0)
            job.snapshots.append({k: v.clone() for k, v in state.teacher.state_dict().items()})
        if job.budget.spent - told_at >= REPORT_SECONDS:
            told_at = job.budget.spent
            job.report(job.budget.step, float(last), job.gate.quality)
        if job.keeper is not None:
            job.keeper.keep_if_due(state, optimiser, job.budget)
    return state


def _check(job: TrainingJob, state: TrainingState) -> None:
    """Only a method that needs a good teacher pays for asking how good it is."""
    needs = job.recipe.asks_teacher and job.recipe.together is None
    if job.judge is not None and needs and not job.budget.stopped:
        quality = job.judge(state.teacher)
        job.gate.quality = quality if quality is not None else job.gate.quality


def _step(
    job: TrainingJob, state: TrainingState, optimiser: torch.optim.Optimizer, context: StepContext
) -> Tensor:
    """Its loss, which nobody has waited for yet."""
    recipe = job.recipe
    context.weight = job.gate.weight(context.progress) if recipe.asks_teacher else 0.0
    for network in state.learning:
        network.train()
    loss = (recipe.together or _alone)(job, state, context)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for network in state.learning:
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    update_ema(state.teacher, state.student, state.steps, recipe.average)
    return loss.detach()


def _alone(job: TrainingJob, state: TrainingState, context: StepContext) -> Tensor:
    """The loss of a step of one network and its average."""
    recipe, plan = job.recipe, job.plan
    labelled = job.labelled(plan.batch, context)
    unlabelled = _unlabelled(job, state, context) if context.weight > 0 else None
    assert recipe.mix is not None
    parts = recipe.mix(labelled, unlabelled, context)
    if recipe.unlabelled_term is not None and unlabelled is not None:
        seen = context.views.strong(unlabelled, context.rng)
        parts = [*parts, Part(seen, context.weight, loss=recipe.unlabelled_term)]
    noise = recipe.noise(parts, context.rng) if recipe.noise else None
    finest, *coarser = forward_levels(state.student, torch.cat([p.sample.x for p in parts]), plan, noise)
    loss = _loss(job, parts, finest, context)
    for level, logits in enumerate(coarser, 1):
        loss = loss + COARSER**level * _labels_loss(job, parts, logits)
    return loss / sum(COARSER**level for level in range(1 + len(coarser)))


def _unlabelled(job: TrainingJob, state: TrainingState, context: StepContext) -> Sample | None:
    """Unlabelled patches; with `select` what the teacher says about them, as targets with trust."""
    if job.recipe.source == "pseudo":
        drawn = job.pools.pseudo(job.plan.batch, job.reliable)
        return None if drawn is None else job.views.weak(drawn, context.rng)
    drawn = job.views.weak(job.pools.unlabelled(job.plan.batch), context.rng)
    if job.recipe.select is None:
        return drawn
    with torch.no_grad():
        answer = forward_logits(state.teacher, drawn.x, job.plan)
        probabilities = answer[:, : job.plan.network.classes].softmax(1)
    chosen = job.recipe.select(drawn, probabilities, context)
    job.gate.watch(replace(chosen, w=drawn.v), context.progress)
    return chosen


def _loss(job: TrainingJob, parts: list[Part], logits: Tensor, context: StepContext) -> Tensor:
    answers, classes = logits, job.plan.network.classes
    logits = answers[:, :classes]
    total, start = logits.new_zeros(()), 0
    for part in parts:
        rows = logits[start : start + len(part.sample)]
        start += len(part.sample)
        loss = part.loss(rows, part.sample, context) if part.loss else job.loss(rows, part.sample)
        total = total + part.factor * loss
    first = parts[0].sample
    for extra in job.recipe.extras:
        total = total + extra(logits[: len(first)], first, context)
    if job.recipe.told_by:
        total = total + apart_loss(answers[: len(first), classes:], first)
    return total


def _labels_loss(job: TrainingJob, parts: list[Part], logits: Tensor) -> Tensor:
    """Of a coarser level (deep supervision), by what its voxels' places say on the finest one."""
    total, start = logits.new_zeros(()), 0
    for part in parts:
        rows = logits[start : start + len(part.sample)]
        start += len(part.sample)
        if part.loss is None:
            total = total + part.factor * job.loss(rows, coarser_sample(part.sample, rows.shape[2:]))
    return total


def coarser_sample(sample: Sample, sides: Sequence[int]) -> Sample:
    """Every so manieth voxel of the maps that a loss of labels reads, from the middle of the voxels that it is for."""
    steps = [n // m for n, m in zip(sample.y.shape[1:], sides, strict=True)]
    at = (slice(None), *(slice(step // 2, None, step) for step in steps))
    region = None if sample.region is None else sample.region[at]
    return Sample(sample.x, sample.y[at], sample.w[at], sample.v[at], region=region)


def rate_scale(steps: int) -> float:
    """The rate of a job with new labels as a share of `RATE`, after so many steps in jobs before: at the whole of it a
    few new slices shake off what was learned. A job on the same labels is longer than the one before and may shake."""
    return max(MIN_RATE, min(1.0, SETTLED / max(1, steps)))


def rate_at(progress: float) -> float:
    """A short rise from a half, then a cosine fall; of the full rate."""
    if progress < WARM_UP:
        return 0.5 + 0.5 * progress / WARM_UP
    falling = (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2
    return LAST_RATE + (1 - LAST_RATE) * falling


def autocast(plan: Plan) -> AbstractContextManager[object]:
    return torch.autocast(plan.device, torch.bfloat16) if plan.bf16 else nullcontext()


def forward_logits(network: UNet, x: Tensor, plan: Plan, noise: Noise | None = None) -> Tensor:
    """(B, C, *S) pixels to (B, K, *S) float32 logits, in the number format and memory layout of this device."""
    with autocast(plan):
        logits: Tensor = network(in_memory(x, plan), noise)
        return logits.float()


def forward_levels(network: UNet, x: Tensor, plan: Plan, noise: Noise | None = None) -> list[Tensor]:
    """As `forward_logits`, of every level that the network is taught on, finest first."""
    with autocast(plan):
        features = network.encode(in_memory(x, plan))
        return [logits.float() for logits in network.decode_all(noise(features) if noise else features)]


def in_memory(x: Tensor, plan: Plan) -> Tensor:
    """The layout that convolutions like best on this device."""
    if plan.device == "cuda" or not plan.bf16:  # 1.5 times quicker in fp32 on a processor, no gain in bf16
        return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
    return x
