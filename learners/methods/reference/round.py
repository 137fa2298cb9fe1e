"""A round of reference segmentation: take the references, learn from them in seconds, compare, predict the others."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from learners.methods.reference.checkpoint import load_reference, save_reference
from learners.methods.reference.features import BuiltInFeatures, Dense, SamFeatures
from learners.methods.reference.fit import FitOptions, learn
from learners.methods.reference.model import FeatureExtractor, Reference
from learners.methods.reference.reference_slices import ReferenceSlice, axis_of, diameter_of, shots_of
from learners.prediction.evaluation import Evaluation, Evaluator
from learners.prediction.predict_images import BatchPredictor
from learners.progress import ProgressReport
from learners.spec import RoundResult, RoundSpec, Unready
from learners.text import count_of
from learners.training.data import open_readers
from learners.training.plan import Plan, device_of, plan_of
from learners.training.targets import Classes
from models import GIVEN, AnsweringModel, on_this_machine

EMBEDDERS = ("sam", "medsam", "microsam", "mobile_sam", "edgetam")  # prompt models whose embedding has places
ALL_AXES = (0, 1, 2)


def run(spec: RoundSpec) -> RoundResult:
    """Training-free. Raises Unready, or what went wrong."""
    return _ReferenceRound(spec, aligned=False).run()


def run_aligned(spec: RoundSpec) -> RoundResult:
    """With a neck that is aligned on the references first."""
    return _ReferenceRound(spec, aligned=True).run()


class _ReferenceRound:
    def __init__(self, spec: RoundSpec, *, aligned: bool) -> None:
        self._spec, self._aligned = spec, aligned
        self._notes: list[str] = []
        self._report = ProgressReport(spec.directory)
        torch.manual_seed(spec.seed)
        self._plan, self._classes = plan_of(spec), Classes(spec.class_ids)
        self._cases = open_readers(spec.examples, self._classes, self._plan.network.channels, self._notes)
        self._judge = Evaluator(self._cases, self._plan, self._classes)
        found = on_this_machine(spec.prompts)
        self._notes += [found.why] if found.why else []
        self._asked, self._dense = found.model, dense_of(found, device_of(spec.device))

    def run(self) -> RoundResult:
        """The better of what was learned before and what is learned now, on today's held-out labels."""
        spec, started = self._spec, time.monotonic()
        before = self._before()
        if before is not None and spec.parent is not None and spec.seconds == 0:
            kept = RoundResult(spec.parent, (), 0, 0.0, parent_dice=self._judge(before).dice)
            return self._propose(before, kept, self._judge(before))
        self._report.say("learning from references")
        found, shots = self._learn()
        save_reference(spec.directory, found)
        seconds = time.monotonic() - started
        self._report.say("comparing")
        after = judged = self._judge(found)
        earlier = None if before is None else self._judge(before)
        model, chosen = spec.directory, found
        if (
            earlier is not None
            and before is not None
            and spec.parent is not None
            and not spec.references  # those that a person chose are taken at their word
            and after.worse_than(earlier)
        ):
            model, chosen, judged = spec.parent, before, earlier
            self._notes.append("the references of before did better on the held-out labels and stay")
        else:
            self._notes.append(_told(found, shots))
        result = RoundResult(
            model=model,
            predicted=(),
            steps=1,
            trained_seconds=round(seconds, 2),
            child_dice=after.dice,
            parent_dice=None if earlier is None else earlier.dice,
        )
        return self._propose(chosen, result, judged)

    def _before(self) -> Reference | None:
        if self._spec.parent is None:
            return None
        return load_reference(self._spec.parent, self._spec.class_ids, self._dense, self._asked)

    def _learn(self) -> tuple[Reference, list[ReferenceSlice]]:
        spec = self._spec
        axis = axis_of(self._cases)
        shots = shots_of(self._cases, spec.references, axis)
        if not shots:
            raise Unready("every label is held out for checking; label one more image")
        options = FitOptions(
            class_ids=spec.class_ids,
            late_ids=spec.late_ids,
            axis=axis,
            joined=self._plan.dims == 3,
            aligned=self._aligned,
            prompt_model=self._asked,
        )
        return learn(shots, sight_of(shots, self._dense, self._plan, spec.mirror, axis), options), shots

    def _propose(self, reference: Reference, result: RoundResult, judged: Evaluation) -> RoundResult:
        proposer = BatchPredictor(self._spec, self._plan, self._classes, reference)
        predicted, remaining = proposer.run(self._cases, self._report, judged.dice)
        return replace(
            result,
            predicted=predicted,
            remaining=remaining,
            dice=judged.dice,
            per_class=judged.per_class,
            notes=tuple(self._notes),
        )


def dense_of(found: AnsweringModel, device: str) -> Dense:
    """SAM's embedding where the project uses one and its weights are here, else the built-in network's stages."""
    if found.name.startswith((*EMBEDDERS, GIVEN)):
        title = "the given checkpoint" if found.name == GIVEN else f"the prompt model {found.name}"
        return SamFeatures(found.model, title, found.model.model_id)
    return BuiltInFeatures(device)


def sight_of(
    shots: Sequence[ReferenceSlice], dense: Dense, plan: Plan, mirror: tuple[int, ...], axis: int
) -> FeatureExtractor:
    """Where in the picture something lies counts in scans that know their sides, and only there."""
    if plan.dims == 2 or set(mirror) == set(ALL_AXES):
        return FeatureExtractor(dense, diameter_of(shots))
    order = [axis, *(a for a in ALL_AXES if a != axis)]  # the slice's own axes: along it, rows, columns
    placed = tuple(k for k, a in enumerate(order) if a not in mirror)
    return FeatureExtractor(dense, diameter_of(shots), placed, tuple(k for k in range(3) if k not in placed))


def _told(reference: Reference, shots: Sequence[ReferenceSlice]) -> str:
    images = sorted({shot.image_id for shot in shots})
    some = ", ".join(map(str, images[:8])) + (" and others" if len(images) > 8 else "")
    asks = "with the prompt model's borders" if reference.prompt_model else "without asking the prompt model"
    missing = [str(c) for c in reference.class_ids if reference.gate(c) is None]
    unseen = f"; no reference shows class {', '.join(missing)} beside background" if missing else ""
    name = reference.views[0].sight.dense.name
    doubted = (
        "; what it shows looks too varied to stand for others, a second one helps"
        if reference.doubted
        else ""
    )
    return f"learned from {count_of(len(images), 'image')} ({some}) by {name}, {asks}{unseen}{doubted}"
