"""What people drew, in numbers that can be kept beside a model: guards against proposals that are nothing like it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.prediction.drawn import DrawnClass, DrawnObjects, Numbers, places_on, size_mm
from learners.prediction.reasons import Reason
from learners.training.bounded import read_json
from learners.training.data import ImageReader
from storage.arrays import BACKGROUND, UNLABELLED, write_bytes

FILE = "sense.json"
MIN_LABELLED = 4  # with fewer images nothing says how far those of one kind may differ
NEARLY_ALL = 0.8  # of an image: less is not everywhere
ODDS = 10.0  # times the odds of the fullest labelled slice; more where few images are labelled or vary
VARIED = 1.5  # times the range of labelled images' log odds
INSIDE = 0.1  # of a proposal's voxels at least look and lie as something that was drawn
COMPARABLE = 1.25  # times larger or smaller a volume may be than labelled ones for places to mean the same
SEEN_SLICES = 24  # slices of a proposal
Classes3 = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelGuards:
    """Judges one proposal after another against the labels that a round was given."""

    drawn: DrawnObjects
    learnt: bool = True  # the model finds again what people labelled, of some images (`FoundAgain`)

    def against(
        self, case: ImageReader, proposed: Classes3, unlike: Callable[[ImageReader], bool] | None = None
    ) -> Reason | None:
        """Why these (Z, Y, X) classes are not to be shown; None where they may make sense. `unlike`: whether an image
        is of a kind that nobody labelled, where somebody can tell."""
        shares = _shares(proposed)
        if self._everywhere(shares):
            return "everywhere"
        if unlike is not None and unlike(case):
            return "unlike"
        if shares and self._outside(case, proposed, shares):
            return "outside"
        return None if self.learnt else "unlearnt"

    def _everywhere(self, shares: dict[int, float]) -> bool:
        """One class, or all together."""
        told = [(share, self.drawn.classes.get(value)) for value, share in shares.items()]
        told.append((sum(shares.values()), self.drawn.all))
        return any(drawn is not None and share > _most(drawn) for share, drawn in told)

    def _outside(self, case: ImageReader, proposed: Classes3, shares: dict[int, float]) -> bool:
        """Nearly all of what is proposed, of all classes that enough images show."""
        told = {v: one for v in shares if (one := self.drawn.classes.get(v)) and len(one.low) >= MIN_LABELLED}
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
        if case.example.shape[0] == 1 or not self.drawn.sizes:
            return False
        ratio = size_mm(case) / np.array(self.drawn.sizes)
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


# beside a model


def save_guards(folder: Path, guards: LabelGuards) -> None:
    drawn = guards.drawn
    content = {
        "learnt": guards.learnt,
        "classes": {str(value): _class_as_json(one) for value, one in drawn.classes.items()},
        "all": _class_as_json(drawn.all),
        "sizes_mm": [size.tolist() for size in drawn.sizes],
    }
    write_bytes(folder / FILE, json.dumps(content).encode())


def read_guards(folder: Path) -> LabelGuards | None:
    """None where nothing is kept, as beside older models. Raises ValueError for a damaged file."""
    if not (folder / FILE).exists():
        return None
    try:
        content = read_json(folder / FILE)
        classes = {int(value): _class_from_json(told) for value, told in content["classes"].items()}
        sizes = tuple(np.array(size, np.float64).reshape(3) for size in content["sizes_mm"])
        drawn = DrawnObjects(classes, _class_from_json(content["all"]), sizes)
        return LabelGuards(drawn, bool(content["learnt"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{FILE} beside the model cannot be read ({error}); export it again") from error


def _class_as_json(drawn: DrawnClass) -> dict[str, Any]:
    """A place that nobody knows is null."""
    ends = {name: np.array(getattr(drawn, name), np.float64).reshape(-1, 4) for name in ("low", "high")}
    told = {name: np.where(np.isnan(each), None, each).tolist() for name, each in ends.items()}  # type: ignore[call-overload]
    return {"shares": [float(share) for share in drawn.shares], **told}


def _class_from_json(told: dict[str, Any]) -> DrawnClass:
    low, high = (list(np.array(told[name], np.float64).reshape(-1, 4)) for name in ("low", "high"))
    if len(low) != len(high):
        raise ValueError("low and high differ in length")
    return DrawnClass([float(share) for share in told["shares"]], low, high)
