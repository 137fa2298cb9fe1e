"""The built-in prompt model: our trained network, with the training-free one beside it.

Clicks alone say little about what an object is; there the network is sometimes lost on kinds of images it has never
seen, where region growing is not. So a click asks both: the network's masks come first unless it doubts them itself.
A box, strokes or a mask to refine leave less open, and the network goes first.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.clicknet.model import ClickNet
from models.graphcut import GraphCut
from models.prompt import Embedding, MaskPrediction, Prompts

DOUBT = 0.8  # of the network's own estimate of IoU; below it the other's mask comes first (8 objects a validation set)
SAME = 0.9  # IoU above which two masks are one candidate
CANDIDATES = 4


class BuiltIn:
    """Deterministic, no state, nothing to download."""

    def __init__(self, weights: Path | None = None) -> None:
        self._network, self._classical = ClickNet(weights), GraphCut()
        self.model_id = f"builtin({self._network.model_id},{self._classical.model_id})"

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Keeps the (H, W, 3) picture as each of the two wants it; costs next to nothing."""
        network, classical = self._network.encode(image), self._classical.encode(image)
        return Embedding(self.model_id, network.shape, {**network.arrays, **classical.arrays})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Up to CANDIDATES masks, best first. Raises ValueError where nothing says what the object is."""
        if embedding.model_id != self.model_id:
            raise ValueError(f"this embedding was made by {embedding.model_id}, not by {self.model_id}")
        if not points_at_something(prompts):
            raise ValueError("nothing points at an object yet: click on it, or draw a box around it")
        network = self._network.predict(_part(embedding, self._network.model_id), prompts)
        if prompts.box is not None or prompts.scribbles or prompts.mask is not None or not prompts.points_rc:
            return network
        classical = self._classical.predict(_part(embedding, self._classical.model_id), prompts)
        return together(network, classical)


def points_at_something(prompts: Prompts) -> bool:
    """Negative clicks and strokes alone say what is not meant."""
    positive = 1 in prompts.labels or any(scribble.label == 1 for scribble in prompts.scribbles)
    return positive or prompts.box is not None or (prompts.mask is not None and bool(prompts.mask.any()))


def together(network: MaskPrediction, classical: MaskPrediction) -> MaskPrediction:
    """The network's candidates and the other's best, by the network's own doubt; no mask twice."""
    other = (classical.masks[0], min(float(classical.scores[0]), float(network.scores[0])))
    ranked = list(zip(network.masks, map(float, network.scores)))
    ranked.insert(0 if network.scores[0] < DOUBT else 1, other)
    kept: list[tuple[NDArray[np.bool_], float]] = []
    for mask, score in ranked:
        if mask.any() and all(_iou(mask, there) < SAME for there, _ in kept):
            kept.append((mask, score if not kept else min(score, kept[-1][1])))
    if not kept:
        return network
    masks, scores = zip(*kept[:CANDIDATES])
    return MaskPrediction(np.stack(masks), np.array(scores, np.float32))


def _part(embedding: Embedding, model_id: str) -> Embedding:
    return Embedding(model_id, embedding.shape, embedding.arrays)


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
