"""A round of reference segmentation: take the references, learn from them in seconds, compare, predict the others."""

from collections.abc import Sequence
from dataclasses import replace

from learners.methods.reference.checkpoint import load_reference, save_reference
from learners.methods.reference.features import BuiltInFeatures, Dense, SamFeatures
from learners.methods.reference.fit import FitOptions, learn
from learners.methods.reference.model import FeatureExtractor, Reference
from learners.methods.reference.reference_slices import ReferenceSlice, axis_of, diameter_of, shots_of
from learners.rounds.own_round import OwnRound
from learners.spec import RoundResult, RoundSpec, Unready
from learners.text import count_of
from learners.training.plan import Plan, device_of
from models import GIVEN, AnsweringModel, on_this_machine

EMBEDDERS = ("sam", "medsam", "microsam", "mobile_sam", "edgetam")  # prompt models whose embedding has places
ALL_AXES = (0, 1, 2)


def run(spec: RoundSpec) -> RoundResult:
    """Training-free. Raises Unready, or what went wrong."""
    return _ReferenceRound(spec, aligned=False).run()


def run_aligned(spec: RoundSpec) -> RoundResult:
    """With a neck that is aligned on the references first."""
    return _ReferenceRound(spec, aligned=True).run()


class _ReferenceRound(OwnRound):
    def __init__(self, spec: RoundSpec, *, aligned: bool) -> None:
        super().__init__(spec)
        self._aligned = aligned
        found = on_this_machine(spec.prompts)
        self.notes += [found.why] if found.why else []
        self._asked, self._dense = found.model, dense_of(found, device_of(spec.device))

    def run(self) -> RoundResult:
        """The better of what was learned before and what is learned now, on today's held-out labels."""
        spec = self.spec
        before = self._before()
        if before is not None and spec.parent is not None and spec.seconds == 0:
            judged = self.judge(before)
            kept = RoundResult(spec.parent, (), 0, 0.0, parent_dice=judged.dice)
            return self.propose(before, kept, judged)
        self.check_stop()
        self.report.say("learning from references")
        found, shots = self._learn()
        save_reference(spec.directory, found)
        result, after = self.learned(found)
        earlier = None if before is None else self.judge(before)
        result = replace(result, parent_dice=None if earlier is None else earlier.dice)
        if (
            earlier is not None
            and before is not None
            and spec.parent is not None
            and not spec.references  # those that a person chose are taken at their word
            and after.worse_than(earlier)
        ):
            self.notes.append("the earlier references did better on held-out labels and stay in use")
            return self.propose(before, replace(result, model=spec.parent), earlier)
        self.notes.append(_told(found, shots))
        return self.propose(found, result, after)

    def _before(self) -> Reference | None:
        if self.spec.parent is None:
            return None
        return load_reference(self.spec.parent, self.spec.class_ids, self._dense, self._asked)

    def _learn(self) -> tuple[Reference, list[ReferenceSlice]]:
        spec = self.spec
        axis = axis_of(self.cases)
        shots = shots_of(self.cases, spec.references, axis)
        if not shots:
            raise Unready("every label is held out; label one more image")
        options = FitOptions(
            class_ids=spec.class_ids,
            late_ids=spec.late_ids,
            axis=axis,
            joined=self.plan.dims == 3,
            aligned=self._aligned,
            prompt_model=self._asked,
        )
        return learn(shots, sight_of(shots, self._dense, self.plan, spec.mirror, axis), options), shots


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
    doubted = "; its objects look too varied, so add a second reference" if reference.doubted else ""
    return f"learned from {count_of(len(images), 'image')} ({some}) by {name}, {asks}{unseen}{doubted}"
