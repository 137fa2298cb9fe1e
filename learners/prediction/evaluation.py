"""How good a network is on today's held-out labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.prediction.predict import Predictor, class_map
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import UNLABELLED

MAX_EVALUATED = 24  # held-out images looked at for one comparison


@dataclass(frozen=True)
class Evaluation:
    """Numbers of one network."""

    dice: float | None  # None: nothing is held out
    per_class: dict[int, float]

    def worse_than(self, other: "Evaluation | None") -> bool:
        """Where nothing can be judged the newer one is as good: it has seen more."""
        return (
            other is not None and self.dice is not None and other.dice is not None and self.dice < other.dice
        )


class Evaluator:
    """Looks at the same labels each time it is asked, so that two networks can be compared."""

    def __init__(self, cases: Sequence[ImageReader], plan: Plan, classes: Classes) -> None:
        self._plan, self._classes = plan, classes
        held = [(case, case.held_out()) for case in cases]
        self._held = [(case, known) for case, known in held if known is not None][:MAX_EVALUATED]

    def __call__(self, network: UNet | Predictor) -> Evaluation:
        """Dice over held-out labels; per class the mean over the images that have it."""
        scores = [self._score(network, case, known) for case, known in self._held]
        if not scores:
            return Evaluation(None, {})
        columns = np.array(scores)
        each = {
            c: float(np.nanmean(columns[:, i]))
            for i, c in enumerate(self._classes.ids)
            if not np.isnan(columns[:, i]).all()
        }
        return Evaluation(mean_dice(scores), each)

    def _score(
        self, network: UNet | Predictor, case: ImageReader, known: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        proposed = class_map(network, case, self._plan, self._classes)
        where = (known != UNLABELLED) & np.isin(known, (0, *self._classes.ids))
        return dice_of(overlaps(proposed, known, self._classes.ids, where))
