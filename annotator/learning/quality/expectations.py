"""The Dice that is expected of a proposal: what its model claims, calibrated on images that people labelled."""

from functools import lru_cache

from annotator.learning.image_groups import read_groups
from annotator.learning.quality.held_out import images_held_in_part
from learners.prediction.calibration import Calibration, Evidence, calibrate, shares_right
from storage.predictions import Expected
from storage.store import Store

WIDEST = 0.5  # a range that says less is no news: "between 0.2 and 0.9" helps nobody


class Expectations:
    """Thread-safe; keeps nothing of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, learner: str, image_id: int, claimed: float | None) -> Expected | None:
        """None where the model claims nothing, where too few of its images were judged for any number to be true, or
        none of which it claimed about as much, and where the range would be too wide to say something."""
        calibration = _calibrated(tuple(self.evidence(learner)))
        if claimed is None or calibration is None or not calibration.covers(claimed):
            return None
        group = read_groups(self._store).get(image_id, "")
        middle, low, high = calibration.expected(claimed, group)
        if high - low > WIDEST:
            return None
        return Expected(round(middle, 4), round(low, 4), round(high, 4))

    def evidence(self, learner: str) -> list[Evidence]:
        """An entry for each image: held-out ones as the newest model does on them, then what people made of proposals,
        the newest of each image. Slices of images that taught are left out: a model does better there than on the new
        images for which it proposes."""
        taught = images_held_in_part(self._store)
        pairs = {
            row.image_id: (row.claimed, row.whole_dice)
            for row in self._store.rounds.corrections(learner)
            if row.claimed is not None and row.whole_dice is not None
        }
        pairs |= {
            row.image_id: (row.claimed, row.dice)
            for row in self._store.judging.judged(learner)
            if row.claimed is not None and row.image_id not in taught
        }
        groups = read_groups(self._store)
        return [
            Evidence(claimed, dice, groups.get(image_id, ""))
            for image_id, (claimed, dice) in pairs.items()
            if claimed is not None and dice is not None
        ]


@lru_cache(maxsize=8)
def _calibrated(evidence: tuple[Evidence, ...]) -> Calibration | None:
    """Once for all images of a round: how wide its range is costs a fit for each image that calibrates."""
    return calibrate(evidence)


def voxel_shares(store: Store, learner: str) -> list[float] | None:
    """How many voxels that a learner calls an object were right, for ten steps of its confidence; None where held-out
    labels do not tell."""
    row = store.rounds.newest(learner, "done")
    told = row.metrics.get("reliability") if row else None
    return shares_right(told["seen"], told["right"], told["images"]) if told else None
