"""Whether a proposal can make sense at all. The one place for what withholds a prediction from people.

Each guard compares with what people labelled, and says nothing while too little is: a withheld proposal that was right
costs more than one that is wrong and shown. `python -m benchmarks.trust --part withheld` measures both. Those guards
that need numbers alone are kept beside a model, for where it predicts outside of the app.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from learners.prediction.drawn import drawn_of
from learners.prediction.kinds import Kinds, Looks
from learners.prediction.label_guards import Classes3, LabelGuards
from learners.prediction.learnt import FoundAgain
from learners.prediction.reasons import Reason
from learners.spec import RoundSpec
from learners.training.data import ImageReader


@dataclass(frozen=True)
class Sense:
    """Judges one proposal after another against the labels that a round was given."""

    cases: Sequence[ImageReader]
    spec: RoundSpec
    again: FoundAgain = FoundAgain()  # what people labelled, by the model

    def against(self, case: ImageReader, proposed: Classes3, claimed: float | None = None) -> Reason | None:
        """Why these (Z, Y, X) classes are not to be shown; None where they may make sense. `claimed`: how sure the
        model is of them."""
        reason = self.guards.against(case, proposed, self._kinds.unlike)
        return reason if reason or self.again.makes_sense(claimed) else "unlearnt"

    @cached_property
    def guards(self) -> LabelGuards:
        """Those that know nothing but what was drawn."""
        return LabelGuards(drawn_of(self.cases), self.again.anything)

    @cached_property
    def _kinds(self) -> Kinds:
        return Kinds.of(Looks(self.spec), self.cases)
