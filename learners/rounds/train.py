"""What happens inside a round: load, train, compare with the parent, predict. Runs in a worker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from learners import LEARNERS
from learners.adapt.adapted import adapt_groups
from learners.adapt.saved import save_groups
from learners.objects.choosing import chosen_assembly
from learners.objects.scale import ObjectScale, same_objects
from learners.objects.taught import TaughtDistances
from learners.patches.cutter import PatchCutter
from learners.patches.held import HeldArrays
from learners.patches.pools import Pools
from learners.patches.room import held_room
from learners.prediction.evaluation import Evaluation, Evaluator
from learners.prediction.predict import Predictor
from learners.prediction.predict_images import BatchPredictor, out_of_memory
from learners.progress import ProgressReport, stop_file
from learners.spec import GOES_ON, RoundResult, RoundSpec, Unready
from learners.training.augment import views_of
from learners.training.budget import Budget
from learners.training.checkpoint import (
    Card,
    load_peers,
    load_snapshots,
    load_state,
    plan_of_card,
    read_card,
    save_model,
)
from learners.training.data import open_readers, reliable
from learners.training.keeper import Keeper
from learners.training.losses import CEDice
from learners.training.plan import KnownScales, Plan, plan_of
from learners.training.polarity import unseen_polarity
from learners.training.rare_objects import WEIGHT, same_scale
from learners.training.state import TrainingState
from learners.training.targets import Classes
from learners.training.tidying import Tidying
from learners.training.trainer import Gate, TrainingJob, train
from models.networks import UNet

TRIES = 4


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Tries again smaller when memory does not suffice, and says so."""
    notes: list[str] = []
    for attempt in range(TRIES):
        try:
            return _Round(replace(spec, smaller=spec.smaller + attempt), tuple(notes)).run()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or attempt == TRIES - 1:
                raise
            notes = [f"memory ran out, so the round was made smaller ({attempt + 1} times)"]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    raise AssertionError("unreachable")


def _planned(spec: RoundSpec) -> tuple[RoundSpec, Plan]:
    """Training follows today's images. A round that only predicts follows its model, in everything; where nothing is
    labelled yet, in its classes too."""
    if spec.seconds > 0 or spec.parent is None:
        before = None if spec.goes_on_from is None else read_card(spec.goes_on_from)
        scales = KnownScales(before.rare, before.objects) if before else KnownScales()
        return spec, plan_of(spec, scales, told_by=LEARNERS[spec.learner].recipe().told_by)
    card = read_card(spec.parent)
    spec = replace(spec, class_ids=spec.class_ids or card.class_ids)
    network = replace(card.network, classes=len(spec.class_ids) + 1)
    return spec, plan_of_card(replace(card, network=network), spec.device)


