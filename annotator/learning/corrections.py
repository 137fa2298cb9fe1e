"""What people changed about proposals, and what that says about how far the next ones can be believed."""

from collections.abc import Sequence
from pathlib import Path

from annotator.learning.round_inputs import Inputs
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from storage.arrays import UNLABELLED, TornFile, open_npy
from storage.fold import fold
from storage.rounds import Correction, Rounds
from storage.rows import LabelRow
from storage.store import Store

KNOWN_BY = 5  # corrections that count as much as the model's own word


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
            dice = proposal_dice(example.shape, newer, row.uncorrected[0], inputs.class_ids)
            if dice is not None:
                new = Correction(row.image_id, learner, row.seen_label, row.expected_dice, dice)
                self._rounds.add_correction(new)

    def calibrated(self, learner: str, expected: float | None) -> float | None:
        """The model's own word, moved by how wrong it was where people looked."""
        if expected is None:
            return None
        pairs = [(c.expected, c.dice) for c in self._rounds.corrections(learner) if c.expected is not None]
        if not pairs:
            return expected
        off = sum(dice - said for said, dice in pairs) / len(pairs)
        return min(1.0, max(0.0, expected + off * len(pairs) / (len(pairs) + KNOWN_BY)))


def proposal_dice(
    shape: tuple[int, int, int], newer: Sequence[LabelRow], proposed: Path, class_ids: Sequence[int]
) -> float | None:
    """What a proposal was worth where people spoke after it: mean Dice over classes; None where they said nothing."""
    known = fold(shape, newer).known()
    try:
        classes = open_npy(proposed)
    except TornFile:
        return None
    where = known != UNLABELLED
    return mean_dice([dice_of(overlaps(classes, known, class_ids, where))]) if where.any() else None
