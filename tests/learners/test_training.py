"""The training loop and the methods in its slots: what must hold whatever the data."""

import math
from dataclasses import fields, replace
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learners import LEARNERS
from learners.adapt import ADAPTERS
from learners.choice import ProjectSummary, choose
from learners.methods import bcp, mean_teacher, stpp, supervised, unimatch, weak
from learners.prediction.metrics import dice_of, mean_dice, overlaps, stability
from learners.prediction.sums import Claim
from learners.propagate import PROPAGATORS
from learners.training.augment import Views, strong_look
from learners.training.budget import Budget
from learners.training.data import normalised
from learners.training.losses import CEDice, Sample, cross_entropy, dice
from learners.training.mix import centre_mask, cutmix, paste
from learners.training.state import TrainingState
from learners.training.targets import OPEN_BACKGROUND, Classes, target_of, without_slices
from learners.training.trainer import Gate, StepContext, rate_at, rate_scale, update_ema
from models.lazy import LazyFunction
from models.networks import NetworkSpec, UNet, strides_for
from storage.arrays import UNLABELLED

SPEC2 = NetworkSpec(2, 1, 3, (8, 16), ((2, 2),))
SPEC3 = NetworkSpec(3, 1, 3, (8, 8), ((1, 2, 2),))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def painted(count: int = 4, sides: tuple[int, ...] = (12, 16), start: int = 0) -> Sample:
    """Each image has its own constant intensity, target and origin: whatever moves apart shows."""
    index = torch.arange(start, start + count).view(-1, *[1] * len(sides))
    src = index.expand(count, *sides).clone()
    return Sample(src[:, None] / 10.0, src % 3, torch.ones(src.shape), torch.ones(src.shape), src=src)


def agrees(sample: Sample) -> bool:
    assert sample.src is not None
    return bool(
        torch.allclose(sample.x[:, 0] * 10, sample.src.float())
        and (sample.y == sample.src % 3)[sample.w > 0].all()
    )


@pytest.mark.parametrize("sides", [(12, 16), (6, 8, 10)])
def test_no_mix_gives_an_image_anothers_label(sides):
    a, b = painted(4, sides), painted(4, sides, start=4)
    context = StepContext(rng(), weight=0.5, classes=3, views=_Plain())
    mixed = [cutmix(a, rng(), 1.0), paste(a, b, centre_mask(sides, rng()))]
    for method in (supervised, unimatch, bcp):
        mixed += [part.sample for part in method.mix(a, b, context)]
    assert all(agrees(sample) for sample in mixed)
    assert any(len(torch.unique(sample.src[0])) > 1 for sample in mixed)


class _Plain(Views):
    def strong(self, sample, rng):
        return sample


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_weak_views_move_pixels_targets_and_trust_together(seed):
    sample = painted(4, (16, 16))
    rows = torch.arange(16).view(1, 16, 1).expand(4, 16, 16)
    sample = replace(sample, x=(rows[:, None] / 16.0).clone(), y=(rows > 7).long(), src=rows.clone())
    moved = Views((0, 1), (0, 1)).weak(sample, rng(seed))
    trusted = moved.w > 0
    assert ((moved.src > 7) == (moved.y == 1))[trusted].all()
    assert (moved.x[:, 0] * 16 - moved.src)[trusted].abs().max() < 1.5
    assert trusted.float().mean() > 0.5


def test_a_strong_look_changes_pixels_and_nothing_else():
    x = torch.rand(4, 3, 16, 20, generator=rng())
    looked = strong_look(x, rng())
    assert looked.shape == x.shape and not torch.equal(looked, x)
    assert looked.min() >= -0.2 and looked.max() <= 1.2


@pytest.mark.parametrize("shape", [(2, 3, 8, 6), (2, 3, 4, 6, 8)])
def test_trust_zero_means_exactly_no_gradient_in_both_losses(shape):
    logits = torch.randn(shape, generator=rng(), requires_grad=True)
    y = torch.randint(0, 3, (2, *shape[2:]), generator=rng())
    w = torch.zeros(y.shape)
    w[0, 0] = 1
    sample = Sample(torch.zeros(2, 1, *shape[2:]), y, w, torch.ones(y.shape))
    for loss in (cross_entropy, dice, CEDice()):
        (gradient,) = torch.autograd.grad(loss(logits, sample), logits, retain_graph=True)
        assert (gradient[0, :, 0] != 0).any() and (gradient[1] == 0).all() and (gradient[0, :, 1:] == 0).all()
        nothing = replace(sample, w=torch.zeros(y.shape))
        (gradient,) = torch.autograd.grad(loss(logits, nothing), logits, retain_graph=True)
        assert (gradient == 0).all()