class _Round:
    def __init__(self, spec: RoundSpec, notes: tuple[str, ...]) -> None:
        spec, self.plan = _planned(spec)
        self.spec, self.notes = spec, list(notes)
        self.report = ProgressReport(spec.directory)
        torch.manual_seed(spec.seed)
        self.classes = Classes(spec.class_ids)
        self.recipe = LEARNERS[spec.learner].recipe()
        self.cases = open_readers(spec.examples, self.classes, self.plan.network, self.notes)
        self.judge = Evaluator(self.cases, self.plan, self.classes)
        self.before: Card | None = None  # of the model that training goes on from

    def run(self) -> RoundResult:
        parent = self._state(self.spec.parent)
        if parent is None and self.spec.parent is not None:
            self.notes.append("the images or classes changed so much that training started over")
        before = None if parent is None else self.judge(parent.teacher)
        if self.spec.seconds > 0:
            return self._train(parent, before)
        if parent is None or before is None or self.spec.parent is None:
            raise Unready("there is no model to predict with yet; train one first")
        kept = RoundResult(self.spec.parent, (), 0, 0.0, parent_dice=before.dice)
        return self._propose(parent.teacher, kept, before)

    def _train(self, parent: TrainingState | None, before: Evaluation | None) -> RoundResult:
        """Go on from the last round's model or begin anew, and predict with the better of child and parent.

        A child that came out worse is saved too: new labels may cost a network what it knew before they are worth
        something, and rounds that all start at the parent never get past that.
        """
        spec = self.spec
        last, quality = parent, None if before is None else before.dice
        if spec.start is not None:
            last = self._state(spec.start)
            quality = self.judge(last.teacher).dice if last and self.recipe.asks_teacher else None
        self.before = read_card(spec.goes_on_from) if last and spec.goes_on_from else None
        state = last or TrainingState.fresh(UNet(self.plan.network).to(self.plan.device))
        old = {k: v.clone() for k, v in (parent or state).teacher.state_dict().items()}
        budget = Budget(spec.seconds, spec.steps, stop_file(spec))
        budget.others_run = spec.lasting.give_way if spec.lasting else None
        job = self._job(budget, quality)
        state.peers = self._peers(job)
        try:
            train(job, state)
        finally:
            job.pools.close()
            if self.taught is not None:
                self.taught.forget()
        if job.gate.closed is not None:
            self.notes.append(job.gate.closed)
        if budget.step == 0:
            raise Unready("the round stopped before its first step")
        if job.keeper is not None and budget.stopped and budget.progress < 1:
            raise Unready(f"it was stopped at {budget.progress:.0%}; {GOES_ON}")
        self.report.say("comparing")
        before_objects = self.plan.objects
        self._assemble_by(chosen_assembly(state.teacher, self.cases, self.plan, self.classes))
        after = kept = self.judge(state.teacher)
        model = spec.directory
        self._save(job, state, after)
        if job.keeper is not None:
            job.keeper.forget()
        if before is not None and spec.parent is not None and after.worse_than(before):
            kept, model = before, spec.parent
            state.teacher.load_state_dict(old)
            self._assemble_by(before_objects)
        result = RoundResult(
            model=model,
            predicted=(),
            steps=budget.step,
            trained_seconds=round(budget.spent, 2),
            child_dice=after.dice,
            parent_dice=None if before is None else before.dice,
        )
        return self._propose(state.teacher, result, kept)

    def _assemble_by(self, objects: ObjectScale | None) -> None:
        """How objects come about from now on."""
        self.plan = replace(self.plan, objects=objects)
        self.judge = Evaluator(self.cases, self.plan, self.classes)

    def _propose(self, network: UNet, result: RoundResult, kept: Evaluation) -> RoundResult:
        """With the network of `result.model`, and with its snapshots where somebody wants to know."""
        spec, snapshots = self.spec, []
        if self._asks_snapshots:
            snapshots = load_snapshots(result.model, self.plan.network, spec.class_ids, self.plan.device)
        proposer = BatchPredictor(
            spec, self.plan, self.classes, self._adapted(network), snapshots, self.notes
        )
        predicted, remaining = proposer.run(self.cases, self.report, kept)
        return replace(
            result,
            predicted=predicted,
            dice=kept.dice,
            per_class=kept.per_class,
            objects=kept.objects,
            remaining=remaining,
            notes=tuple(self.notes),
        )

    def _adapted(self, network: UNet) -> UNet | Predictor:
        """The network as it suits each group of images, where the project wishes it and it does better."""
        if not self.spec.adapt:
            return network
        self.report.say("adapting to groups of images")
        adapted = adapt_groups(network, self.cases, self.plan, self.classes, self.spec.adapt)
        self.notes += adapted.notes or ["no adapter improved the held-out Dice of a group of images"]
        if not adapted.by_image:
            return network
        save_groups(self.spec.directory, adapted.groups, adapted.by_image, self.cases)
        return adapted

    def _peers(self, job: TrainingJob) -> dict[str, UNet]:
        """The method's other networks, from where the model stands that training goes on from."""
        if job.recipe.peers is None:
            return {}
        start = self.spec.goes_on_from if job.before else None
        wanted = job.recipe.peers(self.plan, job.pools)
        return load_peers(start, wanted, self.spec.class_ids, self.plan.device)

    @property
    def _asks_snapshots(self) -> bool:
        return self.spec.members or self.recipe.source == "pseudo"

    def _save(self, job: TrainingJob, state: TrainingState, judged: Evaluation) -> None:
        spec = self.spec
        before = self.before
        card = Card(
            network=self.plan.network,
            class_ids=spec.class_ids,
            spacing_mm=self.plan.spacing_mm,
            spacing_known=self.plan.spacing_known,
            rare=self.plan.rare,
            objects=self.plan.objects,
            tidy=self.plan.tidy or Tidying(),
            learner=spec.learner,
            steps=state.steps,
            dice=judged.dice,
            per_class=judged.per_class,
            seconds=round((before.seconds if before else 0.0) + job.budget.spent, 1),
            rounds=(before.rounds if before else 0) + 1,
        )
        save_model(spec.directory, state, card, job.snapshots if self._asks_snapshots else ())

    def _keeper(self) -> Keeper | None:
        if self.spec.lasting is None:
            return None
        spec, network = self.spec, self.plan.network.as_json()
        return Keeper(
            spec.directory, {"network": network, "class_ids": spec.class_ids, "recipe": spec.learner}
        )

    def _state(self, model: Path | None) -> TrainingState | None:
        """None where nothing of a model can be carried over; it learned what objects look like at one scale."""
        if model is None:
            return None
        card = read_card(model)
        if not same_scale(card.rare, self.plan.rare) or not same_objects(card.objects, self.plan.objects):
            return None
        return load_state(model, self.plan.network, self.spec.class_ids, self.plan.device)

    def _job(self, budget: Budget, quality: float | None) -> TrainingJob:
        """`quality`: held-out Dice of the network that it starts from, None where nobody asks or knows."""
        recipe = self.recipe
        scale = self.plan.objects
        self.taught = TaughtDistances(self.spec.directory, scale) if scale else None
        held = HeldArrays(self.plan.device, held_room(self.plan.device))
        cutter = PatchCutter(self.plan, self.classes, held, self.taught)
        rng = np.random.default_rng(self.spec.seed)
        pools = Pools(self.cases, self.classes, self.plan, rng, cutter)
        if not pools.has_labels:
            raise Unready("every label is held out; label one more image")
        channels = self.classes.to_channels()
        gate = Gate(
            good=recipe.good_teacher,
            ramp=0.0 if self.before else recipe.ramp,  # a later job does not start the ramp again
            most=recipe.weight,
            share=pools.foreground_share() if recipe.asks_teacher else None,
            quality=quality,
        )
        return TrainingJob(
            recipe=recipe,
            pools=pools,
            plan=self.plan,
            budget=budget,
            views=views_of(
                self.plan,
                self.spec.mirror,
                axis_aligned=recipe.axis_aligned,
                invert=unseen_polarity(self.cases),
            ),
            loss=CEDice(
                tuple(int(channels[c]) for c in self.spec.late_ids if c in self.spec.class_ids),
                objects=1.0 if self.plan.rare is None else WEIGHT,
            ),
            gate=gate,
            seed=self.spec.seed,
            before=self.before.rounds if self.before else 0,
            keeper=self._keeper(),
            reliable=reliable(self.cases, recipe.stable),
            judge=lambda network: self.judge(network).dice,
            report=lambda step, loss, dice: self.report.say(
                "training", step=step, loss=loss, dice=dice, seconds_left=budget.seconds_left
            ),
        )
