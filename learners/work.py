"""What happens inside a round: load, train, compare with the parent, predict. Runs in a worker."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from learners import LEARNERS
from learners.augment import Views
from learners.budget import Budget
from learners.checkpoint import Card, load_state, read_card, save_model
from learners.data import Case, Pools
from learners.losses import CEDice
from learners.metrics import dice_of, mean_dice, overlaps, stability
from learners.plan import Plan, plan_of
from learners.pool import Pool, join, write_pool
from learners.predict import Files, Sums, class_map, predict
from learners.progress import STOP_FILE, Progress, classes_file, confidence_file, write_progress
from learners.spec import ImageScore, RoundResult, RoundSpec, Unready
from learners.targets import Classes
from learners.trainer import Gate, Job, Recipe, State, train
from models.networks import UNet
from storage.arrays import UNLABELLED, TornFile, open_npy

log = logging.getLogger(__name__)

TRIES = 4
JUDGED_AT_MOST = 24  # held-out images looked at for one comparison
SNAPSHOTS_SEEN = 2
STEP_PER_MM = 1.2  # axes whose spacings differ by less may be turned into one another


@dataclass(frozen=True)
class Judged:
    dice: float | None
    per_class: dict[int, float]


def work(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Tries again smaller when memory does not suffice, and says so."""
    notes: list[str] = []
    for attempt in range(TRIES):
        try:
            return _Round(replace(spec, smaller=spec.smaller + attempt), tuple(notes)).run()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error) or attempt == TRIES - 1:
                raise
            notes = [f"the memory did not suffice, so the round was made smaller ({attempt + 1} times)"]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    raise AssertionError("unreachable")


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error)