def test_trust_one_everywhere_is_the_plain_loss():
    logits = torch.randn(2, 3, 8, 6, generator=rng())
    y = torch.randint(0, 3, (2, 8, 6), generator=rng())
    sample = Sample(torch.zeros(2, 1, 8, 6), y, torch.ones(y.shape), torch.ones(y.shape))
    assert cross_entropy(logits, sample).item() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, y).item(), abs=1e-6
    )
    p, t = logits.softmax(1), torch.nn.functional.one_hot(y, 3).movedim(-1, 1)
    wanted = 1 - ((2 * (p * t).sum((0, 2, 3))) / (p + t).sum((0, 2, 3))).mean()
    assert dice(logits, sample).item() == pytest.approx(wanted.item(), abs=1e-4)


def test_half_trust_halves_the_pull():
    logits = torch.randn(1, 3, 8, 6, generator=rng(), requires_grad=True)
    y = torch.randint(0, 3, (1, 8, 6), generator=rng())
    sample = Sample(torch.zeros(1, 1, 8, 6), y, torch.ones(y.shape), torch.ones(y.shape))
    (whole,) = torch.autograd.grad(CEDice()(logits, sample), logits)
    (half,) = torch.autograd.grad(CEDice()(logits, sample.trusted(0.5)), logits)
    assert torch.allclose(half, whole / 2, atol=1e-4)


def test_open_background_may_be_background_or_a_later_class_but_not_an_earlier_one():
    y = torch.full((1, 4, 4), OPEN_BACKGROUND)
    sample = Sample(torch.zeros(1, 1, 4, 4), y, torch.ones(y.shape), torch.ones(y.shape))
    sure_of = {c: torch.full((1, 3, 4, 4), -20.0).index_fill(1, torch.tensor([c]), 20.0) for c in range(3)}
    losses = [CEDice(late=(2,))(sure_of[c], sample).item() for c in range(3)]
    assert losses[0] < 1e-3 and losses[2] < 1e-3 and losses[1] > 5


def test_what_nobody_said_and_classes_the_network_lacks_have_no_trust():
    known = np.array([0, 3, 7, 9, UNLABELLED, OPEN_BACKGROUND], np.uint8)
    target = target_of(known, Classes((3, 7)))
    assert target.y.tolist() == [0, 1, 2, UNLABELLED, UNLABELLED, OPEN_BACKGROUND]
    assert target.w.tolist() == [1, 1, 1, 0, 0, 1]
    assert Classes((3, 7)).to_values().tolist() == [0, 3, 7]
    with pytest.raises(ValueError, match="one class or more"):
        Classes(())


def test_held_out_slices_are_silent_in_training():
    known = np.zeros((3, 4, 5), np.uint8)
    out = without_slices(known, [(0, 1), (2, 4)])
    assert (out[1] == UNLABELLED).all() and (out[:, :, 4] == UNLABELLED).all() and (out[0, :, :4] == 0).all()
    assert (known == 0).all()


def test_the_first_average_is_a_copy_and_later_ones_follow_the_closed_form():
    state = TrainingState.fresh(UNet(SPEC2))
    wanted = [p.detach().clone() for p in state.student.parameters()]
    for step in range(4):
        with torch.no_grad():
            for p in state.student.parameters():
                p.add_(1.0)
        update_ema(state.teacher, state.student, step, 0.99)
        keep = min(step / (step + 9), 0.99)
        now = [p.detach() for p in state.student.parameters()]
        wanted = [keep * a + (1 - keep) * b for a, b in zip(wanted, now)]
        if step == 0:
            assert all(
                torch.equal(a, b) for a, b in zip(state.teacher.parameters(), state.student.parameters())
            )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(state.teacher.parameters(), wanted))
    assert not any(p.requires_grad for p in state.teacher.parameters()) and not state.teacher.training


def test_the_rate_depends_on_progress_alone():
    assert rate_at(0.0) == 0.5 and rate_at(0.05) == pytest.approx(1.0) and rate_at(1.0) == pytest.approx(0.05)
    assert Budget(10, steps=4).progress == 0 and Budget(0).progress == 1


def test_a_network_is_trained_on_ever_more_gently_but_never_not_at_all():
    found = [rate_scale(steps) for steps in (0, 1, 60, 120, 240, 10**6)]
    assert found == [1, 1, 1, 0.5, 0.25, 0.1]


def test_a_stop_file_ends_the_budget(tmp_path):
    budget = Budget(100, stop=tmp_path / "stop")
    assert budget.left()
    (tmp_path / "stop").touch()
    assert not budget.left()


