"""(y, w): how what people said becomes a class for each voxel and how far to trust it, also over time.

A person is trusted wholly. A propagated voxel is trusted the less, the further the nearest slice is that a person
labelled, and the longer it has been trained on (Cai et al., "Orthogonal Annotation Benefits Barely-supervised Medical
Image Segmentation", CVPR 2023: dense to sparse). A pseudo-label has the trust that the method's own rule gives it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.arrays import BACKGROUND, UNLABELLED

# In a target file: background on a slice that was completed before a later class existed. It says "background, or
# a class that came later", never "not the new class".
OPEN_BACKGROUND = 254


@dataclass(frozen=True)
class Target:
    """What is known about voxels of one image or patch."""

    y: NDArray[np.int16]  # class index 0..K-1, OPEN_BACKGROUND, or UNLABELLED
    w: NDArray[np.float32]  # trust: 0 unknown, 1 a person said so


@dataclass(frozen=True)
class Classes:
    """The project's classes as a network's channels: background is channel 0."""

    ids: tuple[int, ...]  # channel i + 1 is class ids[i]

    def __post_init__(self) -> None:
        if not self.ids or sorted(set(self.ids)) != sorted(self.ids) or BACKGROUND in self.ids:
            raise ValueError(f"a learner needs one class or more, each once, got {self.ids}")

    def __len__(self) -> int:
        """Channels, background included."""
        return len(self.ids) + 1

    def to_channels(self) -> NDArray[np.int16]:
        """(256,) table from a label value to a channel; classes the network lacks are ignored."""
        table = np.full(256, UNLABELLED, np.int16)
        table[BACKGROUND], table[OPEN_BACKGROUND] = BACKGROUND, OPEN_BACKGROUND
        table[list(self.ids)] = np.arange(1, len(self.ids) + 1)
        return table

    def to_values(self) -> NDArray[np.uint8]:
        """(K,) table from a channel to a label value."""
        return np.array([BACKGROUND, *self.ids], np.uint8)


def target_of(known: NDArray[np.uint8], classes: Classes) -> Target:
    """From label values of any shape; what nobody said has trust 0."""
    y = classes.to_channels()[known]
    return Target(y, (y != UNLABELLED).astype(np.float32))


def without_slices(known: NDArray[np.uint8], held: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """(Z, Y, X) that says nothing on the held-out (axis, index) slices; a copy where there are any."""
    if not held:
        return known
    out = np.array(known)
    for axis, index in held:
        out[(slice(None),) * axis + (index,)] = UNLABELLED
    return out


def only_slices(known: NDArray[np.uint8], held: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """A (Z, Y, X) copy that says something on the held-out slices alone."""
    out = np.full(known.shape, UNLABELLED, np.uint8)
    for axis, index in held:
        place = (slice(None),) * axis + (index,)
        out[place] = known[place]
    return out


# trust over time

PER_SLICE = 0.95  # trust in a propagated voxel falls to this share with each slice, at first
LIFE = 6.0  # rounds after which nothing propagated is trusted any more


@dataclass(frozen=True)
class TrustAt:
    """How far propagated voxels are trusted now: `base` to the power of the distance in slices."""

    base: float = PER_SLICE
    axes: tuple[int, ...] = (0, 1, 2)  # the planes whose labelled slices count


def down(t: float, end: float) -> float:
    """1 at 0, 0 at `end`, a half cosine between."""
    return 0.5 * (math.cos(math.pi * min(max(t / end, 0.0), 1.0)) + 1)


def up(t: float, end: float) -> float:
    """0.0067 at 0, 1 at `end`: exp(-5 (1 - t)^2), as ramps of pseudo-labels usually are."""
    return math.exp(-5 * (1 - min(max(t / end, 0.0), 1.0)) ** 2)


def trust_at(rounds: float, axes: tuple[int, ...] = (0, 1, 2)) -> TrustAt:
    """After so many rounds of training on a fill, of which the last may be a part."""
    return TrustAt(min(PER_SLICE, down(rounds, LIFE)), axes)


def propagated_trust(
    region: tuple[slice, slice, slice],
    slices: Sequence[tuple[int, int]],
    held: Sequence[tuple[int, int]],
    trust_now: TrustAt,
) -> NDArray[np.float32]:
    """(z, y, x) trust in the propagated voxels of a region of an image, before the propagator's own confidence.

    `slices`: the labelled (axis, index), of which those in `held` are held out: a voxel that is nearer to one of
    them than to all others was mostly propagated from it, and is not trusted at all.
    """
    trained = [s for s in slices if s not in held and s[0] in trust_now.axes]
    far = slices_away(region, trained).clip(
        1
    )  # on a labelled slice a voxel that nobody named is no better known
    trust = np.where(np.isinf(far), 0, np.float32(trust_now.base) ** far)
    if held:
        trust[slices_away(region, held) < slices_away(region, [s for s in slices if s not in held])] = 0
    return trust.astype(np.float32)


def slices_away(region: tuple[slice, slice, slice], slices: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """(z, y, x) how many slices further the nearest of these (axis, index) is; infinite where there is none."""
    z, y, x = (slices_along(np.arange(r.start, r.stop), axis, slices) for axis, r in enumerate(region))
    far: NDArray[np.float32] = np.minimum(np.minimum(z[:, None, None], y[:, None]), x)
    return far


def slices_along(
    places: NDArray[np.int64], axis: int, slices: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """(n,) how far these places along an axis are from the nearest of its slices; infinite without any."""
    at = np.array([index for a, index in slices if a == axis])
    if not len(at):
        return np.full(len(places), np.inf, np.float32)
    far: NDArray[np.float32] = np.abs(places[:, None] - at[None]).min(1).astype(np.float32)
    return far


def with_fill(
    said: Target,
    filled: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    trust: NDArray[np.float32],
    classes: Classes,
) -> Target:
    """What people said, and what was propagated (label values, 255 certain) where they said nothing."""
    proposed = target_of(filled, classes)
    unsaid = said.w == 0
    w = proposed.w * trust * (confidence.astype(np.float32) / 255)
    return Target(np.where(unsaid, proposed.y, said.y), np.where(unsaid, w, said.w).astype(np.float32))
