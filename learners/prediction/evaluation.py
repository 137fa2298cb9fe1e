"""How good a network is on held-out labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.objects.judging import HeldObjects, added
from learners.objects.scores import ObjectCounts
from learners.prediction.calibration import BINS, count_right
from learners.prediction.committee import Committee
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.prediction.predict import Predicted, Predictor, predicted
from learners.spec import JudgedImage, Reliability
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import BACKGROUND, UNLABELLED

MAX_EVALUATED = 24  # held-out images looked at for one comparison


@dataclass(frozen=True)
class Evaluation:
    """Numbers of one network."""

    dice: float | None  # None: nothing is held out
    per_class: dict[int, float]
    images: tuple[JudgedImage, ...] = ()  # those of the core and others
    reliability: Reliability = Reliability()
    objects: dict[int, ObjectCounts] = field(
        default_factory=dict
    )  # classes with numbered objects, on the core

    def worse_than(self, other: "Evaluation | None") -> bool:
        """Where nothing can be judged the newer one is as good: it has seen more."""
        return (
            other is not None and self.dice is not None and other.dice is not None and self.dice < other.dice
        )


class Evaluator:
    """Looks at the same labels each time it is asked, so that two networks can be compared."""

    def __init__(self, cases: Sequence[ImageReader], plan: Plan, classes: Classes) -> None:
        self._plan, self._classes = plan, classes
        held = [(case, known) for case in cases if (known := case.held_out()) is not None]
        held.sort(key=lambda one: not one[0].example.core)  # those that count come first
        self._held = held[:MAX_EVALUATED]

    def __call__(self, network: UNet | Committee | Predictor) -> Evaluation:
        """Dice over the core's labels; per class the mean over the images that have it."""
        if not self._held:
            return Evaluation(None, {})
        bins, core, images = _Bins(), [], []
        objects: dict[int, ObjectCounts] = {}
        for case, known in self._held:
            found = predicted(network, case, self._plan, self._classes)
            scores = self._score(found, known)
            if case.example.core:
                core.append(scores)
                numbers = case.held_numbers()
                if numbers is not None:
                    held = HeldObjects(known, numbers, case.example.spacing_mm)
                    objects = added(objects, held.judge(found.values, found.numbers, self._classes.ids))
            bins.add(found, known, self._where(known))
            dice = mean_dice([scores])
            if dice is not None:
                images.append(JudgedImage(case.example.image_id, dice, found.claimed, case.example.core))
        return Evaluation(mean_dice(core), self._per_class(core), tuple(images), bins.counted(), objects)

    def _per_class(self, scores: Sequence[NDArray[np.float64]]) -> dict[int, float]:
        if not scores:
            return {}
        columns = np.array(scores)
        return {
            c: float(np.nanmean(columns[:, i]))
            for i, c in enumerate(self._classes.ids)
            if not np.isnan(columns[:, i]).all()
        }

    def _score(self, found: Predicted, known: NDArray[np.uint8]) -> NDArray[np.float64]:
        return dice_of(overlaps(found.values, known, self._classes.ids, self._where(known)))

    def _where(self, known: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(Z, Y, X) where a class or background is said."""
        where: NDArray[np.bool_] = np.isin(known, (BACKGROUND, *self._classes.ids)) & (known != UNLABELLED)
        return where


@dataclass
class _Bins:
    """Judged voxels that a model calls an object, by its confidence."""

    seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    images: int = 0

    def add(self, found: Predicted, known: NDArray[np.uint8], where: NDArray[np.bool_]) -> None:
        proposed = where & (found.values != BACKGROUND)
        if proposed.any():
            right = found.values[proposed] == known[proposed]
            seen, hits = count_right(found.confidence[proposed], right)
            self.seen, self.right, self.images = self.seen + seen, self.right + hits, self.images + 1

    def counted(self) -> Reliability:
        return Reliability(tuple(self.seen.tolist()), tuple(self.right.tolist()), self.images)
