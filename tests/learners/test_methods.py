"""Laws of the methods' papers that hold in the real loop: who gets a gradient, what a closed or broken teacher does."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from learners import LEARNERS
from learners.methods import bcp, mean_teacher, supervised, unimatch
from learners.rounds.train import run
from learners.spec import RoundSpec
from learners.training import trainer
from learners.training.augment import Views
from learners.training.checkpoint import load_state, read_card
from learners.training.losses import CEDice, Sample
from learners.training.mix import cutmix, paste
from learners.training.state import TrainingState
from learners.training.trainer import Part, Recipe, StepContext
from models.networks import UNet
from tests.learners.test_learning import discs, spec_of
from tests.learners.test_training import SPEC2, agrees, painted, rng


class Plain(Views):
    """Strong looks that change nothing."""

    def strong(self, sample, rng):
        return sample


def plain_context(weight: float = 0.5) -> StepContext:
    return StepContext(rng(), weight=weight, classes=3, views=Plain())


def test_where_no_pseudo_label_is_sure_the_gradient_is_that_of_labels_alone():
    torch.manual_seed(0)
    network, drawn = UNet(SPEC2), painted(4)
    unlabelled = replace(painted(4, start=4), w=torch.zeros(4, 12, 16))
    unsure = torch.full((4, 3, 12, 16), 1 / 3)
    chosen = unimatch.select(unlabelled, unsure, plain_context())
    gradients = []
    for part in (chosen, None):
        parts = unimatch.mix(drawn, part, plain_context())
        network.zero_grad()
        total = torch.zeros(())
        for each in parts:
            total = total + each.factor * CEDice()(network(each.sample.x), each.sample)
        total.backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


@pytest.mark.parametrize("method", [unimatch, bcp])
def test_what_a_teacher_says_gets_no_gradient(method):
    logits = torch.randn(4, 3, 12, 16, generator=rng(), requires_grad=True)
    with torch.no_grad():
        probabilities = logits.softmax(1)
    chosen = method.select(painted(4), probabilities, plain_context())
    assert not chosen.y.requires_grad and not chosen.w.requires_grad
    for part in method.mix(painted(4), chosen, plain_context()):
        assert not part.sample.y.requires_grad and not part.sample.x.requires_grad


def test_both_strong_streams_take_boxes_target_and_all_from_their_partner():
    unlabelled = painted(6, start=6)
    parts = unimatch.mix(painted(3), unlabelled, plain_context())
    streams = [part.sample for part in parts if part.stream]
    assert len(streams) == 2 and all(agrees(sample) for sample in streams)
    assert any(len(sample.src[i].unique()) == 2 for sample in streams for i in range(6))
    for sample in streams:
        for i in range(6):
            assert set(sample.src[i].unique().tolist()) <= {6 + i, 6 + (i - 1) % 6}


def test_a_batch_of_one_has_no_partner_and_stays_as_it_is():
    one = painted(1)
    assert torch.equal(cutmix(one, rng(), 1.0).x, one.x)
    for part in unimatch.mix(one, one, plain_context()):
        assert torch.equal(part.sample.src, one.src)


def test_bcps_mask_of_ones_or_zeros_takes_one_side_whole():
    a, b = painted(2), painted(2, start=2)
    ones = torch.ones(1, 12, 16)
    for kept, whole in ((ones, a), (1 - ones, b)):
        mixed = paste(a, b, kept)
        assert torch.equal(mixed.x, whole.x) and torch.equal(mixed.y, whole.y)


def test_each_region_is_normalised_by_itself_however_big_the_box_is():
    losses = []
    for side in (4, 8):
        keep = torch.ones(1, 12, 16)
        keep[0, :side, :side] = 0
        y = torch.where(keep == 0, 2, 1)
        sample = Sample(torch.zeros(1, 1, 12, 16), y, torch.ones(y.shape), torch.ones(y.shape), region=keep)
        logits = torch.zeros(1, 3, 12, 16)
        logits[:, 2] = 1.0  # right in the box, wrong around it
        losses.append(float(CEDice()(logits, sample)))
        losses.append(float(CEDice()(logits, replace(sample, region=None))))
    assert losses[0] == pytest.approx(losses[2], rel=1e-3)
    assert losses[1] != pytest.approx(losses[3], rel=1e-2)


def test_the_largest_piece_is_found_in_3d_and_of_equals_always_the_same():
    y = torch.zeros(2, 5, 8, 8, dtype=torch.long)
    y[0, 1:4, 1:5, 1:5], y[0, 4, 7, 7] = 1, 1
    y[1, 0, :3, :3], y[1, 4, 5:, 5:] = 2, 2
    kept = bcp.largest_pieces(y, 3)
    assert kept[0, 4, 7, 7] == 0 and (kept[0] == 1).sum() == 48
    assert torch.equal(kept[1], y[1])  # two of the same size are two objects
    assert torch.equal(bcp.largest_pieces(y, 3), kept)


def test_training_mode_of_the_student_leaves_the_teacher_alone():
    state = TrainingState.fresh(UNet(SPEC2))
    x = torch.rand(2, 1, 12, 16, generator=rng())
    before = state.teacher(x)
    state.student.train()
    state.student(x)
    assert torch.equal(state.teacher(x), before) and not state.teacher.training
    assert all(p.grad is None for p in state.teacher.parameters())


def test_a_teacher_that_says_background_everywhere_is_dropped_and_does_no_harm(tmp_path, monkeypatch):
    """The collapse guard in the real loop: the foreground share drifts, the gate closes, the student stays good."""
    examples = discs(tmp_path, 10, labelled=4)
    first = run(spec_of(tmp_path, examples, steps=90))
    assert first.dice > 0.65

    def blind(unlabelled: Sample, probabilities: torch.Tensor, context: StepContext) -> Sample:
        return replace(unlabelled, y=torch.zeros_like(probabilities.argmax(1)), w=unlabelled.v)

    def make() -> Recipe:
        return replace(unimatch.make(), select=blind)

    monkeypatch.setitem(LEARNERS, "unimatch", replace(LEARNERS["unimatch"], make=make))
    result = run(spec_of(tmp_path, examples, learner="unimatch", parent=first.model, steps=40))
    assert any(note.startswith("pseudo-labels were left out from") for note in result.notes)
    assert result.child_dice > first.dice - 0.15 and result.dice >= first.dice


def losses_of(spec: RoundSpec, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Those of every step of a round by this recipe."""
    losses: list[float] = []

    def step(*given: Any) -> torch.Tensor:
        loss: torch.Tensor = real(*given)
        losses.append(float(loss))
        return loss

    real = trainer._step
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "_step", step)
        patched.setitem(LEARNERS, spec.learner, replace(LEARNERS[spec.learner], make=lambda: recipe))
        run(spec)
    return losses