def test_the_gate_opens_for_a_good_teacher_only_and_ramps_once():
    poor, first, later = (
        Gate(0.65, 0.2, 0.5, 0.1, 0.6),
        Gate(0.65, 0.2, 0.5, 0.1, 0.7),
        Gate(0.65, 0, 0.5, 0.1, 0.7),
    )
    assert Gate(0.65, 0.2, 0.5, 0.1, None).weight(0.9) == 0 and poor.weight(0.9) == 0
    assert first.weight(0.3) == pytest.approx(0.05) and first.weight(0.6) == 0.5
    assert later.weight(0.0) == 0.5


@pytest.mark.parametrize(("foreground", "collapses"), [(0.0, True), (0.1, False), (0.2, False), (0.6, True)])
def test_pseudo_labels_that_drift_away_from_the_labels_are_dropped(foreground, collapses):
    gate = Gate(0.5, 0.0, 0.5, 0.12, 0.9)
    y = torch.zeros(1, 10, 10, dtype=torch.long)
    y.view(-1)[: int(100 * foreground)] = 1
    sample = Sample(torch.zeros(1, 1, 10, 10), y, torch.ones(y.shape), torch.ones(y.shape))
    for _ in range(20):
        gate.watch(sample, 0.4)
    assert (gate.closed is not None) is collapses and (gate.weight(0.5) == 0) is collapses


def test_unimatch_trusts_confident_voxels_and_no_others():
    p = torch.tensor([[0.96, 0.5, 0.03, float("nan")], [0.04, 0.5, 0.97, float("nan")]]).view(1, 2, 1, 4)
    unlabelled = Sample(
        torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 4).long(), torch.zeros(1, 1, 4), torch.ones(1, 1, 4)
    )
    chosen = unimatch.select(unlabelled, p, StepContext(rng()))
    assert chosen.w.flatten().tolist() == [1, 0, 1, 0] and chosen.y.flatten().tolist()[:3] == [0, 0, 1]
    assert (chosen.v == 1).all()


def test_complementary_dropout_adds_up_to_two_and_leaves_half_of_the_images_whole():
    first, second = unimatch.complementary(6, 32, torch.tensor([0, 3, 5]), 7)
    assert (first + second == 2).all()
    assert (first[[0, 3, 5]] == 1).all() and set(first[[1, 2, 4]].unique().tolist()) == {0.0, 2.0}


def test_feature_noise_leaves_the_labelled_rows_alone():
    labelled, unlabelled = painted(3), painted(4)
    parts = unimatch.mix(labelled, unlabelled, StepContext(rng(), weight=0.5, views=_Plain()))
    features = [torch.ones(11, 16, 6, 8), torch.ones(11, 32, 3, 4)]
    noisy = unimatch.noise(parts, rng())(features)
    for f in noisy:
        assert (f[:3] == 1).all() and (f[3:7] + f[7:] == 2).all() and (f[3:] != 1).any()
    assert unimatch.noise(parts[:1], rng()) is None


def test_bcp_keeps_the_largest_piece_of_one_organ_and_every_nucleus():
    y = torch.zeros(3, 10, 10, dtype=torch.long)
    y[0, 1:8, 1:8], y[0, 9, 9] = 1, 1
    y[1, 1:4, 1:4], y[1, 6:9, 6:9] = 1, 1
    kept = bcp.largest_pieces(y, 2)
    assert kept[0, 9, 9] == 0 and kept[0, 3, 3] == 1
    assert torch.equal(kept[1], y[1]) and (kept[2] == 0).all()


def test_bcps_regions_are_normalised_apart_and_alpha_scales_the_unlabelled_pull_alone():
    a, b = painted(2, (12, 12)), painted(2, (12, 12), start=2)
    keep = centre_mask((12, 12), rng())
    logits = torch.randn(2, 3, 12, 12, generator=rng(), requires_grad=True)
    gradients = []
    for alpha in (1.0, 0.5):
        mixed = replace(paste(b.trusted(alpha), a, keep), region=keep.expand(2, 12, 12))
        gradients.append(torch.autograd.grad(CEDice()(logits, mixed), logits)[0])
    frame = keep.bool().expand(2, 12, 12)[:, None].expand_as(logits)
    assert torch.allclose(gradients[1][frame], gradients[0][frame] / 2, atol=1e-5)
    assert torch.allclose(gradients[1][~frame], gradients[0][~frame], atol=1e-6)


