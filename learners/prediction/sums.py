"""Sums over an image, fed tile by tile on the device: what rankers and the expected Dice need of its probabilities."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.prediction.ensemble import SnapshotEnsemble
from storage.arrays import Box3

LENIENT, STRICT = 0.3, 0.7  # probabilities of a class: an object that both draw alike has a clear outline
STEADY = 2 / 3  # how much of a model's word that is; the rest is the soft Dice


@dataclass
class Claim:
    """How sure a model is of the objects that it proposes, from sums over its tiles: for each class (K,) voxels and
    probabilities."""

    classes: int
    sizes: NDArray[np.float64] = field(init=False)  # voxels of the class map
    inside: NDArray[np.float64] = field(init=False)  # p summed over them
    everywhere: NDArray[np.float64] = field(init=False)  # p summed over the image
    strict: NDArray[np.float64] = field(init=False)  # voxels of at least STRICT
    lenient: NDArray[np.float64] = field(init=False)  # voxels of at least LENIENT

    def __post_init__(self) -> None:
        for name in ("sizes", "inside", "everywhere", "strict", "lenient"):
            setattr(self, name, np.zeros(self.classes))

    def add(self, p: Tensor, best: Tensor) -> None:
        """One tile: (K, z, y, x) probabilities and its class map, on one device."""
        rows = p.flatten(1)
        chosen = best.flatten()[None] == torch.arange(len(p), device=p.device)[:, None]
        counted = [
            part.sum(1, dtype=torch.float64)
            for part in (chosen, rows * chosen, rows, rows >= STRICT, rows >= LENIENT)
        ]
        sizes, inside, everywhere, strict, lenient = torch.stack(counted).cpu().numpy()
        self.sizes += sizes
        self.inside += inside
        self.everywhere += everywhere
        self.strict += strict
        self.lenient += lenient

    def leave_out(self, channels: NDArray[np.int16], sure: NDArray[np.floating]) -> None:
        """Voxels that are not proposed after all: of each (N,) what it was and how sure, in 0..1."""
        gone = np.bincount(channels, sure, self.classes)
        self.sizes -= np.bincount(channels, minlength=self.classes)
        self.inside -= gone
        self.everywhere -= gone
        self.strict -= np.bincount(channels[sure >= STRICT], minlength=self.classes)
        self.lenient -= np.bincount(channels[sure >= LENIENT], minlength=self.classes)

    @property
    def said(self) -> float | None:
        """0..1; None where nothing is proposed. Two signs together rank images by their true Dice better than either,
        and better than the mean confidence (docs/measured/calibration.md): how much of an object changes between a
        lenient and a strict threshold, and the soft Dice, which also knows what the model leaves out."""
        there = self.sizes[1:] > 0
        if not there.any():
            return None
        steady, soft = (
            _dice(*(part[1:][there] for part in parts))
            for parts in (
                (self.strict, self.strict, self.lenient),
                (self.inside, self.everywhere, self.sizes),
            )
        )
        return float(np.mean(STEADY * steady + (1 - STEADY) * soft))


def _dice(
    both: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 2 * both / np.maximum(one + other, 1e-6)


@dataclass
class Sums:
    """What rankers and the expected Dice need of one image, without its probabilities. Axes z, y, x."""

    shape: tuple[int, int, int]
    classes: int
    entropy: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,), nats, over all classes
    doubt: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): 1 - (best - second)
    per_class: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n, K): p * entropy
    foreground: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): voxels
    contour: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): voxels at an edge
    claim: Claim = field(init=False)
    features: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (D,) mean of the coarsest
    seen: int = 0
    members: SnapshotEnsemble | None = None  # where snapshots were asked too

    def __post_init__(self) -> None:
        for name in ("entropy", "doubt", "foreground", "contour"):
            setattr(self, name, [np.zeros(n) for n in self.shape])
        self.per_class = [np.zeros((n, self.classes)) for n in self.shape]
        self.claim = Claim(self.classes)

    def add(self, at: Box3, p: Tensor, best: Tensor) -> None:
        """One tile: (K, z, y, x) probabilities and its class map, on one device."""
        entropy = -(p * p.clamp_min(1e-8).log()).sum(0)
        maps = torch.stack([entropy, _doubt(p), (best > 0).float(), _edges(best).float(), *(p * entropy)])
        rows = maps.sum(3)
        for axis, along in enumerate((rows.sum(2), rows.sum(1), maps.sum((1, 2)))):
            found = along.double().cpu().numpy()
            self.entropy[axis][at[axis]] += found[0]
            self.doubt[axis][at[axis]] += found[1]
            self.foreground[axis][at[axis]] += found[2]
            self.contour[axis][at[axis]] += found[3]
            self.per_class[axis][at[axis]] += found[4:].T
        self.claim.add(p, best)

    def leave_out(
        self, out: NDArray[np.bool_], channels: NDArray[np.int16], sure: NDArray[np.float64]
    ) -> None:
        """(Z, Y, X) voxels that are not proposed after all, and of each (N,) what it was and how sure, in 0..1."""
        self.claim.leave_out(channels, sure)
        for axis in range(3):
            self.foreground[axis] -= out.sum(tuple(a for a in range(3) if a != axis))

    def add_features(self, mean: NDArray[np.float32]) -> None:
        self.features = mean.astype(np.float64) if not self.seen else self.features + mean
        self.seen += 1


def _doubt(p: Tensor) -> Tensor:
    """(K, z, y, x) to (z, y, x): 1 less what lies between the best class and the second."""
    first, second = p[0], torch.full_like(p[0], -1)
    for each in p[1:]:
        second = torch.maximum(second, torch.minimum(first, each))
        first = torch.maximum(first, each)
    return 1 - (first - second)


def _edges(best: Tensor) -> Tensor:
    """Voxels whose next neighbour along some axis is of another class."""
    edge = torch.zeros_like(best, dtype=torch.bool)
    edge[:-1] |= best[:-1] != best[1:]
    edge[:, :-1] |= best[:, :-1] != best[:, 1:]
    edge[:, :, :-1] |= best[:, :, :-1] != best[:, :, 1:]
    return edge
