"""SAM's prompt encoder and mask decoder behind one call, and how torch answers it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.sam.prompts import SamPrompts

MasksAndScores = tuple[NDArray[np.float32], NDArray[np.float32]]  # (4, 4h, 4w) logits, (4,) estimates of IoU


class Decoder(Protocol):
    """Prompt encoder and mask decoder of one checkpoint."""

    def __call__(self, features: NDArray[np.float32], prompts: SamPrompts) -> MasksAndScores:
        """(1, C, h, w) features -> (4, 4h, 4w) float32 logits and (4,) estimates of IoU."""


@dataclass(frozen=True)
class TorchDecoder:
    """The decoder as the package has it."""

    sam: Any

    def __call__(self, features: NDArray[np.float32], prompts: SamPrompts) -> MasksAndScores:
        device = self.sam.device
        points = torch.from_numpy(prompts.points_xy)[None].to(device)
        labels = torch.from_numpy(prompts.labels)[None].to(device)
        with torch.inference_mode():
            sparse, dense = self.sam.prompt_encoder(
                points=(points, labels) if len(prompts.labels) else None,
                boxes=None
                if prompts.box_xyxy is None
                else torch.from_numpy(prompts.box_xyxy)[None].to(device),
                masks=None if prompts.mask is None else torch.from_numpy(prompts.mask)[None, None].to(device),
            )
            logits, scores = self.sam.mask_decoder.predict_masks(
                image_embeddings=torch.from_numpy(features).to(device),
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        return logits[0].float().cpu().numpy(), scores[0].float().cpu().numpy()
