"""Test-time adaptation: the algebra of each adapter, that leaving it is exact, and that only what helps is kept."""

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.learning.image_groups import import_groups, read_groups
from annotator.learning.round_inputs import RoundInputs
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings, read_settings
from learners.adapt import ADAPTERS, AdaptationData
from learners.adapt.adapted import adapt_groups
from learners.adapt.entropy import counted, entropy, gem_skd, gem_t, temperature
from learners.adapt.groups import found_groups, groups_of, signature
from learners.adapt.layers import batch_norms
from learners.adapt.prior import clamped, em_path, shares_by_em
from learners.adapt.statistics import ada_mix, bn_adapt, share_of_source, transformed
from learners.engines import SerialExecutor
from learners.prediction.evaluation import Evaluator
from learners.rounds.train import run
from learners.training.checkpoint import load_network
from learners.training.data import ImageReader
from learners.training.plan import Plan, plan_of
from learners.training.targets import Classes
from models.networks import NetworkSpec, UNet
from storage.store import Store
from tests.learners.test_learning import discs, example, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")


def network(norm: str = "batch", classes: int = 2, dims: int = 2) -> UNet:
    """Random weights, with running statistics that differ from layer to layer."""
    torch.manual_seed(1)
    out = UNet(NetworkSpec(dims, 1, classes, (8, 16), ((2,) * dims,), norm))
    for norm_layer in batch_norms(out):
        assert norm_layer.running_mean is not None and norm_layer.running_var is not None
        norm_layer.running_mean.normal_(0, 0.3)
        norm_layer.running_var.uniform_(0.5, 1.5)
    return out.eval()


def scene(dims: int = 2, shift: float = 0.0, seed: int = 0) -> AdaptationData:
    rng = torch.Generator().manual_seed(seed)
    sides = (16,) * dims
    target = tuple(torch.rand(4, 1, *sides, generator=rng) + shift for _ in range(2))
    return AdaptationData(target, tuple(torch.rand(4, 1, *sides, generator=rng) for _ in range(2)))


def same(a: UNet, b: UNet) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_network_itself_is_left_as_it_was_bit_for_bit(name, norm, dims):
    before = network(norm, dims=dims)
    kept = copy.deepcopy(before)
    out = ADAPTERS[name].adapt(before, scene(dims, 0.5))
    assert same(before, kept)
    changed = {k for k, v in out.state_dict().items() if not torch.equal(v, kept.state_dict()[k])}
    if norm == "group" and ADAPTERS[name].batch_norm:
        assert not changed, "it says of itself that it does nothing without batch norm"
    else:
        assert changed
    norms = {
        f"{k}."
        for k, m in out.named_modules()
        if isinstance(m, (torch.nn.GroupNorm, *map(type, batch_norms(out))))
    }
    allowed = ("head.bias",) if name == "prior" else tuple(norms)
    assert all(key.startswith(allowed) for key in changed)


def test_statistics_of_the_sources_own_images_change_nothing():
    x, net = torch.cat(scene().target), network()
    own = bn_adapt(net, AdaptationData((x,), ()))
    again = bn_adapt(own, AdaptationData((x,), ()))
    assert torch.allclose(own(x), again(x), atol=1e-5)
    assert torch.allclose(own(x), ada_mix(own, AdaptationData((x,), ()))(x), atol=1e-5), "lambda is 1 there"


def test_the_share_of_the_source_is_one_for_its_like_a_half_for_one_strange_image_and_between_else():
    x = torch.randn(4, 3, 9, 9)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    assert float(share_of_source(x, mean, variance)) == pytest.approx(1)
    assert float(share_of_source(x[:1] + 5, mean, variance)) == pytest.approx(0.5, abs=1e-5)
    assert 0 <= float(share_of_source(x * 3 - 2, mean, variance)) <= 1
    flat = torch.zeros(2, 3, 4, 4)
    assert torch.isfinite(share_of_source(flat, torch.zeros(3), torch.zeros(3)))


def test_the_transformed_affine_weights_answer_as_the_mixed_statistics_do():
    net, look = network(), scene(shift=0.4)
    x = torch.cat(look.target)
    assert torch.allclose(ada_mix(net, look)(x), transformed(net, look)(x), atol=1e-5)
    constant = AdaptationData((torch.full((2, 1, 16, 16), 0.5),), look.source)
    assert torch.isfinite(transformed(net, constant)(x)).all(), "no spread is no reason for NaN"


