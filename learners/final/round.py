"""The round of a final model: train what is left of its folds, choose, compare with the last one, predict."""

import shutil
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learners.final.choices import Unseen, choose
from learners.final.folds import fold_count, fold_folder, lasting_of, left_out, train_fold
from learners.final.opened import OpenedModel, opened
from learners.prediction.evaluation import Evaluation, Evaluator
from learners.prediction.predict_images import BatchPredictor
from learners.progress import ProgressReport, stop_file
from learners.spec import CARD, GOES_ON, RoundResult, RoundSpec, Unready
from learners.training.checkpoint import (
    WEIGHTS,
    FinalFacts,
    load_network,
    member_file,
    plan_of_card,
    read_card,
    write_card,
)
from learners.training.data import ImageReader, open_readers
from learners.training.targets import Classes, without_slices
from models.networks import NetworkSpec
from storage.arrays import open_npy


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready where somebody stopped it; it goes on from there the next time."""
    if spec.seconds == 0:
        return _predict_only(spec)
    if stop_file(spec).exists():
        raise Unready("the round stopped before its first step")
    for fold in range(fold_count(spec)):
        train_fold(spec, fold)
    return _Finish(spec).run()


def _predict_only(spec: RoundSpec) -> RoundResult:
    if spec.parent is None:
        raise Unready("there is no model to predict with yet; train one first")
    model = opened(spec.parent, spec.device, spec.class_ids)
    finish = _Proposing(replace(spec, class_ids=model.classes.ids), model.plan.network)
    judged = finish.judge(model)
    kept = RoundResult(spec.parent, (), 0, 0.0, parent_dice=judged.dice)
    return finish.propose(model, kept, judged)


class _Proposing:
    """What follows the training: judge a model, and predict with it."""

    def __init__(self, spec: RoundSpec, network: NetworkSpec) -> None:
        self.spec, self.notes = spec, list[str]()
        self.report = ProgressReport(spec.directory)
        self.classes = Classes(spec.class_ids)
        self.cases = open_readers(spec.examples, self.classes, network, self.notes)

    def judge(self, model: OpenedModel) -> Evaluation:
        self.report.say("comparing")
        return Evaluator(self.cases, model.plan, model.classes)(model.network)

    def propose(self, model: OpenedModel, result: RoundResult, judged: Evaluation) -> RoundResult:
        proposer = BatchPredictor(self.spec, model.plan, self.classes, model.network, notes=self.notes)
        predicted, remaining = proposer.run(self.cases, self.report, judged)
        return replace(
            result, predicted=predicted, remaining=remaining, dice=judged.dice, per_class=judged.per_class,
            objects=judged.objects, notes=tuple(self.notes),
        )  # fmt: skip


class _Finish(_Proposing):
    """Of trained folds one model: kept where it is at least as good as the last one on today's held-out labels."""

    def __init__(self, spec: RoundSpec) -> None:
        self.folders = [fold_folder(lasting_of(spec).work, n) for n in range(fold_count(spec))]
        self.cards = [read_card(folder) for folder in self.folders]
        super().__init__(spec, self.cards[0].network)
        self.plan = plan_of_card(self.cards[0], spec.device)

    def run(self) -> RoundResult:
        spec = self.spec
        self.report.say("choosing")
        self._save()
        model = opened(spec.directory, spec.device, spec.class_ids)
        after = kept = self.judge(model)
        self._write(read_card(spec.directory).final or FinalFacts(), after)
        before, folder = self._parent(), spec.directory
        if before is not None and spec.parent is not None and after.worse_than(before[1]):
            (model, kept), folder = before, spec.parent
            self.notes.append("the final model before it is better on today's held-out labels and was kept")
        result = RoundResult(
            model=folder,
            predicted=(),
            steps=sum(card.steps for card in self.cards),
            trained_seconds=round(sum(card.seconds for card in self.cards), 2),
            child_dice=after.dice,
            parent_dice=before[1].dice if before else None,
        )
        return self.propose(model, result, kept)

    def _save(self) -> None:
        """The weights of all folds, and a card that says how to ask them."""
        for number, folder in enumerate(self.folders):
            shutil.copyfile(folder / WEIGHTS, self.spec.directory / member_file(number))
        chosen = choose(self._unseen(), self.plan, self.classes, self.spec.mirror, self._check)
        self.notes += [_about(len(self.folders)), *chosen.notes]
        self._write(FinalFacts(len(self.folders), chosen.mirror, chosen.tidy), None)

    def _write(self, final: FinalFacts, judged: Evaluation | None) -> None:
        first = self.cards[0]
        card = replace(
            first, learner=self.spec.learner, final=final, rounds=1,
            steps=sum(card.steps for card in self.cards), seconds=sum(card.seconds for card in self.cards),
            dice=judged.dice if judged else None, per_class=judged.per_class if judged else {},
        )  # fmt: skip
        write_card(self.spec.directory, card)

    def _parent(self) -> tuple[OpenedModel, Evaluation] | None:
        """The final model before, on today's held-out labels; None where it knows other classes."""
        spec = self.spec
        if spec.parent is None or not (spec.parent / CARD).exists():
            return None
        if set(read_card(spec.parent).class_ids) != set(spec.class_ids):
            return None
        model = opened(spec.parent, spec.device, spec.class_ids)
        return model, self.judge(model)

    def _unseen(self) -> list[Unseen]:
        """Each labelled image with the network that left it out; of a single network, what is held out of all."""
        networks = [load_network(folder, self.plan.device) for folder in self.folders]
        if len(networks) == 1:
            held = [(case, case.held_out()) for case in self.cases if case.example.core]
            return [Unseen(case, known, networks[0]) for case, known in held if known is not None]
        out = left_out(self.spec)
        return [
            Unseen(case, _known(case), networks[out[case.example.image_id]])
            for case in self.cases
            if case.example.image_id in out and case.example.known is not None
        ]

    def _check(self) -> None:
        if stop_file(self.spec).exists():
            raise Unready(f"it was stopped after its training; {GOES_ON}")


def _known(case: ImageReader) -> NDArray[np.uint8]:
    """(Z, Y, X) what people said of an image, but for what is held out of everything."""
    assert case.example.known is not None
    return without_slices(open_npy(case.example.known), case.example.held)


def _about(members: int) -> str:
    return "one network" if members == 1 else f"{members} networks answer together, one for each fold"
