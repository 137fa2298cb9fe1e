"""Training examples as values: one, and a batch of them as the network takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clicknet.inputs import standardise
from models.clicknet_training.simulate import Mask


@dataclass(frozen=True)
class Sample:
    crop: NDArray[np.uint8]  # (S, S, 3)
    truth: Mask  # (S, S)
    board: NDArray[np.float32]  # (4, S, S) first prompts


@dataclass(frozen=True)
class Batch:
    crops: NDArray[np.float32]  # (N, 3, S, S) standardised
    truths: NDArray[np.bool_]  # (N, S, S)
    boards: NDArray[np.float32]  # (N, 4, S, S)


def stacked(samples: Sequence[Sample]) -> Batch:
    return Batch(
        np.stack([standardise(s.crop).transpose(2, 0, 1) for s in samples]),
        np.stack([s.truth for s in samples]),
        np.stack([s.board for s in samples]),
    )