def test_a_term_on_unlabelled_patches_needs_no_teacher_and_sees_nothing_that_is_labelled(
    tmp_path, monkeypatch
):
    """A recipe of two slots: the supervised mix, and a term that pulls unlabelled patches to be certain."""
    seen: list[Sample] = []

    def certain(logits: torch.Tensor, sample: Sample, context: StepContext) -> torch.Tensor:
        seen.append(sample)
        assert logits.shape == (len(sample), context.classes, *sample.y.shape[1:])
        return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()

    examples = discs(tmp_path, 10, labelled=4)
    plain = losses_of(spec_of(tmp_path, examples, steps=6), supervised.make(), monkeypatch)
    recipe = Recipe(mix=supervised.mix, unlabelled_term=certain, good_teacher=0.0, ramp=0.0)
    with_term = losses_of(spec_of(tmp_path, examples, steps=6), recipe, monkeypatch)
    assert len(seen) == 6 and len(with_term) == 6
    assert all(not sample.w.any() and sample.v.any() for sample in seen)
    assert with_term[0] > plain[0] and with_term[1:] != plain[1:]


def test_a_term_on_unlabelled_patches_waits_for_a_good_teacher_where_its_recipe_asks_for_one(
    tmp_path, monkeypatch
):
    def never(logits: torch.Tensor, sample: Sample, context: StepContext) -> torch.Tensor:
        raise AssertionError("no network is that good after two steps")

    examples = discs(tmp_path, 10, labelled=4)
    recipe = Recipe(mix=supervised.mix, unlabelled_term=never)
    assert len(losses_of(spec_of(tmp_path, examples, steps=2), recipe, monkeypatch)) == 2


def test_mean_teacher_draws_and_loses_the_same_in_its_slot_as_by_a_mix_of_its_own(tmp_path, monkeypatch):
    def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
        parts = supervised.mix(labelled, unlabelled, context)
        if unlabelled is None:
            return parts
        strong = context.views.strong(unlabelled, context.rng)
        return [*parts, Part(strong, context.weight, loss=mean_teacher.consistency)]

    recipe = replace(mean_teacher.make(), good_teacher=0.0)  # from the first step on
    examples = discs(tmp_path, 10, labelled=4)
    by_hand = replace(recipe, mix=mix, unlabelled_term=None)
    pair = [losses_of(spec_of(tmp_path, examples, steps=5), each, monkeypatch) for each in (recipe, by_hand)]
    assert pair[0] == pair[1]
    labels_alone = losses_of(spec_of(tmp_path, examples, steps=5), supervised.make(), monkeypatch)
    assert pair[0] != labels_alone


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_round_stopped_after_any_step_leaves_a_model_that_training_can_go_on_from(tmp_path, steps):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    result = run(spec_of(tmp_path, examples, steps=steps))
    state = load_state(result.model, read_card(result.model).network, (1,), "cpu")
    assert state is not None and state.steps == steps
    assert run(spec_of(tmp_path, examples, steps=1, parent=result.model)).steps == 1