def test_tent_lowers_the_entropy_of_what_it_adapts_to():
    net, look = network("group"), scene()
    x = torch.cat(look.target)
    out = ADAPTERS["tent"].adapt(net, look)
    with torch.no_grad():
        assert float(entropy(out(x)).mean()) < float(entropy(net(x)).mean())


def test_entropy_does_not_depend_on_the_size_of_the_image():
    z = torch.randn(1, 3, 8, 8)
    assert float(entropy(z).mean()) == pytest.approx(float(entropy(z.repeat(1, 1, 2, 2)).mean()), abs=1e-6)


def test_the_generalised_entropy_pulls_on_sure_answers_where_entropy_does_not():
    sure = torch.tensor([12.0, 0.0, 1.0]).view(1, 3, 1, 1)
    pulls = []
    for loss in (entropy, gem_t):
        z = sure.clone().requires_grad_()
        loss(z).sum().backward()
        pulls.append(float(z.grad.abs().sum()))
    assert pulls[1] > 10 * pulls[0]
    assert not temperature(sure.clone().requires_grad_()).requires_grad


def test_with_two_classes_the_temperature_is_one_for_the_whole_image():
    z = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(0)) * 4
    t = temperature(z)
    assert torch.allclose(t[0], t[0, 0, 0, 0].expand_as(t[0])) and not torch.allclose(
        t[0, 0, 0, 0], t[1, 0, 0, 0]
    )
    assert float(gem_skd(z).std()) > 0, "per pixel every answer would be as sure as any other"


def test_background_counts_no_more_than_objects_and_what_is_around_them():
    z = torch.zeros(1, 2, 64, 64)
    z[:, 0] = 1
    z[:, 1, 30:34, 30:34] = 2
    share = float(counted(z, torch.Generator().manual_seed(0)).float().mean())
    near = 24 * 24 / 64**2
    assert near < share < 2.4 * near
    assert counted(torch.zeros(1, 2, 8, 8), torch.Generator()).all(), "without any object everything counts"


