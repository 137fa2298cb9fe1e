"""Small and rare objects: what the labels say of their size and number, and what follows for training and proposing.

Where objects cover less than a hundredth of a picture, patches of a picture's own pixels show either an object or its
neighbourhood, never both with what looks alike elsewhere, and a network proposes dozens of places for each true one.
Such pictures are looked at from further away, in larger patches, and only as much is proposed as people labelled.
`python -m benchmarks.trust --part small` measures what that is worth.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from learners.spec import Example
from learners.training.targets import OPEN_BACKGROUND
from storage.arrays import UNLABELLED, TornFile, open_npy

RARE = 0.01  # of pictures known nearly whole
NEARLY_WHOLE = 0.9  # of a picture known: it shows how much of it is object
SIDE = 15.0  # pixels of the network that an object of the median size fills, in height and width
MOST_SHRUNK = 6.0
PICTURES = 60  # that are looked at, the newest ones
FEW_PERCENT = 5  # of labelled objects are smaller than nearly all of them
SMALLEST = 0.25  # of that size: what is smaller is not proposed
MARGIN = 1.0  # over the root of the labelled pictures: by how much more may be object than on any of them
FOREGROUND_SHARE = 0.5  # of patches are centred on an object: more of the others than for ordinary objects
WEIGHT = (
    20.0  # of an object's voxel in the cross-entropy: with 4 few places were likelier than not after a minute
)
STAYS = 1.6  # times that size or share may change before a model is trained anew


@dataclass(frozen=True)
class RareObjects:
    """How pictures are looked at, and what may be proposed on one."""

    side: float  # pixels of a picture that an object of the median size fills, in height and width
    shrink: float  # pixels of a picture, along each side, for one of the network's
    smallest: float  # pixels of a picture that a proposed object has at least
    most: int  # objects proposed on a picture: as many as on an average labelled one
    share: float  # of a picture that is proposed at most

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RareObjects":
        """Raises ValueError, TypeError or KeyError for what says nothing sensible."""
        out = cls(
            float(values["side"]),
            float(values["shrink"]),
            float(values["smallest"]),
            int(values["most"]),
            float(values["share"]),
        )
        if not 1 <= out.shrink <= 64 or not out.side > 0 or out.most < 1:
            raise ValueError(f"a picture is shrunk by 1 to 64 and holds an object or more, got {out}")
        return out


def rare_objects(examples: Sequence[Example], before: RareObjects | None = None) -> RareObjects | None:
    """None where objects are not rare, or nothing tells. `before`: of the model that training goes on from, whose scale
    stays as long as it is about right: at another scale it would have to learn anew."""
    sizes, counts, shares = _measured(examples)
    limit = RARE if before is None else RARE * STAYS
    if not sizes or np.mean(shares) >= limit:
        return None
    side = math.sqrt(float(np.median(sizes)))
    shrink = round(min(MOST_SHRUNK, max(1.0, side / SIDE)), 2)
    if before is not None and 1 / STAYS < shrink / before.shrink < STAYS:
        shrink = before.shrink
    more = 1 + MARGIN / math.sqrt(len(counts))
    return RareObjects(
        side=round(side, 1),
        shrink=shrink,
        smallest=round(SMALLEST * float(np.percentile(sizes, FEW_PERCENT)), 1),
        most=max(1, round(float(np.mean(counts)))),
        share=round(more * max(shares), 6),
    )


def same_scale(a: RareObjects | None, b: RareObjects | None) -> bool:
    return (1.0 if a is None else a.shrink) == (1.0 if b is None else b.shrink)


def _measured(examples: Sequence[Example]) -> tuple[list[int], list[int], list[float]]:
    """Of the slices of axis 0 that are known nearly whole: the sizes of their objects in pixels, and how many there
    are and what they cover of each."""
    sizes: list[int] = []
    counts: list[int] = []
    shares: list[float] = []
    for known in _whole_slices(examples):
        pieces, count = ndimage.label((known > 0) & (known < OPEN_BACKGROUND))
        here = np.bincount(pieces.ravel())[1:]
        sizes += here.tolist()
        counts.append(count)
        shares.append(float(here.sum()) / known.size)
    return sizes, counts, shares


def _whole_slices(examples: Sequence[Example]) -> Iterator[NDArray[np.uint8]]:
    looked = 0
    for example in reversed(examples):
        if example.known is None or example.all_held or looked >= PICTURES:
            continue
        try:
            known = open_npy(example.known)
        except TornFile:
            continue
        held = {index for axis, index in example.held if axis == 0}
        for index in sorted({i for axis, i in example.slices if axis == 0} - held):
            plane = known[index]
            if (plane != UNLABELLED).mean() > NEARLY_WHOLE:
                looked += 1
                yield np.asarray(plane)
