"""How large numbered objects are: at which scale a network looks at them, and what is too small to be one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.objects.distances import numbered_classes
from learners.spec import Example
from storage.arrays import TornFile, open_npy

DISTANCES, FLOWS = TOLD_BY = "distances", "flows"  # what a network may be asked to tell objects apart
LARGE = {
    2: 40.0,
    3: 16.0,
}  # voxels of the network that an object of the median size fills along a side at most
SMALL = {2: 9.0, 3: 5.0}  # and at least
MOST_SHRUNK, MOST_GROWN = 8.0, 2.0
STAYS = 1.6  # times the scale may be off before a model is trained anew
IMAGES = 60  # that are looked at, the newest ones
FEW_PERCENT, TINY = 5, 0.25  # what is smaller than a quarter of what nearly all objects exceed is none


@dataclass(frozen=True)
class ObjectScale:
    """Of the classes whose objects have numbers."""

    class_ids: tuple[int, ...]
    shrink: float  # voxels of the image, along each side, for one of the network's; below 1 they are enlarged
    smallest: float  # voxels of an object at least
    flat: bool  # the network sees pictures: every slice has objects of its own
    by_shape: bool = True  # masks are cut by their shape alone: what the network says tells no more apart yet
    told_by: str = DISTANCES  # or FLOWS

    @property
    def channels(self) -> int:
        """Of a network's answer."""
        return len(self.channel_names)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What they are before the sigmoid; of flows their half, from 0 to 1."""
        if self.told_by == DISTANCES:
            return "depth", "nearness"
        return tuple(f"flow along {axis}" for axis in ("yx" if self.flat else "zyx"))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ObjectScale":
        """Raises ValueError, TypeError or KeyError for what says nothing sensible."""
        ids = tuple(int(c) for c in values["class_ids"])
        numbers = float(values["shrink"]), float(values["smallest"])
        out = cls(
            ids,
            *numbers,
            bool(values["flat"]),
            bool(values["by_shape"]),
            str(values.get("told_by", DISTANCES)),
        )
        if out.told_by not in TOLD_BY:
            raise ValueError(f"objects are told apart by {' or '.join(TOLD_BY)}, got {out.told_by!r}")
        if not ids or not 1 / 8 <= out.shrink <= 64 or not out.smallest >= 0:
            raise ValueError(f"numbered objects have a class and are shrunk by 1/8 to 64, got {out}")
        return out


def object_scale(
    examples: Sequence[Example], dims: int, class_ids: tuple[int, ...], before: ObjectScale | None = None
) -> ObjectScale | None:
    """None where no object has a number. `before`: of the model that training goes on from, whose scale stays as long
    as it is about right: at another scale it would have to learn anew."""
    sizes, classes = _measured(examples, dims)
    counted = tuple(c for c in class_ids if c in classes)
    if not sizes or not counted:
        return None
    side = float(np.median(sizes)) ** (1 / dims)
    shrink = 1.0
    if side > LARGE[dims]:
        shrink = min(MOST_SHRUNK, side / LARGE[dims])
    if side < SMALL[dims]:
        shrink = max(1 / MOST_GROWN, side / SMALL[dims])
    shrink = round(shrink, 2)
    if before is not None and 1 / STAYS < shrink / before.shrink < STAYS:
        shrink = before.shrink
    smallest = round(TINY * float(np.percentile(sizes, FEW_PERCENT)), 1)
    return ObjectScale(counted, shrink, smallest, dims == 2, before is None or before.by_shape)


def same_objects(a: ObjectScale | None, b: ObjectScale | None) -> bool:
    """Whether two models look at images from as far away, for the same."""
    if a is not None and b is not None and a.told_by != b.told_by:
        return False
    return (1.0 if a is None else a.shrink) == (1.0 if b is None else b.shrink)


def _measured(examples: Sequence[Example], dims: int) -> tuple[list[int], set[int]]:
    """Voxels of each numbered object that may be learned from, of a picture's network on each slice; their classes."""
    sizes: list[int] = []
    classes: set[int] = set()
    numbered = [e for e in reversed(examples) if e.numbers is not None and not e.all_held]
    for example in numbered[:IMAGES]:
        assert example.numbers is not None and example.known is not None
        try:
            numbers, known = open_npy(example.numbers), open_npy(example.known)
        except TornFile:
            continue
        classes |= set(numbered_classes(known, numbers))
        for part in numbers if dims == 2 else (numbers,):
            sizes += _sizes(part)
    return sizes, classes


def _sizes(numbers: NDArray[np.uint16]) -> list[int]:
    counts = np.bincount(numbers.ravel())[1:]
    return [int(n) for n in counts[counts > 0]]