def test_a_mean_teacher_that_agrees_pulls_nowhere():
    logits = torch.randn(2, 3, 6, 6, generator=rng(), requires_grad=True)
    sample = mean_teacher.select(painted(2, (6, 6)), logits.detach().softmax(1), StepContext(rng()))
    now = StepContext(rng())
    loss = mean_teacher.consistency(logits, sample, now)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert mean_teacher.consistency(logits + torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), sample, now) > 0


def test_stability_is_that_of_st_plus_plus_without_the_background():
    a = np.zeros((4, 6), np.uint8)
    a[1:3, 1:4] = 1
    b = a.copy()
    b[1, 1] = 0
    assert stability(a, a) == 1 and stability(a, b) == pytest.approx(5 / 6)
    assert stability(a, np.zeros_like(a)) == 0 and stability(a * 0, a * 0) == 1
    b[0, 0] = 2
    assert stability(a, b) == pytest.approx((5 / 6 + 0) / 2)


def test_cutout_teaches_nothing_inside_its_hole():
    sample = stpp.cutout(painted(4), StepContext(rng()))
    holes = [(w == 0).float().mean().item() for w in sample.w]
    assert holes[1] == holes[3] == 0 and 0 < holes[0] < 0.6 and (sample.v == sample.w).all()


def test_the_crf_is_content_with_borders_that_follow_colour():
    x = torch.zeros(1, 1, 12, 12)
    x[..., 6:] = 1

    def energy(column: int) -> float:
        p = torch.zeros(1, 2, 12, 12)
        p[:, 0, :, :column], p[:, 1, :, column:] = 1, 1
        return weak.crf_energy(p, x).item()

    assert energy(6) < 1e-6 < energy(5) and energy(6) < energy(9)
    assert weak.crf_energy(
        torch.full((1, 2, 4, 5, 6), 0.5), torch.zeros(1, 1, 4, 5, 6)
    ).item() == pytest.approx(0.5)


def test_a_tight_box_asks_every_row_and_column_for_its_class():
    box = torch.zeros(1, 10, 12, dtype=torch.long)
    box[0, 2:6, 3:9] = 256 + 1
    sample = replace(painted(1, (10, 12)), box=box)

    def loss(rows: slice, columns: slice) -> float:
        logits = torch.zeros(1, 3, 10, 12)
        logits[:, 0] = 6
        logits[0, 1, rows, columns] = 12
        return weak.box_projection(logits, sample, StepContext(rng())).item()

    assert loss(slice(2, 6), slice(3, 9)) < 0.01
    assert loss(slice(2, 6), slice(3, 5)) > 0.5 and loss(slice(0, 2), slice(0, 12)) > 2
    assert (
        weak.box_projection(torch.zeros(1, 3, 10, 12), replace(sample, box=None), StepContext(rng())).item()
        == 0
    )


def test_dice_of_empty_against_empty_says_nothing():
    a, b = np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8)
    a[0, :2], b[0, 1:3] = 1, 1
    where = np.ones((3, 4), bool)
    scores = dice_of(overlaps(a, b, (1, 2), where))
    assert scores[0] == 0.5 and math.isnan(scores[1]) and mean_dice([scores]) == 0.5
    assert mean_dice([np.array([np.nan])]) is None and mean_dice([]) is None


def test_a_model_is_as_sure_as_its_outlines_are_clear_and_of_the_classes_that_it_proposes():
    def said(*edges: float) -> float | None:
        """Half of a row is object, four voxels of it this likely."""
        p = np.array([0.02] * 8 + [0.99] * 4 + list(edges), np.float32)
        p = np.stack([1 - p, p, np.zeros_like(p)])[:, None, None]
        claim = Claim(3)
        claim.add(torch.from_numpy(p), torch.from_numpy(p.argmax(0)))
        return claim.said

    clear, blurred, nothing = said(*[0.99] * 4), said(0.6, 0.55, 0.45, 0.4), Claim(3).said
    assert clear is not None and blurred is not None and nothing is None
    assert clear == pytest.approx(2 / 3 + 1 / 3 * 0.986, abs=0.01) and blurred == pytest.approx(
        0.71, abs=0.02
    )


def test_what_is_not_proposed_after_all_is_no_longer_claimed():
    p = np.array([[0.95, 0.55, 0.6, 0.1]], np.float32)[:, None, None]
    p = np.concatenate([1 - p, p])
    claim, other = Claim(2), Claim(2)
    claim.add(torch.from_numpy(p), torch.from_numpy(p.argmax(0)))
    claim.leave_out(np.array([1, 1], np.int16), np.array([0.55, 0.6]))
    other.add(torch.from_numpy(p[..., [0, 3]]), torch.from_numpy(p.argmax(0)[..., [0, 3]]))
    assert claim.said == pytest.approx(other.said)


