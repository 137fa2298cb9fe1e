"""Whether a proposal can make sense at all. The one place for what withholds a prediction from people.

Each guard compares with what people labelled, and says nothing while too little is: a withheld proposal that was right
costs more than one that is wrong and shown. `python -m benchmarks.trust --part withheld` measures both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from learners.prediction.drawn import DrawnClass, DrawnObjects, Numbers, drawn_of, places_on, size_mm
from learners.prediction.kinds import MIN_LABELLED, Kinds, Looks
from learners.prediction.reasons import Reason
from learners.spec import RoundSpec
from learners.training.data import ImageReader
from storage.arrays import BACKGROUND, UNLABELLED

NEARLY_ALL = 0.8  # of an image: less is not everywhere
ODDS = 10.0  # times the odds of the fullest labelled slice; more where few images are labelled or vary
VARIED = 1.5  # times the range of labelled images' log odds
INSIDE = 0.1  # of a proposal's voxels at least look and lie as something that was drawn
COMPARABLE = 1.25  # times larger or smaller a volume may be than labelled ones for places to mean the same
SEEN_SLICES = 24  # slices of a proposal
Classes3 = NDArray[np.uint8]


@dataclass(frozen=True)
class Sense:
    """Judges one proposal after another against the labels that a round was given."""

    cases: Sequence[ImageReader]
    spec: RoundSpec

    def against(self, case: ImageReader, proposed: Classes3) -> Reason | None:
        """Why these (Z, Y, X) classes are not to be shown; None where they may make sense."""
        shares = _shares(proposed)
        if self._everywhere(shares):
            return "everywhere"
        if self._kinds.unlike(case):
            return "unlike"
        return "outside" if shares and self._outside(case, proposed, shares) else None

    @cached_property
    def _drawn(self) -> DrawnObjects:
        return drawn_of(self.cases)

    @cached_property
    def _kinds(self) -> Kinds:
        return Kinds.of(Looks(self.spec), self.cases)

    def _everywhere(self, shares: dict[int, float]) -> bool:
        """One class, or all together."""
        told = [(share, self._drawn.classes.get(value)) for value, share in shares.items()]
        told.append((sum(shares.values()), self._drawn.all))
        return any(drawn is not None and share > _most(drawn) for share, drawn in told)

    def _outside(self, case: ImageReader, proposed: Classes3, shares: dict[int, float]) -> bool:
        """Nearly all of what is proposed, of all classes that enough images show."""
        told = {
            v: one for v in shares if (one := self._drawn.classes.get(v)) and len(one.low) >= MIN_LABELLED
        }
        if len(told) < len(shares):
            return False
        inside, total, places_say = 0, 0, self._comparable(case)
        for z in np.linspace(0, len(proposed) - 1, min(SEEN_SLICES, len(proposed))).round().astype(int):
            for value, one in told.items():
                places = places_on(case, 0, int(z), proposed[z] == value)
                inside += int(_inside(places, one, places_say).sum())
                total += len(places)
        return total > 0 and inside < INSIDE * total

    def _comparable(self, case: ImageReader) -> bool:
        """Whether a volume shows about as much as every labelled one: then places are comparable."""
        if case.example.shape[0] == 1 or not self._drawn.sizes:
            return False
        ratio = size_mm(case) / np.array(self._drawn.sizes)
        return bool((ratio < COMPARABLE).all() and (ratio > 1 / COMPARABLE).all())


def _shares(proposed: Classes3) -> dict[int, float]:
    counts = sum((np.bincount(cut.ravel(), minlength=256) for cut in proposed), np.zeros(256, np.int64))
    return {
        int(v): counts[v] / proposed.size for v in np.flatnonzero(counts) if v not in (BACKGROUND, UNLABELLED)
    }


def _most(drawn: DrawnClass) -> float:
    """The share of an image up to which a class may make sense; 1 where no slice tells."""
    if not drawn.shares:
        return 1.0
    shares = np.clip(drawn.shares, 1e-4, 1 - 1e-4)
    odds = np.log(shares / (1 - shares))
    more = max(np.log(ODDS) * (1 + 1 / len(odds)), VARIED * float(np.ptp(odds)))
    return max(NEARLY_ALL, float(1 / (1 + np.exp(-(odds.max() + more)))))


def _inside(places: Numbers, drawn: DrawnClass, places_say: bool) -> NDArray[np.bool_]:
    """(N,) within what was drawn, and as far beyond as one labelled image lies beyond all others."""
    low, high = np.array(drawn.low), np.array(drawn.high)
    whole = np.isfinite(low).all(1)
    if places_say and whole.sum() >= MIN_LABELLED:
        low, high, some = low[whole], high[whole], places
    else:
        low, high, some = low[:, :1], high[:, :1], places[:, :1]
    (least, less), (more, most) = np.sort(low, 0)[:2], np.sort(high, 0)[-2:]
    return np.asarray(((some >= least - (less - least)) & (some <= most + (most - more))).all(1))
