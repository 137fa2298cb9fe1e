"""What pseudo-labels weigh beside labels in a step, as the papers of the methods have it (method cards 1, 2 and 4)."""

from dataclasses import replace

import pytest
import torch

from learners import LEARNERS
from learners.training.augment import Views
from learners.training.losses import Sample
from learners.training.trainer import Part, StepContext

SIDES = (12, 18)
LABELLED = 100  # intensities from here on: unlabelled


class _Plain(Views):
    def strong(self, sample, rng):
        return sample


def painted(count: int, start: int) -> Sample:
    """Each image has its own origin."""
    src = torch.arange(start, start + count).view(-1, 1, 1).expand(count, *SIDES).clone()
    ones = torch.ones(src.shape)
    return Sample(src[:, None].float(), src % 2, ones, ones, src=src)


def parts_of(name: str, batch: int, progress: float = 1.0) -> list[Part]:
    """Of a step whose gate has been open for long, all pseudo-labels sure."""
    recipe = LEARNERS[name].recipe()
    context = StepContext(torch.Generator().manual_seed(1), weight=recipe.weight * progress, views=_Plain())
    labelled, unlabelled = painted(batch, 0), painted(batch, LABELLED)
    p = torch.nn.functional.one_hot(unlabelled.y, 2).movedim(-1, 1).float()
    assert recipe.select is not None and recipe.mix is not None
    return recipe.mix(labelled, recipe.select(unlabelled, p, context), context)


def weighs(parts: list[Part], *, pseudo: bool) -> float:
    """The factor of the mean loss of these voxels in the loss of a step: each region is normalised by itself."""
    total = 0.0
    for part in parts:
        sample = part.sample
        region = torch.zeros_like(sample.w) if sample.region is None else sample.region
        for one in torch.unique(region):
            assert sample.src is not None
            here = (region == one) & ((sample.src >= LABELLED) == pseudo)
            if here.any():
                mean = sample.w[here].sum() / sample.v[region == one].sum()
                total += part.factor * float(mean) / len(torch.unique(region))
    return total


@pytest.mark.parametrize(("name", "published"), [("bcp", 0.5), ("unimatch", 1.0), ("stpp", 1.0)])
@pytest.mark.parametrize("batch", [2, 4])
def test_pseudo_labels_weigh_what_the_paper_says_beside_labels(name, published, batch):
    parts = parts_of(name, batch)
    if name == "stpp":  # holes teach nothing: they are left out of the count
        parts = [replace(p, sample=replace(p.sample, w=p.sample.v)) for p in parts]
        parts = [replace(p, sample=p.sample.of(slice(1, 2))) for p in parts]
    assert weighs(parts, pseudo=True) / weighs(parts, pseudo=False) == pytest.approx(published, abs=0.01)
    assert weighs(parts, pseudo=False) == pytest.approx(1)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_step_of_bcp_shows_all_that_was_drawn(batch):
    seen = torch.cat([part.sample.src.flatten() for part in parts_of("bcp", batch)])
    assert torch.bincount(seen, minlength=LABELLED)[:batch].tolist() == [SIDES[0] * SIDES[1]] * batch
    assert torch.bincount(seen)[LABELLED:].tolist() == [SIDES[0] * SIDES[1]] * batch


def test_while_bcps_gate_opens_labels_weigh_as_they_will():
    for progress in (0.1, 0.5, 1.0):
        parts = parts_of("bcp", 2, progress)
        assert weighs(parts, pseudo=False) == pytest.approx(1)
        assert weighs(parts, pseudo=True) == pytest.approx(0.5 * progress, abs=0.01)