def calibrated(
    shares: list[float], count: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Answers of a network that learned with equal shares, on classes drawn with others."""
    rng = torch.Generator().manual_seed(seed)
    wanted, source = torch.tensor(shares), torch.full((3,), 1 / 3)
    y = torch.multinomial(wanted, count, replacement=True, generator=rng)
    x = torch.randn(count, 3, generator=rng)
    x[torch.arange(count), y] += 2.0
    return (2.0 * x).softmax(1), source, wanted


def test_shares_are_found_again_and_the_likelihood_never_falls():
    p, source, wanted = calibrated([0.6, 0.3, 0.1], 40_000)
    found = shares_by_em(p, source)
    assert float((found - wanted).abs().max()) < 0.02
    likelihood = [float((p * (pi / source)).sum(1).log().mean()) for pi in em_path(p, source)]
    assert all(b >= a - 1e-6 for a, b in zip(likelihood, likelihood[1:]))


def test_equal_shares_move_nothing_and_an_absent_class_does_not_die():
    p, source, _ = calibrated([1 / 3, 1 / 3, 1 / 3], 40_000)
    assert float((shares_by_em(p, source) - source).abs().max()) < 0.02
    assert float(clamped(torch.tensor([1.0, 0.0, 0.0]), source).min()) > 0.03


def test_groups_are_found_where_images_differ_and_none_where_they_do_not(tmp_path: Path):
    rng = np.random.default_rng(0)
    dark = [rng.normal(60, 10, (1, 40, 40)).clip(0, 255).astype(np.uint8) for _ in range(5)]
    wide = [(rng.gamma(0.4, 9000, (1, 40, 40))).astype(np.float32) for _ in range(4)]
    pictures: list[NDArray[Any]] = [*dark, *wide]
    rows = np.stack([signature(p) for p in pictures])
    labels = found_groups(rows)
    assert len(set(labels[:5])) == 1 and len(set(labels[5:])) == 1 and labels[0] != labels[-1]
    assert len(set(found_groups(np.stack([signature(p) for p in dark])))) == 1
    cases = [ImageReader(example(tmp_path, i, p, None), Classes((1,)), 1) for i, p in enumerate(pictures)]
    assert set(groups_of(cases).values()) == {"kind 1", "kind 2"}
    assert groups_of(cases, {0: "Bern", 1: "Bern"})[0] == "Bern", "what people say counts more"


def test_only_what_does_better_on_held_out_labels_is_kept(tmp_path: Path):
    examples = discs(tmp_path, 6, labelled=4)
    spec = spec_of(tmp_path, examples, network="unet-s-bn")
    plan, classes = plan_of(spec), Classes((1,))
    cases = [ImageReader(e, classes, plan.network.channels) for e in examples]
    torch.manual_seed(0)
    net = UNet(plan.network).eval()
    with torch.no_grad():
        assert net.head.bias is not None
        net.head.bias.copy_(torch.tensor([9.0, -9.0]))  # says background everywhere: nothing can be worse
    nothing = adapt_groups(net, cases, plan, classes, "prior")
    assert nothing.by_image == {} and nothing.notes == ()
    without = [ImageReader(e, classes, 1) for e in examples[:4]]
    assert adapt_groups(net, without, plan, classes).by_image == {}, (
        "nothing is held out, so nothing is changed"
    )


@pytest.mark.thorough
def test_an_adaptation_that_mends_the_network_is_kept_for_its_group_and_told(tmp_path: Path):
    """A network that learned the task, with statistics of batch norms spoiled: BN-adapt must bring it back."""
    examples = discs(tmp_path, 8, labelled=5)
    first = spec_of(tmp_path, examples, network="unet-s-bn", steps=120)
    trained = load_network(run(first).model)
    plan, classes = plan_of(first), Classes((1,))
    cases = [ImageReader(e, classes, plan.network.channels) for e in examples]
    good = Evaluator(cases, plan, classes)(trained).dice
    spoiled = copy.deepcopy(trained)
    for layer in batch_norms(spoiled):
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.add_(2 * layer.running_var.sqrt())
    bad = Evaluator(cases, plan, classes)(spoiled).dice
    adapted = adapt_groups(spoiled, cases, plan, classes)
    after = Evaluator(cases, plan, classes)(adapted).dice
    assert good is not None and bad is not None and after is not None
    assert bad < good - 0.1 and after > bad + 0.1 and "adapted by" in adapted.notes[0]
    assert set(adapted.by_image) == {e.image_id for e in examples}


def test_a_round_says_what_came_of_adapting(tmp_path: Path):
    result = run(spec_of(tmp_path, discs(tmp_path, 6, labelled=4), adapt="auto", steps=5))
    assert any("adapt" in note for note in result.notes) and result.remaining == 0


def test_an_adapter_nobody_has_is_named():
    with pytest.raises(LookupError, match="no adapter"):
        LearnSettings(adapt="magic")


def test_a_plan_of_batch_norm_is_another_network_and_learns(tmp_path: Path):
    spec = spec_of(tmp_path, discs(tmp_path, 6, labelled=4), network="unet-s-bn", steps=40)
    plan: Plan = plan_of(spec)
    assert plan.network.norm == "batch" and NetworkSpec.from_json(plan.network.as_json()) == plan.network
    assert run(spec).dice is not None


def test_groups_come_from_a_column_and_rows_that_make_no_sense_are_said(tmp_path: Path):
    store = Store(tmp_path / "project")
    try:
        for n in range(3):
            cv2.imwrite(str(tmp_path / f"cell{n}.png"), np.full((12, 14), 40 * n + 9, np.uint8))
            import_path(store, tmp_path / f"cell{n}.png", Job("import"))
        (tmp_path / "sites.csv").write_text(
            "file,site\ncell0.png,Bern\ncell1,Graz\nghost.png,Bern\ncell2.png,\n"
        )
        report = import_groups(store, tmp_path / "sites.csv", "site")
        assert report.said == 2 and len(report.refused) == 2 and "ghost.png" in report.refused[0]
        assert sorted(read_groups(store).values()) == ["Bern", "Graz"]
        with pytest.raises(ValueError, match="has no column"):
            import_groups(store, tmp_path / "sites.csv", "stain")
        inputs = RoundInputs(store, store.rounds)
        inputs._rounds.sweep()
        assert sorted(e.group for e in inputs.build("supervised", 0).examples) == ["", "Bern", "Graz"]
    finally:
        store.close()


def test_choosing_references_starts_a_round_of_those_who_learn_from_them(tmp_path: Path):
    store = Store(tmp_path / "project")
    scheduler = Scheduler(store, SerialExecutor(), settings=LearnSettings(learners=("reference",)))
    try:
        scheduler.change(references=(3, 1))
        assert set(scheduler._asked) == {"reference"} and read_settings(store).references == (3, 1)
    finally:
        scheduler.close()
        store.close()


def test_the_temperature_is_twice_the_spread_of_a_sample_as_published():
    """DomainAdaptor divides by n - 1: of two classes the surer one then always has 0.6698 at its own temperature."""
    z = torch.tensor([3.0, -3.0]).view(1, 2, 1, 1)
    assert float((z / temperature(z)).softmax(1).max()) == pytest.approx(0.6698, abs=1e-4)
