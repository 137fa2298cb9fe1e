"""The built-in prompt model: our trained network, with the training-free one beside it for where it doubts.

One or two clicks say little about what an object is. While the network doubts its own answer to them, the other is
asked too: it goes first where it expects clearly more of its mask, and is the next candidate elsewhere. From the third
click on, and for boxes and strokes, the network was ahead on every set, and asking the other would only cost time.
Whoever leaves a click on the wrong side steps back.

A box that was drawn loosely is tried tighter, as long as the network expects a better mask of it: trained on boxes
whose sides are off by a tenth, it fills one that is off by more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.batching import Asked, Looking, alone, in_step
from models.clicknet.model import ClickNet
from models.clicks import Clicks, clicks_of
from models.graphcut.model import GraphCut
from models.prompt import Embedding, MaskPrediction, Prompts, tighter

# Chosen with `python -m benchmarks.prompt_doubt` on training splits (480 objects of eight sets): the mean IoU of the
# first two clicks is the network's alone, the worst set 0.003 behind it. Asking more often gained nothing, also in
# pictures changed into looks that no training saw (`--look`).
DOUBT = 0.5  # of the network's own estimate of IoU; below it the other is asked
LEAD = -0.1  # by which the other's estimate may be lower and still go first; negative: must be higher
OPEN_CLICKS = 2  # more than so many settle what is meant
# Chosen on training splits (128 objects of eight sets; `python -m benchmarks.prompt_boxes`), IoU of the network alone
# and with this: exact boxes 0.787 and 0.787; sides 10 % too far out 0.678 and 0.712, 20 % 0.527 and 0.621.
TIGHTER = (0.07, 0.14)  # of a box's height and width, taken off each side
BETTER = 0.05  # by which a tighter box's estimate of IoU must be higher
SAME = 0.9  # IoU above which two masks are one candidate
CANDIDATES = 4


@dataclass(frozen=True)
class Candidate:
    mask: NDArray[np.bool_]
    score: float
    wrong: int  # clicks and points of strokes on the wrong side of it


class BuiltIn:
    """Deterministic, no state, nothing to download."""

    def __init__(self, weights: Path | None = None, adapter: Path | None = None) -> None:
        """`adapter`: the network's late layers as they were tuned on a project's labels."""
        self._network, self._classical = ClickNet(weights, adapter=adapter), GraphCut()
        self.model_id = f"builtin({self._network.model_id},{self._classical.model_id})"

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Keeps the (H, W, 3) picture as each of the two wants it; costs next to nothing."""
        network, classical = self._network.encode(image), self._classical.encode(image)
        return Embedding(self.model_id, network.shape, {**network.arrays, **classical.arrays})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Up to CANDIDATES masks, best first. Raises ValueError where nothing says what the object is."""
        return alone(self._looking(embedding, prompts), self._network.see)

    def predict_together(self, asked: Sequence[Asked]) -> list[MaskPrediction | Exception]:
        """As `BatchedModel` says."""
        return in_step([self._looking(*one) for one in asked], self._network.see)

    def _looking(self, embedding: Embedding, prompts: Prompts) -> Looking[MaskPrediction]:
        if embedding.model_id != self.model_id:
            raise ValueError(f"this embedding was made by {embedding.model_id}, not by {self.model_id}")
        if not points_at_something(prompts):
            raise ValueError("nothing points at an object yet: click on it, or draw a box around it")
        clicks = clicks_of(prompts, embedding.shape)
        ranked = yield from self._seen(_part(embedding, self._network.model_id), prompts, clicks)
        if in_doubt(ranked[0], prompts):
            other = self._classical.predict(_part(embedding, self._classical.model_id), prompts)
            ranked = together(ranked, candidates(other, clicks)[0])
        return distinct(ranked)

    def _seen(self, embedding: Embedding, prompts: Prompts, clicks: Clicks) -> Looking[list[Candidate]]:
        """The network's masks, best first; of a box alone, also what it sees in a tighter one."""
        ranked = candidates((yield from self._network.looking(embedding, prompts)), clicks)
        if prompts.box is None or prompts.labels or prompts.scribbles or prompts.mask is not None:
            return ranked
        for share in TIGHTER:
            closer = replace(prompts, box=tighter(prompts.box, share))
            found = candidates((yield from self._network.looking(embedding, closer)), clicks)
            if found[0].score < ranked[0].score + BETTER:
                break
            ranked = [found[0], *ranked]
        return ranked


def points_at_something(prompts: Prompts) -> bool:
    """Negative clicks and strokes alone say what is not meant."""
    positive = 1 in prompts.labels or any(scribble.label == 1 for scribble in prompts.scribbles)
    return positive or prompts.box is not None or (prompts.mask is not None and bool(prompts.mask.any()))


def candidates(answer: MaskPrediction, clicks: Clicks) -> list[Candidate]:
    """A model's masks in its own order, but those that follow the clicks before those that do not."""
    found = [
        Candidate(mask, float(score), misplaced(mask, clicks))
        for mask, score in zip(answer.masks, answer.scores, strict=True)
    ]
    return sorted(found, key=lambda one: one.wrong)


def misplaced(mask: NDArray[np.bool_], clicks: Clicks) -> int:
    """How many of the points lie on the wrong side of the mask."""
    (pr, pc), (nr, nc) = clicks.positive.astype(int).T, clicks.negative.astype(int).T
    return int(np.count_nonzero(~mask[pr, pc]) + np.count_nonzero(mask[nr, nc]))


def in_doubt(first: Candidate, prompts: Prompts) -> bool:
    """Whether the other model is worth its time."""
    if first.wrong:
        return True
    clicks_alone = prompts.box is None and not prompts.scribbles and prompts.mask is None
    return clicks_alone and len(prompts.labels) <= OPEN_CLICKS and first.score < DOUBT


def together(network: list[Candidate], other: Candidate) -> list[Candidate]:
    """The other's best mask among the network's: first where it follows the clicks better or expects more of itself."""
    first = network[0]
    leads = (first.wrong, other.score + LEAD) > (other.wrong, first.score)
    return [other, *network] if leads else [first, other, *network[1:]]


def distinct(ranked: list[Candidate]) -> MaskPrediction:
    """The best that differ, none of them empty while there is another; scores never rise."""
    kept: list[Candidate] = []
    for one in ranked:
        if one.mask.any() and all(_iou(one.mask, there.mask) < SAME for there in kept):
            kept.append(one)
    kept = kept[:CANDIDATES] or ranked[:1]
    scores = np.minimum.accumulate([one.score for one in kept])
    return MaskPrediction(np.stack([one.mask for one in kept]), scores.astype(np.float32))


def _part(embedding: Embedding, model_id: str) -> Embedding:
    return Embedding(model_id, embedding.shape, embedding.arrays)


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def load_builtin(weights: Path | None) -> BuiltIn:
    """The model as it is shipped, or of other weights."""
    return BuiltIn(weights)


def load_tuned(adapter: Path) -> BuiltIn:
    """With the late layers that were tuned on a project's labels."""
    return BuiltIn(adapter=adapter)
