"""Adapt a network to each group of images, and keep what does better on the group's held-out labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from learners.adapt import ADAPTERS, AUTO, AdaptationData
from learners.adapt.groups import groups_of
from learners.adapt.layers import batch_norms
from learners.prediction.evaluation import Evaluator
from learners.prediction.predict import Tile, probabilities
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import Box3

PATCHES, CONCURRENT_PATCHES = (
    16,
    8,
)  # patches of a group that an adapter sees, and how many of them in a batch
GAIN = 0.005  # of held-out Dice that an adaptation must bring to be kept


@dataclass(frozen=True)
class Adapted:
    """Predicts each image with the network of its group; other images with the network itself."""

    network: UNet
    plan: Plan
    by_image: dict[int, UNet]
    groups: dict[int, str]
    notes: tuple[str, ...] = ()

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        yield from probabilities(self.by_image.get(case.example.image_id, self.network), case, self.plan)


def adapt_groups(
    network: UNet, cases: Sequence[ImageReader], plan: Plan, classes: Classes, adapter: str = AUTO
) -> Adapted:
    """`adapter`: an adapter's name, or all of them. Groups without held-out labels stay as they are: nothing could
    tell whether an adaptation helps, and on some images each one harms. The network itself is not changed."""
    groups = groups_of(cases, {case.example.image_id: case.example.group for case in cases})
    by_image: dict[int, UNet] = {}
    notes: list[str] = []
    source = patches_of([case for case in cases if case.labelled], plan)
    for name in dict.fromkeys(groups.values()):
        mine = [case for case in cases if groups[case.example.image_id] == name]
        judge = Evaluator(mine, plan, classes)
        before = judge(network).dice
        if before is None or not source:
            continue
        scene = AdaptationData(patches_of([c for c in mine if c.held_out() is None] or mine, plan), source)
        best, chosen, score = None, "", before + GAIN
        for key in _candidates(network, adapter):
            changed = ADAPTERS[key].adapt(network, scene).eval()
            dice = judge(changed).dice
            if dice is not None and dice >= score:
                best, chosen, score = changed, key, dice
        if best is not None:
            by_image |= {case.example.image_id: best for case in mine}
            title = ADAPTERS[chosen].title
            notes.append(
                f"{name} ({len(mine)} images) is adapted by {title}: held-out Dice {before:.2f} to {score:.2f}"
            )
    return Adapted(network, plan, by_image, groups, tuple(notes))


def _candidates(network: UNet, adapter: str) -> list[str]:
    """What can change this network at all."""
    names = list(ADAPTERS) if adapter == AUTO else [adapter]
    return [name for name in names if batch_norms(network) or not ADAPTERS[name].batch_norm]


def patches_of(cases: Sequence[ImageReader], plan: Plan, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Batches of patches at the network's own size, spread over the images."""
    if not cases:
        return ()
    rng = np.random.default_rng(seed)
    patches = [_patch(cases[i % len(cases)], plan, rng) for i in range(PATCHES)]
    whole = torch.from_numpy(np.stack(patches)).to(plan.device)
    return tuple(whole.split(CONCURRENT_PATCHES if plan.dims == 2 else CONCURRENT_PATCHES // 2))


def _patch(case: ImageReader, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """(C, *patch) somewhere in the image; beyond its border pixels repeat."""
    size = plan.patch if plan.dims == 3 else (1, *plan.patch)
    starts = [int(rng.integers(0, max(1, n - s + 1))) for n, s in zip(case.example.shape, size)]
    region: Box3 = tuple(slice(a, min(a + s, n)) for a, s, n in zip(starts, size, case.example.shape))  # type: ignore[assignment]
    x = case.look(region)
    pads = [(0, 0), *((0, s - n) for s, n in zip(size, x.shape[1:]))]
    x = np.pad(x, pads, mode="edge")
    return x if plan.dims == 3 else x[:, 0]