@pytest.mark.parametrize(("spec", "sides"), [(SPEC2, (8, 12)), (SPEC3, (3, 8, 12))])
def test_a_network_answers_at_the_size_it_was_asked(spec, sides):
    network = UNet(spec)
    assert network(torch.rand(2, 1, *sides)).shape == (2, 3, *sides)
    assert NetworkSpec.from_json(spec.as_json()) == spec


def test_strides_leave_the_coarse_axis_alone_until_the_others_have_caught_up():
    assert strides_for((4.0, 1.0, 1.0), (16, 64, 64), 5) == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert strides_for((1.0, 1.0), (128, 128), 3) == ((2, 2), (2, 2))
    assert all(s[0] == 1 for s in strides_for((1.0, 1.0, 1.0), (4, 64, 64), 4))


@pytest.mark.parametrize(
    "name", [name for name, e in LEARNERS.items() if e.make and e.make().together is None]
)
def test_every_learner_of_one_network_trains_and_with_a_closed_gate_as_if_there_were_no_unlabelled_images(
    name,
):
    recipe = LEARNERS[name].make()
    context = StepContext(rng(), weight=0.0, classes=3)
    assert recipe.mix is not None
    parts = recipe.mix(painted(4, (16, 16)), None, context)
    network = UNet(SPEC2)
    logits = network(torch.cat([p.sample.x for p in parts]))
    loss = CEDice()(logits[: len(parts[0].sample)], parts[0].sample)
    loss = loss + sum((extra(logits, parts[0].sample, context) for extra in recipe.extras), torch.zeros(()))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert len(parts) == 1 and parts[0].factor == 1 and all(part.stream == 0 for part in parts)
    assert LEARNERS[name].title and LEARNERS[name].good_at


def test_the_app_chooses_a_learner_and_says_why():
    summary = ProjectSummary(
        images=100, volumes=0, labelled=10, complete_slices=10, drawn=50, boxes=0, has_gpu=False, dice=0.8
    )
    assert choose(summary).learner == "supervised" and "10 labelled images" in choose(summary).why
    assert "nothing is labelled yet" in choose(replace(summary, labelled=0, drawn=0, complete_slices=0)).why
    assert choose(replace(summary, has_gpu=True)).learner == "unimatch"
    assert choose(replace(summary, has_gpu=True, dice=0.5)).learner == "supervised"
    assert choose(replace(summary, boxes=40)).learner == "weak"
    assert choose(replace(summary, numbered=30)).learner == "objects"
    assert choose(replace(summary, numbered=20)).learner == "supervised"
    assert choose(replace(summary, numbered=30, volumes=100)).learner != "objects", (
        "measured on pictures alone"
    )
    assert choose(replace(summary, complete_slices=0)).learner == "weak"
    sparse = replace(summary, volumes=100, complete_slices=20)
    assert choose(sparse).learner == "propagated" and "20 complete slices in 10" in choose(sparse).why
    assert choose(replace(sparse, complete_slices=300)).learner == "supervised"


def test_a_sample_cut_by_rows_keeps_every_part():
    sample = painted(4)
    half = sample.of(slice(0, 2))
    assert len(half) == 2
    assert all((getattr(half, f.name) is None) == (getattr(sample, f.name) is None) for f in fields(Sample))


def test_a_budget_of_no_time_still_takes_one_step_and_loading_does_not_count():
    budget = Budget(0.0)
    assert budget.left() and budget.progress == 1
    budget.step = 1
    assert not budget.left()
    late = Budget(0.05)
    late._started -= 10
    assert late.progress == 1
    late.start()
    assert late.progress < 1


def test_a_network_of_grey_pictures_takes_a_coloured_one():
    colour = np.random.default_rng(0).integers(0, 255, (1, 6, 5, 3)).astype(np.uint8)
    grey = normalised(torch.from_numpy(colour), 0, 255, 1)
    assert grey.shape == (1, 1, 6, 5)
    np.testing.assert_allclose(grey[0], colour.mean(3) / 255, atol=1e-6)
    assert normalised(torch.from_numpy(colour), 0, 255, 3).shape == (3, 1, 6, 5)


def test_every_function_that_a_registry_names_is_there():
    entries = [*LEARNERS.values(), *ADAPTERS.values(), *PROPAGATORS.values()]
    named = [
        value.name for entry in entries for value in vars(entry).values() if isinstance(value, LazyFunction)
    ]
    assert len(named) > 20
    assert all(callable(resolve_name(name)) for name in named)
