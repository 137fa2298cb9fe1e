"""Training examples as values: one, and a batch of them as the network takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.clicknet_training.simulate import BoolMask


@dataclass(frozen=True)
class PromptSample:
    crop: NDArray[np.uint8]  # (S, S, 3)
    truth: BoolMask  # (S, S)
    board: NDArray[np.float32]  # (4, S, S) first prompts


class Batch(NamedTuple):
    """As it travels between processes; small, and a tuple because torch's loader takes those apart."""

    crops: Tensor  # (N, 3, S, S) uint8
    truths: Tensor  # (N, S, S) bool
    boards: Tensor  # (N, 4, S, S) float16

    def to(self, device: torch.device | str) -> "Batch":
        """On that device, with boards as float32."""
        crops, truths, boards = (part.to(device, non_blocking=True) for part in self)
        return Batch(crops, truths, boards.float())


def stacked(samples: Sequence[PromptSample]) -> Batch:
    return Batch(
        torch.from_numpy(np.stack([s.crop.transpose(2, 0, 1) for s in samples])),
        torch.from_numpy(np.stack([s.truth for s in samples])),
        torch.from_numpy(np.stack([s.board for s in samples]).astype(np.float16)),
    )