class _Round:
    def __init__(self, spec: RoundSpec, notes: tuple[str, ...]) -> None:
        self.spec, self.notes = spec, list(notes)
        self.progress = Progress("loading")
        write_progress(spec.directory, self.progress)
        torch.manual_seed(spec.seed)
        self.classes = Classes(spec.class_ids)
        self.plan = plan_of(spec)
        self.cases = self._open()
        self.held = self._held_out()

    def run(self) -> RoundResult:
        spec = self.spec
        parent = self._parent()
        before = None if parent is None else self.judge(parent.teacher)
        if spec.seconds == 0:
            if parent is None:
                raise Unready("there is no model to predict with yet; train one first")
            return self._finish(parent, Judged(None, {}), before, None, 0.0)
        state = parent or State.fresh(UNet(self.plan.network).to(self.plan.device))
        old = None if parent is None else {k: v.clone() for k, v in parent.teacher.state_dict().items()}
        budget = Budget(spec.seconds, spec.steps, spec.directory / STOP_FILE)
        job = self._job(budget, before)
        train(job, state)
        if job.gate.collapsed:
            self.notes.append("the pseudo-labels drifted away from the labels, so the round left them out")
        if budget.step == 0:
            raise Unready("the round was stopped before its first step")
        self._say("comparing")
        after = self.judge(state.teacher)
        return self._finish(state, after, before, old, budget.spent, job)

    def _open(self) -> list[Case]:
        """Every image that can be read; a torn one is left out and named."""
        cases = []
        for example in self.spec.examples:
            try:
                cases.append(Case(example, self.classes, self.plan.network.channels))
            except TornFile:
                self.notes.append(f"image {example.image_id} cannot be read and was left out")
        return cases

    def _held_out(self) -> list[tuple[Case, NDArray[np.uint8]]]:
        held = [(case, case.held_out()) for case in self.cases]
        judged = [(case, known) for case, known in held if known is not None]
        return judged[:JUDGED_AT_MOST]

    def _parent(self) -> State | None:
        if self.spec.parent is None:
            return None
        state = load_state(self.spec.parent, self.plan.network, self.spec.class_ids, self.plan.device)
        if state is None:
            self.notes.append("the images or classes changed so much that training began anew")
        return state

    def _job(self, budget: Budget, before: Judged | None) -> Job:
        recipe = LEARNERS[self.spec.learner].make()
        pools = Pools(self.cases, self.classes, self.plan, np.random.default_rng(self.spec.seed))
        if not pools.has_labels:
            raise Unready("every label is held out for checking; label one more image")
        channels = self.classes.to_channels()
        gate = Gate(
            good=recipe.good_teacher,
            ramp=recipe.ramp if before is None else 0.0,  # a later job does not start the ramp again
            most=recipe.weight,
            share=pools.foreground_share(),
            quality=None if before is None else before.dice,
        )
        return Job(
            recipe=recipe,
            pools=pools,
            plan=self.plan,
            budget=budget,
            views=views_of(self.plan, recipe, self.spec.mirror),
            loss=CEDice(tuple(int(channels[c]) for c in self.spec.late_ids if c in self.spec.class_ids)),
            gate=gate,
            seed=self.spec.seed,
            reliable=reliable_half(self.cases),
            judge=lambda network: self.judge(network).dice,
            tell=lambda step, loss, dice: self._say("training", step, loss, dice, budget.seconds_left),
        )

    def judge(self, network: UNet) -> Judged:
        """Dice on today's held-out labels; per class the mean over the images that have it."""
        scores = []
        for case, known in self.held:
            proposed = class_map(network, case, self.plan, self.classes)
            where = (known != UNLABELLED) & np.isin(known, (0, *self.classes.ids))
            scores.append(dice_of(overlaps(proposed, known, self.classes.ids, where)))
        if not scores:
            return Judged(None, {})
        with np.errstate(invalid="ignore"):
            columns = np.array(scores)
            each = {
                c: float(np.nanmean(columns[:, i]))
                for i, c in enumerate(self.classes.ids)
                if not np.isnan(columns[:, i]).all()
            }
        return Judged(mean_dice(scores), each)

    def _finish(
        self,
        state: State,
        after: Judged,
        before: Judged | None,
        old: dict[str, torch.Tensor] | None,
        seconds: float,
        job: Job | None = None,
    ) -> RoundResult:
        """Keep the better of child and parent, save it where it is the child, predict with it."""
        spec, kept = self.spec, after
        model = spec.directory
        parent_better = before is not None and (job is None or _worse(after, before))
        if parent_better:
            assert before is not None and spec.parent is not None
            kept, model = before, spec.parent
            if old is not None:
                state.teacher.load_state_dict(old)
        else:
            earlier = read_card(spec.parent).seconds if spec.parent and before is not None else 0.0
            card = Card(
                network=self.plan.network,
                class_ids=spec.class_ids,
                spacing_mm=self.plan.spacing_mm,
                learner=spec.learner,
                steps=state.steps,
                dice=after.dice,
                per_class=after.per_class,
                seconds=round(earlier + seconds, 1),
            )
            save_model(spec.directory, state, card)
        scores, remaining = self._predict(state, kept, job)
        return RoundResult(
            model=model,
            predicted=tuple(scores),
            steps=job.budget.step if job else 0,
            trained_seconds=round(seconds, 2),
            dice=kept.dice,
            child_dice=after.dice if job else None,
            parent_dice=None if before is None else before.dice,
            per_class=kept.per_class,
            remaining=remaining,
            notes=tuple(self.notes),
        )

    def _predict(self, state: State, kept: Judged, job: Job | None) -> tuple[list[ImageScore], int]:
        """Images in the order asked for, until the time is over; the first always."""
        by_id = {case.example.image_id: case for case in self.cases}
        wanted = [by_id[i] for i in self.spec.predict if i in by_id]
        scores: list[ImageScore] = []
        pools: list[Pool] = []
        started = time.monotonic()
        snapshots = self._snapshots(job)
        for case in wanted:
            left = self.spec.predict_seconds - (time.monotonic() - started)
            if scores and (left <= 0 or (self.spec.directory / STOP_FILE).exists()):
                break
            score, pool = self._predict_one(state.teacher, case, snapshots)
            scores.append(score)
            pools.append(pool)
            self._done(score, kept.dice, left)
        if pools:
            write_pool(self.spec.directory / "pool.npz", join(pools))
        return scores, len(wanted) - len(scores)

    def _predict_one(self, network: UNet, case: Case, snapshots: Sequence[UNet]) -> tuple[ImageScore, Pool]:
        image_id = case.example.image_id
        files = Files(
            classes_file(self.spec.directory, image_id), confidence_file(self.spec.directory, image_id)
        )
        sums = predict(network, case, self.plan, self.classes, files)
        now = open_npy(files.classes)
        score = ImageScore(image_id, sums.expected_dice, self._stability(case, now, snapshots))
        return score, pool_of(case, sums, score)

    def _stability(self, case: Case, now: NDArray[np.uint8], snapshots: Sequence[UNet]) -> float | None:
        """ST++: against the snapshots at 1/3 and 2/3 of this job where the method kept them, else against the
        model before."""
        if snapshots:
            maps = [class_map(network, case, self.plan, self.classes) for network in snapshots]
            return float(np.mean([stability(each, now) for each in maps]))
        if case.example.pseudo is None:
            return None
        try:
            return stability(open_npy(case.example.pseudo.classes), now)
        except TornFile:
            return None

    def _snapshots(self, job: Job | None) -> list[UNet]:
        if job is None or job.recipe.source != "pseudo":
            return []
        networks = []
        for weights in job.snapshots[:SNAPSHOTS_SEEN]:
            network = UNet(self.plan.network).to(self.plan.device)
            network.load_state_dict(weights)
            networks.append(network.eval())
        return networks

    def _say(
        self,
        phase: str,
        step: int | None = None,
        loss: float | None = None,
        dice: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        if loss is not None and not np.isfinite(loss):
            raise FloatingPointError(
                "the loss is no number any more; take back labels that contradict, or start anew"
            )
        self.progress = replace(
            self.progress,
            phase=phase,
            step=self.progress.step if step is None else step,
            loss=self.progress.loss if loss is None else round(loss, 4),
            dice=self.progress.dice if dice is None else round(dice, 4),
            seconds_left=None if seconds_left is None else round(seconds_left, 1),
        )
        write_progress(self.spec.directory, self.progress)

    def _done(self, score: ImageScore, dice: float | None, left: float) -> None:
        scores = self.progress.scores
        if score.expected_dice is not None:
            scores = {**scores, score.image_id: round(score.expected_dice, 4)}
        self.progress = replace(self.progress, done=(*self.progress.done, score.image_id), scores=scores)
        self._say("predicting", dice=dice, seconds_left=max(0.0, left))


def views_of(plan: Plan, recipe: Recipe, mirror: tuple[int, ...]) -> Views:
    """Turn only between axes of about equal spacing, and by quarters only what may be mirrored both ways."""
    a, b = plan.spacing_mm[-2:]
    square = max(a, b) / min(a, b) < STEP_PER_MM
    turns = (plan.dims - 2, plan.dims - 1) if square else None
    flips = tuple(axis + plan.dims - 3 for axis in mirror if axis + plan.dims >= 3)
    quarters = turns is not None and set(turns) <= set(flips)
    return Views(flips, turns, quarters=quarters, degrees=0.0 if recipe.axis_aligned else 20.0)


def reliable_half(cases: Sequence[Case]) -> tuple[int, ...]:
    """ST++: the more stable half of the images that nobody labelled."""
    unlabelled = [
        c.example for c in cases if c.example.pseudo is not None and not c.labelled and not c.example.all_held
    ]
    ranked = sorted(unlabelled, key=lambda e: (-(e.pseudo.stability if e.pseudo else 0), e.image_id))
    return tuple(e.image_id for e in ranked[: (len(ranked) + 1) // 2])


def pool_of(case: Case, sums: Sums, score: ImageScore) -> Pool:
    """A row for the picture, or for every slice of a volume in each plane."""
    shape, image_id = case.example.shape, case.example.image_id
    axes = (0, 1, 2) if shape[0] > 1 else (0,)
    refs = np.concatenate([[(image_id, axis, i) for i in range(shape[axis])] for axis in axes])

    def column(parts: list[NDArray[np.float64]]) -> NDArray[np.float32]:
        return np.concatenate([parts[axis] for axis in axes]).astype(np.float32)

    area = np.concatenate([np.full(shape[a], np.prod(shape) / shape[a]) for a in axes])
    rows = len(refs)
    features = (sums.features / max(1, sums.seen)).astype(np.float16)
    return Pool(
        refs=refs.astype(np.int64),
        entropy=column(sums.entropy),
        doubt=column(sums.doubt),
        per_class=column(sums.per_class)[:, 1:],
        foreground=(column(sums.foreground) / area).astype(np.float32),
        contour=column(sums.contour),
        stability=np.full(rows, np.nan if score.stability is None else score.stability, np.float32),
        expected=np.full(rows, np.nan if score.expected_dice is None else score.expected_dice, np.float32),
        features=np.repeat(features[None], rows, 0),
    )


def _worse(after: Judged, before: Judged) -> bool:
    """Where nothing can be judged the child is kept: it has seen more."""
    return after.dice is not None and before.dice is not None and after.dice < before.dice
