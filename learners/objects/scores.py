"""How well proposed objects agree with true ones: counts that add up over images, and what follows. Pure functions."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# An object matches another where their IoU is above the limit: above a half nothing can match twice.
LIMITS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MOSTLY = 0.5  # of an object lies in another one
PIECE = 0.1  # of a true object at least: what is smaller did not split it


@dataclass(frozen=True)
class ObjectCounts:
    """Of one class on some images. The scores are None where there is neither a true object nor a proposed one."""

    true: int = 0
    proposed: int = 0
    matched: tuple[int, ...] = (0,) * len(LIMITS)
    iou: float = 0.0  # summed over what matches at the first limit
    split: int = 0  # true objects that hold two proposed ones or more
    merged: int = 0  # proposed objects that hold two true ones or more
    miscounted: int = 0  # too many or too few on each image, summed
    images: int = 0

    def __add__(self, other: "ObjectCounts") -> "ObjectCounts":
        pairs = zip(self.matched, other.matched, strict=True)
        return ObjectCounts(
            self.true + other.true,
            self.proposed + other.proposed,
            tuple(a + b for a, b in pairs),
            self.iou + other.iou,
            self.split + other.split,
            self.merged + other.merged,
            self.miscounted + other.miscounted,
            self.images + other.images,
        )

    @property
    def precisions(self) -> tuple[float, ...] | None:
        """Average precision at each limit, as the Data Science Bowl 2018 counts it: TP / (TP + FP + FN)."""
        if not self.true + self.proposed:
            return None
        return tuple(m / (self.true + self.proposed - m) for m in self.matched)

    @property
    def ap50(self) -> float | None:
        return None if self.precisions is None else self.precisions[0]

    @property
    def mean_ap(self) -> float | None:
        """The mean over all limits."""
        return None if self.precisions is None else float(np.mean(self.precisions))

    @property
    def f1(self) -> float | None:
        total = self.true + self.proposed
        return 2 * self.matched[0] / total if total else None

    @property
    def panoptic(self) -> float | None:
        """Panoptic quality (Kirillov et al., CVPR 2019): the IoU of what matches, and of the others 0."""
        total = self.true + self.proposed
        return 2 * self.iou / total if total else None

    @property
    def count_error(self) -> float | None:
        """Too many or too few, as a share of the true ones."""
        return self.miscounted / self.true if self.true else None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ObjectCounts":
        """Raises TypeError or ValueError for what is no such counts."""
        out = cls(**{**values, "matched": tuple(int(m) for m in values["matched"])})
        if len(out.matched) != len(LIMITS):
            raise ValueError(f"there are {len(LIMITS)} limits, got {len(out.matched)} counts")
        return out


def count_objects(
    proposed: NDArray[np.integer], truth: NDArray[np.integer], known: NDArray[np.bool_]
) -> ObjectCounts:
    """Object numbers of one image, arrays of the same shape, 0 where no object is. Where not `known` nobody can tell:
    a proposed object that lies mostly there is not counted, and of others only the known part."""
    mine, theirs = _ranks(proposed), _ranks(truth * known)
    before = np.bincount(mine.ravel())
    mine = np.where(known, mine, 0)
    after = np.bincount(mine.ravel(), minlength=len(before))
    unclear = after <= MOSTLY * before
    mine = _ranks(np.where(unclear[mine], 0, mine))
    sizes = np.bincount(mine.ravel()), np.bincount(theirs.ravel())
    rows, columns, shared = _shared(mine, theirs)
    iou = shared / (sizes[0][rows] + sizes[1][columns] - shared)
    piece = (shared > MOSTLY * sizes[0][rows]) & (shared >= PIECE * sizes[1][columns])
    swallowed = shared > MOSTLY * sizes[1][columns]
    count = len(sizes[0]) - 1, len(sizes[1]) - 1
    return ObjectCounts(
        true=count[1],
        proposed=count[0],
        matched=tuple(int((iou > limit).sum()) for limit in LIMITS),
        iou=float(iou[iou > LIMITS[0]].sum()),
        split=int((np.bincount(columns[piece]) > 1).sum()),
        merged=int((np.bincount(rows[swallowed]) > 1).sum()),
        miscounted=abs(count[0] - count[1]),
        images=1,
    )


def _ranks(numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """The same objects, numbered 1, 2, ... without gaps."""
    found, ranks = np.unique(np.append(0, numbers), return_inverse=True)
    return np.asarray(ranks[1:].reshape(numbers.shape), np.int64)


def _shared(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Pairs of objects that touch: number of one, number of the other, voxels in common."""
    width = int(theirs.max(initial=0)) + 1
    both = (mine > 0) & (theirs > 0)
    codes, shared = np.unique(mine[both] * width + theirs[both], return_counts=True)
    return codes // width, codes % width, shared
