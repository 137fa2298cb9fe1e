"""A classifier of slices from tags, whose maps say where: class activation maps with sub-class exploration.

WeakMedSAM's SCE: the positive slices of a class are clustered, and the clusters are a second thing to tell, so that
the map cannot live on what merely comes along with the class. Parent and child heads are 1 x 1 convolutions without
bias on the same embedding; the loss is BCE(parent) + 0.5 BCE(child). Only tagged slices that nothing is judged by
are clustered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from learners.cluster import k_means
from learners.methods.tags.features import CHANNELS

EMBEDDED = 32
CHILDREN = 8  # sub-classes of a class at most
PER_CHILD = 4  # positive slices that each needs
CHILD_WEIGHT = 0.5
SHARPNESS = 5.0  # of the pooling over places: between their mean and their most
BATCH = 32
RATE = 3e-3
UNKNOWN = -1.0


@dataclass(frozen=True)
class TaggedSlices:
    """Slices as a classifier sees them."""

    features: NDArray[np.float16]  # (N, CHANNELS, h, w)
    present: NDArray[np.float32]  # (N, K): 1 there, 0 not there, UNKNOWN

    def __post_init__(self) -> None:
        if len(self.features) != len(self.present):
            raise ValueError(f"{len(self.features)} slices need as many tags, got {len(self.present)}")


class ClassifierHead(nn.Module):
    """Input (B, CHANNELS, h, w); `classes` parents with CHILDREN + 1 children each, the first child is "not there"."""

    mean: Tensor  # (CHANNELS, 1, 1) of the features, and their spread
    spread: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("spread", torch.ones(CHANNELS, 1, 1))
        self.embed = nn.Conv2d(CHANNELS, EMBEDDED, 1)
        self.parent = nn.Conv2d(EMBEDDED, classes, 1, bias=False)
        self.child = nn.Conv2d(EMBEDDED, classes * (CHILDREN + 1), 1, bias=False)
        self.level = nn.Parameter(torch.zeros(classes))  # beside the map, not in it

    def look_at(self, features: Tensor) -> None:
        """Take the mean and spread of these features as the usual ones."""
        self.mean.copy_(features.mean((0, 2, 3))[:, None, None])
        self.spread.copy_(features.std((0, 2, 3))[:, None, None] + 1e-3)

    def embedding(self, features: Tensor) -> Tensor:
        return F.relu(self.embed((features - self.mean) / self.spread))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K) and (B, K, CHILDREN + 1) logits of slices."""
        seen = F.dropout(self.embedding(features), 0.2, self.training)
        children = pooled(self.child(seen)).reshape(len(seen), self.classes, CHILDREN + 1)
        return pooled(self.parent(seen)) + self.level, children


def pooled(maps: Tensor) -> Tensor:
    """(B, K, h, w) to (B, K): a soft maximum, so that a small object is enough."""
    flat = maps.flatten(2)
    return (torch.logsumexp(SHARPNESS * flat, 2) - np.log(flat.shape[2])) / SHARPNESS


def maps_of(
    head: ClassifierHead, features: NDArray[np.float16]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of one slice: (K, h, w) activation maps and (K,) probabilities that the class is there."""
    x = torch.from_numpy(features.astype(np.float32))[None]
    head.eval()
    with torch.inference_mode():
        maps = head.parent(head.embedding(x))
        chance = (pooled(maps) + head.level).sigmoid()
    return maps[0].numpy(), chance[0].numpy()


def child_targets(tagged: TaggedSlices, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, K, CHILDREN + 1) one-hot: index 0 exactly for negative slices, else 1 + the cluster; zeros where unknown
    or where there are too few positive slices to cluster."""
    n, classes = tagged.present.shape
    out = np.zeros((n, classes, CHILDREN + 1), np.float32)
    looks = tagged.features.astype(np.float32).mean((2, 3))
    looks = (looks - looks.mean(0)) / (looks.std(0) + 1e-3)
    for k in range(classes):
        there = np.flatnonzero(tagged.present[:, k] == 1)
        groups = min(CHILDREN, len(there) // PER_CHILD)
        if groups < 2:
            continue
        out[there, k, 1 + k_means(looks[there], groups, rng)] = 1
        out[tagged.present[:, k] == 0, k, 0] = 1
    return out


def loss_of(parent: Tensor, child: Tensor, present: Tensor, children: Tensor) -> Tensor:
    """Logits (B, K) and (B, K, C), tags (B, K) and child targets (B, K, C); what is unknown counts for nothing."""
    known = (present != UNKNOWN).float()
    target = torch.where(present > 0, 1.0, 0.0)
    own = (F.binary_cross_entropy_with_logits(parent, target, reduction="none") * known).sum()
    explored = (children.sum(2) > 0).float()
    each = F.binary_cross_entropy_with_logits(child, children, reduction="none").mean(2)
    return own / known.sum().clamp_min(1) + CHILD_WEIGHT * (each * explored).sum() / explored.sum().clamp_min(
        1
    )


def fit(head: ClassifierHead, tagged: TaggedSlices, seed: int, left: Callable[[int, float], bool]) -> int:
    """Train in place while `left(step, loss)`; the steps taken. Deterministic for a seed and a number of steps."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    features = torch.from_numpy(tagged.features.astype(np.float32))
    present = torch.from_numpy(tagged.present)
    children = torch.from_numpy(child_targets(tagged, rng))
    head.look_at(features)
    rates = torch.optim.AdamW(head.parameters(), RATE, weight_decay=1e-2)
    head.train()
    step, loss = 0, torch.zeros(())
    while left(step, float(loss)):
        rows = torch.from_numpy(rng.integers(len(features), size=min(BATCH, 2 * len(features))))
        x = features[rows]
        x = x.flip(-1) if rng.random() < 0.5 else x
        parent, child = head(x)
        loss = loss_of(parent, child, present[rows], children[rows])
        rates.zero_grad(set_to_none=True)
        loss.backward()
        rates.step()
        loss = loss.detach()
        step += 1
    return step


def save_head(path: Path, head: ClassifierHead) -> None:
    save_file({name: value.contiguous() for name, value in head.state_dict().items()}, path)


def load_head(path: Path | None, classes: int) -> ClassifierHead:
    """A trained head for this number of classes, else a fresh one."""
    head = ClassifierHead(classes)
    if path is not None and path.is_file():
        state = load_file(path)
        if all(name in state and state[name].shape == v.shape for name, v in head.state_dict().items()):
            head.load_state_dict(state)
    return head
