"""What people changed about proposals: kept, so that the next ones are believed as far as these deserved."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.learning.quality.unaided import SlicePlace, unaided_of
from annotator.learning.round_inputs import Inputs
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.training.targets import only_slices
from storage.arrays import UNLABELLED, TornFile, open_npy, plane
from storage.fold import fold
from storage.rounds import Correction, Rounds
from storage.store import Store

WHOLE_SLICE = 0.9  # of a slice said anew: its proposal was judged, and not only where somebody saw a fault


class Corrections:
    def __init__(self, store: Store, rounds: Rounds) -> None:
        self._store, self._rounds = store, rounds

    def note(self, learner: str, inputs: Inputs) -> None:
        """Compare the last proposals with what people said after them, once for each proposal."""
        for example in inputs.examples:
            if not example.fresh:
                continue
            row = self._store.predictions.newest(example.image_id, learner)
            if row is None or self._rounds.has_correction(row.image_id, learner, row.seen_label):
                continue
            newer = [label for label in self._store.labels(row.image_id) if label.id > row.seen_label]
            known = fold(example.shape, newer).known()
            dice = proposal_dice(known, row.uncorrected[0], inputs.class_ids)
            if dice is not None:
                places = {(label.axis, label.index) for label in newer} & unaided_of(
                    self._store, row.image_id
                )
                whole = proposal_dice(whole_slices(known, places), row.uncorrected[0], inputs.class_ids)
                new = Correction(row.image_id, learner, row.seen_label, row.claimed, dice, whole)
                self._rounds.add_correction(new)


def proposal_dice(known: NDArray[np.uint8], proposed: Path, class_ids: Sequence[int]) -> float | None:
    """What a proposal was worth where people spoke after it, (Z, Y, X): mean Dice over classes; None where they said
    nothing."""
    where = known != UNLABELLED
    try:
        classes = open_npy(proposed)
    except TornFile:
        return None
    return mean_dice([dice_of(overlaps(classes, known, class_ids, where))]) if where.any() else None


def whole_slices(known: NDArray[np.uint8], places: Collection[SlicePlace]) -> NDArray[np.uint8]:
    """(Z, Y, X) what is known on those slices that people spoke about wholly, UNLABELLED elsewhere. Strokes alone would
    make every proposal look as bad as its worst place."""
    wholly = [at for at in sorted(places) if (plane(known, *at) != UNLABELLED).mean() >= WHOLE_SLICE]
    return only_slices(known, wholly)
